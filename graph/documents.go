package graph

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/channelgraph/channelgraph/internal/access"
)

// manifestJSON holds the trusted documents by their digests; graph/documents
// writes it from the files beside it.
//
//go:embed documents/manifest.json
var manifestJSON []byte

// codeNotTrusted says that a document is not in the manifest.
const codeNotTrusted = "DOCUMENT_NOT_TRUSTED"

// digestPrefix begins the id of a trusted document; its SHA-256 in hex follows.
const digestPrefix = "sha256:"

// trust reads a manifest: every document must fit the schema.
func (g *guard) trust(manifest []byte) error {
	var texts map[string]string
	if err := json.Unmarshal(manifest, &texts); err != nil {
		return fmt.Errorf("reading the manifest: %w", err)
	}
	g.trusted = make(map[string]string, len(texts))
	for id, text := range texts {
		sum := sha256.Sum256([]byte(text))
		if id != digestPrefix+hex.EncodeToString(sum[:]) {
			return fmt.Errorf("%s is not the digest of its document", id)
		}
		doc, bad := g.read(text, operatorLimits)
		if bad != nil {
			return fmt.Errorf("%s: %w", id, bad.errs)
		}
		g.docs.pin(text, doc)
		g.trusted[id] = text
	}
	return nil
}

// resolve puts the text of a trusted document in the place of its id, and
// refuses what the actor may not send.
func (g *guard) resolve(p *params, a access.Actor) *rejection {
	if p.DocumentID != "" {
		text, ok := g.trusted[strings.ToLower(p.DocumentID)]
		if !ok {
			return reject(http.StatusForbidden, topLevel(codeNotTrusted, "No trusted document has this id."))
		}
		p.Query = text
		return nil
	}
	if !g.consoleOnly || a.ViaToken() || g.docs.pinned(p.Query) {
		return nil
	}
	return reject(http.StatusForbidden, topLevel(codeNotTrusted, "Only trusted documents are run here; programs with a personal token may send others."))
}
