#!/usr/bin/env bash
# `make test`: tools, lint, generated code, suites from outside, then the whole suite twice.
# Stops at the first step that fails. The last line is the test runner's own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

heading() { printf '\n==> %s\n' "$*"; }

# Settings of the one who runs this are not settings of the tests. The two that name
# programs to use stay.
for name in $(compgen -e CHANNELGRAPH_); do
	case $name in
	CHANNELGRAPH_PG_BIN | CHANNELGRAPH_REDIS_SERVER) ;;
	*) unset "$name" ;;
	esac
done
export GOFLAGS="${GOFLAGS:-} -mod=readonly"

# The race detector needs cgo, and cgo a C compiler.
c_compiler() {
	local cc
	cc=$(go env CC)
	if echo 'int main(void){return 0;}' | ${cc} -x c -o /dev/null - 2>/dev/null; then
		return
	fi
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "test: the race detector needs a C compiler ($cc) with its headers; install one" >&2
		exit 1
	fi
	echo "test: installing gcc, for the race detector"
	local log status=0
	log=$(mktemp)
	{
		DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 update &&
			DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends gcc libc6-dev
	} </dev/null >"$log" 2>&1 || status=$?
	[ "$status" = 0 ] || cat "$log" >&2
	rm -f "$log"
	return "$status"
}

# suite NAME EVENTS [COMMAND…] runs all tests by the function EVENTS, through COMMAND; events
# go to a file.
suite() {
	local name=$1 events=$2
	shift 2
	"$@" .cache/bin/gotestsum --no-color --format pkgname-and-test-fails --format-hide-empty-pkg \
		--jsonfile ".cache/$name.json" --raw-command -- bash -c "$events"
}

plain() { .cache/suite; }

# raced looks for races, which takes five times as long, where goroutines meet: the queue and
# what locks, wakes, sends and counts, and the API's streams. All else runs without.
meeting='/(workers|internal/(database|event|outbox|rollup|webhook))$'
streams='Stream|Socket|Live|Flood|Budget|Cache|Deadline|Typed'
raced() {
	local status=0
	.cache/suite -except "$meeting" -skip "$streams" -skip-in /graph || status=1
	.cache/suite -race -match "$meeting" || status=1
	.cache/suite -race -run "$streams" ./graph || status=1
	return "$status"
}
export -f plain raced
export meeting streams

# ran FILE fails unless a test ran. A package without tests is not a test.
ran() {
	grep -qE '"Action":"pass".*"Test":' "$1" || {
		echo "test: no test ran" >&2
		return 1
	}
}

# passed FILE lists the tests that passed.
passed() {
	grep -E '"Action":"pass".*"Test":' "$1" | sed -E 's/.*"Package":"([^"]*)".*"Test":"([^"]*)".*/  \1 \2/' | sort -u
}

heading "Tools"
bash .ci/tools.sh
export CGO_ENABLED=1
c_compiler
go version
go build -o .cache/suite ./.ci/suite

heading "Lint"
bash .ci/lint.sh

heading "Generated code"
bash .ci/generated.sh

heading "Suites from outside"
bash .ci/suites.sh

heading "Tests on SQLite and the embedded queue"
suite sqlite plain | tee .cache/sqlite.log
ran .cache/sqlite.json
first=$(grep '^DONE ' .cache/sqlite.log | tail -n 1)

# Here it sees what only runs here, the embedded queue and the one writer.
heading "Race detector on SQLite and the embedded queue"
.cache/bin/gotestsum --no-color --format pkgname-and-test-fails --format-hide-empty-pkg --raw-command -- \
	.cache/suite -race ./workers ./internal/database/... ./internal/event ./internal/outbox | sed -u '/^DONE /d'

heading "Tests on PostgreSQL and Redis"
# Its last line is held back until it is known that nothing was skipped.
status=0
suite postgres raced bash .ci/services.sh | sed -u '/^DONE /{
	w .cache/postgres.done
	d
}' || status=$?
second=$(cat .cache/postgres.done)
if [ "$status" = 0 ]; then
	ran .cache/postgres.json || status=1
	skipped=$(grep -E '"Action":"skip".*"Test":' .cache/postgres.json |
		sed -E 's/.*"Package":"([^"]*)".*"Test":"([^"]*)".*/  \1 \2/' | sort -u || true)
	if [ -n "$skipped" ]; then
		printf '\ntest: nothing may be skipped where PostgreSQL and Redis are there, but these were:\n%s\n' "$skipped" >&2
		status=1
	fi
	# The second half is three runs; what fell between them would not be missed otherwise.
	differing=$(comm -3 <(passed .cache/sqlite.json) <(passed .cache/postgres.json))
	if [ -n "$differing" ]; then
		printf '\ntest: both halves run the same tests, but these passed in one alone:\n%s\n' "$differing" >&2
		status=1
	fi
fi

heading "Totals"
echo "SQLite and the embedded queue: ${first#DONE }"
echo "PostgreSQL and Redis, on a line of its own:"
echo "$second"
exit "$status"
