#!/usr/bin/env bash
# Builds the tools pinned in .ci/tools/go.mod into .cache/bin, unless they are there already.
# They have a go.mod of their own, so that no linter decides about versions of the product.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v go >/dev/null || {
	echo "tools: Go is needed (the version is in go.mod); see the README" >&2
	exit 1
}

stamp=.cache/bin/stamp
# A linter built with an older Go refuses newer code, so the version of Go counts as well.
want=$(cat .ci/tools/go.mod .ci/tools/go.sum | git hash-object --stdin)-$(go env GOVERSION)
if [ "$(cat "$stamp" 2>/dev/null || true)" = "$want" ]; then
	exit 0
fi
echo "tools: building golangci-lint and gotestsum (a minute or two, once)"
mkdir -p .cache/bin
rm -f "$stamp"
out=$PWD/.cache/bin/
CGO_ENABLED=0 GOFLAGS=-mod=readonly GOWORK=off go -C .ci/tools build -trimpath -buildvcs=false -o "$out" tool
printf '%s\n' "$want" >"$stamp"
