package seed

import _ "embed"

// Catalog is the catalogue of the demo world, as an import in CSV.
//
//go:embed catalog.csv
var Catalog []byte
