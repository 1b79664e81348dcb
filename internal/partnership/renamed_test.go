package partnership

import (
	"context"
	"testing"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// A partner with a new legal name stands in its partners' lists where the new
// name belongs.
func TestRenamedPartner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.partnered()
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		ps, err := w.partners.Load(ctx, tx, p.ProviderID, p.ResellerID)
		if err != nil {
			return err
		}
		for id, name := range map[ident.ID]string{p.ProviderID: "Zeta Distribution S.p.A.", p.ResellerID: "Aaa Informatica S.r.l."} {
			f := ps[id].Profile()
			f.LegalName = name
			if _, err := w.partners.UpdateProfileTx(ctx, tx, w.chief, id, f); err != nil {
				return err
			}
		}
		return nil
	})
	got := w.now(p)
	if got.ProviderNameFolded != "zeta distribution" || got.ResellerNameFolded != "aaa informatica" || got.Version != p.Version {
		t.Errorf("got %+v", got)
	}
}
