package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestManifestIsCurrent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files, err := filepath.Glob("*.graphql")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if want, err := os.ReadFile("manifest.json"); err != nil || string(got) != string(want) {
		t.Error("manifest.json is not current; run go generate ./...", err)
	}
	if run(t.TempDir()) == nil {
		t.Error("wrote a manifest of nothing without an error")
	}
}
