#!/usr/bin/env bash
# Fails when `go generate` changes anything: what is generated is committed, and current.
# The tree is compared with itself before, so this works with uncommitted work around.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

before=$(mktemp) after=$(mktemp)
trap 'rm -f "$before" "$after"' EXIT

# Every file with its hash, ignored ones too: generating must leave nothing behind.
snapshot() {
	find . \( -name .git -o -name .cache -o -name node_modules \) -prune -o -type f -print0 |
		LC_ALL=C sort -z | xargs -0 sha256sum
}

snapshot >"$before"
go generate ./...
snapshot >"$after"
if ! cmp -s "$before" "$after"; then
	echo "generated: go generate changed these files; run 'make generate' and commit them:"
	diff "$before" "$after" | sed -nE 's/^[<>] [0-9a-f]+ [ *]/  /p' | sort -u
	exit 1
fi
echo "generated: $(wc -l <"$after") files, none changed by go generate"
