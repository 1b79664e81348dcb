#!/usr/bin/env bash
# Suites from outside, and the TypeScript example, against a server with the demo world:
# graph/suites says which. They need Node, which is installed as root on Debian if missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly oldest_node=20.19
readonly own_node=22.23.3

say() { printf 'suites: %s\n' "$*"; }
die() {
	printf 'suites: %s\n' "$*" >&2
	exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

# node_serves tells whether a Node is here that is new enough, with its npm.
node_serves() {
	has node && has npm &&
		[ "$(printf '%s\n' "$oldest_node" "$(node --version | tr -d v)" | sort -V | head -n 1)" = "$oldest_node" ]
}

if ! node_serves && [ "$(id -u)" = 0 ] && has apt-get; then
	say "installing nodejs and npm"
	log=$(mktemp) status=0
	{
		DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 update &&
			DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends nodejs npm
	} </dev/null >"$log" 2>&1 || status=$?
	[ "$status" = 0 ] || cat "$log" >&2
	rm -f "$log"
	[ "$status" = 0 ] || die "apt-get could not install nodejs and npm"
	hash -r
fi
# Debian 12 has Node 18; the registry that npm asks anyway has newer ones as packages.
node_of_our_own() {
	local arch
	case $(uname -m) in
	x86_64) arch=x64 ;;
	aarch64) arch=arm64 ;;
	*) return 0 ;;
	esac
	local home=$PWD/.cache/node
	if [ ! -x "$home/node_modules/node-linux-$arch/bin/node" ]; then
		say "installing Node $own_node for this project alone"
		mkdir -p "$home"
		npm install --prefix "$home" --no-save --ignore-scripts --no-audit --no-fund --loglevel=error "node-linux-$arch@$own_node"
	fi
	export PATH="$home/node_modules/node-linux-$arch/bin:$PATH"
	hash -r
}
if ! node_serves && [ "$(uname -s)" = Linux ] && has npm; then
	node_of_our_own
fi
if ! node_serves; then
	found=none
	if has node; then found=$(node --version); fi
	if ! has npm; then found="$found without npm"; fi
	die "Node $oldest_node or newer with npm is needed for the suites from outside, and found was: $found.
  Install it from the system's package manager or nodejs.org."
fi

# Packages are installed anew only where something about them has changed.
project=graph/suites
stamp=$project/node_modules/.stamp
want=$(cat "$project/package.json" "$project/package-lock.json" "$project/.npmrc" | git hash-object --stdin)-$(node --version)
if [ "$(cat "$stamp" 2>/dev/null || true)" != "$want" ]; then
	say "installing packages (a minute, once)"
	npm --prefix "$project" ci --loglevel=error
	printf '%s\n' "$want" >"$stamp"
fi
say "Node $(node --version), npm $(npm --version 2>/dev/null)"

mkdir -p .cache/suites
go build -o .cache/suites/channelgraph ./cmd/channelgraph
cd "$project"
exec node run.mjs ../../.cache/suites/channelgraph
