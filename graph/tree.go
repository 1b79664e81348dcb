package graph

import (
	"context"

	"github.com/channelgraph/channelgraph/graph/model"
	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/rollup"
	"github.com/channelgraph/channelgraph/internal/tree"
)

// countsOf reads the counts of branches by their keys.
func countsOf(ctx context.Context, d *Deps, a access.Actor, keys []ident.ID) (map[ident.ID]*model.ChannelCounts, error) {
	ks := make([]rollup.Key, len(keys))
	for i, k := range keys {
		ks[i] = rollup.Key(k)
	}
	found, err := d.Tree.Counts(ctx, a, ks)
	out := make(map[ident.ID]*model.ChannelCounts, len(keys))
	for _, k := range ks {
		d := found[k]
		out[ident.ID(k)] = &model.ChannelCounts{ResellerCount: int(d.Resellers), CustomerCount: int(d.Customers), SubscriptionCount: int(d.Subscriptions), SeatCount: int(d.Seats)}
	}
	return out, err
}

// withBranches looks up ahead what a level's branches are asked for.
func withBranches(ctx context.Context, c *page.Connection[*tree.Branch], err error) (*page.Connection[*tree.Branch], error) {
	type b = *tree.Branch
	l := load(ctx)
	rs := []relation[b]{
		{"partner", l.partners, func(x b) ident.ID { return x.PartnerID }},
		{"counts", l.counts, func(x b) ident.ID { return ident.ID(x.Key()) }},
	}
	for _, r := range ofCustomer(ctx) {
		rs = append(rs, relation[b]{"customer." + r.field, r.by, func(x b) ident.ID {
			if x.Customer == nil {
				return ""
			}
			return r.key(x.Customer)
		}})
	}
	for _, r := range ofPartnership(l) {
		rs = append(rs, relation[b]{"partnership." + r.field, r.by, func(x b) ident.ID {
			if x.Partnership == nil {
				return ""
			}
			return r.key(x.Partnership)
		}})
	}
	return withRelations(ctx, c, err, rs...)
}
