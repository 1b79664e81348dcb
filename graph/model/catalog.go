package model

import (
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/page"
)

// Names of the pages of the catalogue and of their rows, and the errors of the
// mutation on it.
type (
	// OfferConnection is a page of offers.
	OfferConnection = page.Connection[*catalog.Offer]
	// OfferEdge is a row of a page of offers.
	OfferEdge = page.Edge[*catalog.Offer]
	// OfferRevisionConnection is a page of the states that an offer had.
	OfferRevisionConnection = page.Connection[*catalog.Revision]
	// OfferRevisionEdge is a row of a page of the states that an offer had.
	OfferRevisionEdge = page.Edge[*catalog.Revision]
	// CatalogImportConnection is a page of imports.
	CatalogImportConnection = page.Connection[*catalog.Import]
	// CatalogImportEdge is a row of a page of imports.
	CatalogImportEdge = page.Edge[*catalog.Import]
	// CatalogImportProblemConnection is a page of what is wrong with a file.
	CatalogImportProblemConnection = page.Connection[*catalog.Problem]
	// CatalogImportProblemEdge is a row of a page of what is wrong with a file.
	CatalogImportProblemEdge = page.Edge[*catalog.Problem]
	// ImportCatalogError is why importCatalog did nothing.
	ImportCatalogError UserError
)
