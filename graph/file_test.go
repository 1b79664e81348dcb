package graph

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"testing"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
)

func TestFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gina := w.as(w.nordwind.admin)
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 7, 5))); err != nil {
		t.Fatal(err)
	}
	f, err := w.Files.Upload(t.Context(), gina, file.UploadInput{Purpose: file.ForEvidence, Name: "Visura.pdf", Content: b.Bytes()})
	if err != nil {
		t.Fatal(err)
	}
	const q = "query($id: ID!) { node(id: $id) { ... on File { name mediaType size sha256 width height purpose downloadUrl } } }"
	want := fmt.Sprintf(`{"data":{"node":{"name":"Visura.pdf.png","mediaType":"image/png","size":%d,"sha256":"%s","width":7,"height":5,"purpose":"ENROLLMENT_EVIDENCE","downloadUrl":"/files/%s"}}}`,
		f.Size, f.SHA256, f.ID)
	if raw := w.gql(gina, q, "id", f.ID).Raw; raw != want {
		t.Errorf("got %s, want %s", raw, want)
	}
	const hidden = `{"data":{"node":null}}`
	for name, who := range map[string]access.Actor{"reviewer": w.as(w.reviewer), "provider": w.as(w.fabrikam.admin)} {
		if raw := w.gql(who, q, "id", f.ID).Raw; raw != hidden {
			t.Errorf("the %s reads what was not handed in: %s", name, raw)
		}
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		_, err := w.Files.Attach(ctx, tx, gina, "fileIds", []ident.ID{f.ID}, file.ForEvidence, ident.New(ident.Enrollment))
		return err
	})
	if raw := w.gql(w.as(w.reviewer), q, "id", f.ID).Raw; raw != want {
		t.Errorf("the reviewer reads %s", raw)
	}
	if raw := w.gql(w.as(w.fabrikam.admin), q, "id", f.ID).Raw; raw != hidden {
		t.Errorf("a stranger reads %s", raw)
	}
}
