#!/usr/bin/env bash
# Everything that is checked without running the product. `make lint` builds the tools first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export GOFLAGS="${GOFLAGS:-} -mod=readonly"

status=0

for script in .ci/run .ci/*.sh; do
	bash -n "$script" || status=1
done

# golangci-lint looks after the formatting of everything but dot folders.
unformatted=$(gofmt -l .ci)
if [ -n "$unformatted" ]; then
	printf 'not formatted with gofmt:\n%s\n' "$unformatted"
	status=1
fi
go vet ./.ci/floorplan ./.ci/suite || status=1

.cache/bin/golangci-lint run ./... || status=1
go run ./.ci/floorplan -golangci-lint .cache/bin/golangci-lint || status=1

exit "$status"
