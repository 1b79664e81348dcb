// Command documents writes manifest.json, the documents that console_only mode
// trusts, from the .graphql files beside it: the text of each file exactly as
// it is, under the SHA-256 of that text. It is run by `go generate ./...`; the
// API refuses to start where a document does not fit the schema.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run("documents"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run writes the manifest of the files in dir.
func run(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.graphql"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no documents in %s: %w", dir, err)
	}
	manifest := make(map[string]string, len(files))
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(raw)
		manifest["sha256:"+hex.EncodeToString(sum[:])] = string(raw)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(manifest); err != nil { // in the order of the ids
		return err
	}
	return os.WriteFile(filepath.Join(dir, "manifest.json"), b.Bytes(), 0o644)
}
