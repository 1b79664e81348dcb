package model

import (
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/tree"
)

type (
	// ChannelTree is a branch with the level below it.
	ChannelTree struct{ Branch *tree.Branch }
	// ChannelCounts are what a branch comes to.
	ChannelCounts struct{ ResellerCount, CustomerCount, SubscriptionCount, SeatCount int }
	// ChannelBranchConnection is a page of a level of the tree.
	ChannelBranchConnection = page.Connection[*tree.Branch]
	// ChannelBranchEdge is a row of a page of a level of the tree.
	ChannelBranchEdge = page.Edge[*tree.Branch]
)
