#!/usr/bin/env bash
# Runs a command beside a PostgreSQL and a Redis of its own:
#
#   .ci/services.sh COMMAND [ARGUMENT…]
#
# Both listen on free ports of 127.0.0.1, keep their data in a temporary folder, and are
# gone when the command ends, also when it fails or this script is killed. Servers that the
# machine already runs are neither used nor touched. The command finds:
#
#   CHANNELGRAPH_TEST_POSTGRES      postgres://… of a superuser, empty database
#   CHANNELGRAPH_TEST_REDIS         redis://…
#   CHANNELGRAPH_TEST_PG_BIN        folder of initdb and postgres \ for tests that stop and
#   CHANNELGRAPH_TEST_REDIS_SERVER  path of redis-server          / start servers of their own
#
# Programs are taken from the machine; or installed, as root on Debian; or, the servers
# only, run in Docker. To choose other ones, set CHANNELGRAPH_PG_BIN to a folder with initdb
# and postgres, and CHANNELGRAPH_REDIS_SERVER to a redis-server.
set -euo pipefail

readonly oldest_postgres=15
readonly postgres_image=postgres:17 redis_image=redis:7

say() { printf 'services: %s\n' "$*" >&2; }
die() {
	say "$*"
	exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

[ $# -gt 0 ] || die "usage: .ci/services.sh COMMAND [ARGUMENT…]"

# ---- One folder, and its end ---------------------------------------------------------------

dir=$(mktemp -d "${TMPDIR:-/tmp}/channelgraph-services.XXXXXX")
chmod 711 "$dir" # PostgreSQL runs as another user, and must get through
mkdir "$dir/pids" "$dir/containers"

# clean_up stops what is noted in the folder and removes it. It may run twice.
clean_up() {
	local f pid i
	[ -d "$dir" ] || return 0
	if [ -s "$dir/command" ]; then
		kill -TERM -- "-$(cat "$dir/command")" 2>/dev/null || true
	fi
	for f in "$dir"/pids/*; do
		[ -e "$f" ] || continue
		pid=$(cat "$f" 2>/dev/null) || continue
		kill -INT "$pid" 2>/dev/null || continue # PostgreSQL: fast shutdown
		for ((i = 0; i < 100; i++)); do
			kill -0 "$pid" 2>/dev/null || break
			sleep 0.1
		done
		kill -KILL "$pid" 2>/dev/null || true
	done
	for f in "$dir"/containers/*; do
		[ -e "$f" ] || continue
		docker rm --force --volumes "$(basename "$f")" >/dev/null 2>&1 || true
	done
	rm -rf "$dir"
}

finish() {
	local status=$?
	trap - EXIT
	trap '' INT TERM HUP
	clean_up
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# A second pair of hands: it reads from a pipe that only this script holds open, so it
# wakes when the script is gone, even by SIGKILL, and then cleans up.
mkfifo "$dir/alive"
(
	trap '' INT TERM HUP
	read -r _ || true
	clean_up
) <"$dir/alive" >/dev/null 2>&1 &
exec 9>"$dir/alive"

# ---- Finding programs ----------------------------------------------------------------------

on_debian_as_root() { [ "$(id -u)" = 0 ] && has apt-get; }
docker_runs() { has docker && docker info >/dev/null 2>&1; }

# install asks the system's package manager, quietly unless it fails, and keeps packages
# from starting the services that they bring.
install() {
	say "installing $*"
	local log=$dir/apt.log policy=/usr/sbin/policy-rc.d ours=no status=0
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
		ours=yes
	fi
	{
		DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 update &&
			DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
	} </dev/null >"$log" 2>&1 9>&- || status=$?
	if [ "$ours" = yes ]; then rm -f "$policy"; fi
	if [ "$status" != 0 ]; then
		cat "$log" >&2
		die "apt-get could not install $*"
	fi
	hash -r
}

if [ -n "${CHANNELGRAPH_PG_BIN:-}" ] && ! { [ -x "$CHANNELGRAPH_PG_BIN/initdb" ] && [ -x "$CHANNELGRAPH_PG_BIN/postgres" ]; }; then
	die "CHANNELGRAPH_PG_BIN is $CHANNELGRAPH_PG_BIN, where there is no initdb and postgres"
fi
if [ -n "${CHANNELGRAPH_REDIS_SERVER:-}" ] && ! [ -x "$CHANNELGRAPH_REDIS_SERVER" ]; then
	die "CHANNELGRAPH_REDIS_SERVER is $CHANNELGRAPH_REDIS_SERVER, which is no program"
fi

# postgres_bin prints the folder of the newest usable PostgreSQL.
postgres_bin() {
	local best='' best_major=0 candidate major
	for candidate in "${CHANNELGRAPH_PG_BIN:-}" \
		"$(dirname "$(readlink -f "$(command -v postgres 2>/dev/null || true)" 2>/dev/null || true)" 2>/dev/null || true)" \
		"$(pg_config --bindir 2>/dev/null || true)" \
		/usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin; do
		[ -n "$candidate" ] && [ -x "$candidate/initdb" ] && [ -x "$candidate/postgres" ] || continue
		major=$("$candidate/postgres" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
		if [ "$candidate" = "${CHANNELGRAPH_PG_BIN:-}" ]; then
			best=$candidate best_major=$major
			break
		fi
		if [ "$major" -gt "$best_major" ]; then best=$candidate best_major=$major; fi
	done
	[ "$best_major" -ge "$oldest_postgres" ] || return 1
	printf '%s\n' "$best"
}

redis_server() {
	if [ -n "${CHANNELGRAPH_REDIS_SERVER:-}" ]; then
		printf '%s\n' "$CHANNELGRAPH_REDIS_SERVER"
		return 0
	fi
	command -v redis-server || command -v valkey-server
}

pg_bin=$(postgres_bin || true)
redis=$(redis_server || true)
missing=()
[ -n "$pg_bin" ] || missing+=(postgresql)
[ -n "$redis" ] || missing+=(redis-server)
if [ ${#missing[@]} -gt 0 ] && on_debian_as_root; then
	install "${missing[@]}"
	pg_bin=$(postgres_bin || true)
	redis=$(redis_server || true)
fi
if [ -z "$pg_bin" ] || [ -z "$redis" ]; then
	docker_runs || die "PostgreSQL $oldest_postgres or newer and Redis are needed, and ${missing[*]} was not found here.
  Install them with the system's package manager (they need not run), or start Docker,
  or name them with CHANNELGRAPH_PG_BIN and CHANNELGRAPH_REDIS_SERVER."
fi

# ---- Starting ------------------------------------------------------------------------------

# free_port prints a port of 127.0.0.1 that nobody listens on just now. Who loses the race
# for it tries another one.
free_port() {
	local port
	while :; do
		port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000)) # below what systems hand out themselves
		if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
			printf '%s\n' "$port"
			return
		fi
	done
}

alive() { kill -0 "$1" 2>/dev/null; }

# own makes a process a session of its own, so that Ctrl-C reaches the tests but not the
# servers under them.
own=()
if has setsid; then own=(setsid); fi

as=() # how to become the user that PostgreSQL runs as; it refuses root
start_postgres() {
	local data=$dir/postgres log=$dir/postgres.log user port pid try i
	password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
	mkdir -m 700 "$data"
	printf '%s\n' "$password" >"$dir/password"
	if [ "$(id -u)" = 0 ]; then
		user=nobody
		if id postgres >/dev/null 2>&1; then user=postgres; fi
		if has setpriv; then
			as=(setpriv "--reuid=$(id -u "$user")" "--regid=$(id -g "$user")" --clear-groups --)
		elif has runuser; then
			as=(runuser -u "$user" --)
		else
			die "PostgreSQL refuses to run as root, and neither setpriv nor runuser is here; run as another user"
		fi
		chown -R "$(id -u "$user"):$(id -g "$user")" "$data" "$dir/password"
		"${as[@]}" test -w "$data" || die "$user cannot reach $data; set TMPDIR to a folder that every user can enter"
	fi
	# A linguistic collation where the build has one: production does, and code that
	# leans on the order of bytes must fail here.
	local init=("$pg_bin/initdb" -D "$data" -U channelgraph --auth=scram-sha-256 "--pwfile=$dir/password" --encoding=UTF8 --no-sync)
	if ! (cd "$data" && "${as[@]}" "${init[@]}" --locale=C --locale-provider=icu --icu-locale=en-US) </dev/null >"$log" 2>&1 9>&-; then
		find "$data" -mindepth 1 -delete
		(cd "$data" && "${as[@]}" "${init[@]}" --no-locale) </dev/null >>"$log" 2>&1 9>&- || {
			cat "$log" >&2
			die "initdb failed"
		}
		say "this PostgreSQL has no ICU: names sort by bytes in the tests"
	fi
	rm "$dir/password"
	for try in 1 2 3 4 5; do
		port=$(free_port)
		: >"$log"
		(cd "$data" && exec "${own[@]+"${own[@]}"}" "${as[@]+"${as[@]}"}" "$pg_bin/postgres" -D "$data" -p "$port" \
			-c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300 \
			-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=128MB \
			-c timezone=UTC -c log_min_messages=warning) </dev/null >"$log" 2>&1 9>&- &
		pid=$!
		disown "$pid"
		printf '%s\n' "$pid" >"$dir/pids/postgres"
		for ((i = 0; i < 600; i++)); do
			# Its own word for it: another server on the port would not write this file.
			if [ "$(sed -n 8p "$data/postmaster.pid" 2>/dev/null | tr -d ' ')" = ready ] && alive "$pid"; then
				break 2
			fi
			alive "$pid" || break
			sleep 0.1
		done
		alive "$pid" && die "PostgreSQL did not get ready in a minute: $(cat "$log")"
		grep -q -i 'address already in use' "$log" && [ "$try" -lt 5 ] || {
			cat "$log" >&2
			die "PostgreSQL did not start"
		}
	done
	export CHANNELGRAPH_TEST_POSTGRES="postgres://channelgraph:$password@127.0.0.1:$port/postgres?sslmode=disable"
	export CHANNELGRAPH_TEST_PG_BIN=$pg_bin
	say "$("$pg_bin/postgres" --version) on port $port"
}

# redis_answers tells whether a Redis on the port answers and is the process named.
redis_answers() {
	local line
	exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
	printf 'INFO server\r\nQUIT\r\n' >&3
	while IFS= read -r -t 5 line <&3; do
		if [ "${line%$'\r'}" = "process_id:$2" ]; then
			exec 3>&-
			return 0
		fi
	done
	exec 3>&-
	return 1
}

start_redis() {
	local data=$dir/redis log=$dir/redis.log port pid try i
	mkdir "$data"
	for try in 1 2 3 4 5; do
		port=$(free_port)
		: >"$log"
		(cd "$data" && exec "${own[@]+"${own[@]}"}" "$redis" --bind 127.0.0.1 --port "$port" --dir "$data" --daemonize no \
			--save "" --appendonly yes --appendfsync no --maxmemory-policy noeviction --databases 64) </dev/null >"$log" 2>&1 9>&- &
		pid=$!
		disown "$pid"
		printf '%s\n' "$pid" >"$dir/pids/redis"
		for ((i = 0; i < 300; i++)); do
			if redis_answers "$port" "$pid" 2>/dev/null; then break 2; fi
			alive "$pid" || break
			sleep 0.1
		done
		alive "$pid" && die "Redis did not get ready in half a minute: $(cat "$log")"
		grep -q -i 'address already in use' "$log" && [ "$try" -lt 5 ] || {
			cat "$log" >&2
			die "Redis did not start"
		}
	done
	export CHANNELGRAPH_TEST_REDIS="redis://127.0.0.1:$port/0"
	export CHANNELGRAPH_TEST_REDIS_SERVER=$redis
	say "$("$redis" --version | cut -d' ' -f1-3) on port $port"
}

# in_docker NAME PORT READY… starts a container; its arguments after -- are docker run's.
in_docker() {
	local name=$1 inner=$2 ready=$3 i
	shift 3
	: >"$dir/containers/$name"
	docker run --detach --name "$name" --publish "127.0.0.1::$inner" "$@" >/dev/null 9>&- || die "Docker could not start $name"
	for ((i = 0; i < 120; i++)); do
		if docker exec "$name" sh -c "$ready" >/dev/null 2>&1; then
			docker port "$name" "$inner/tcp" | sed -n '1s/.*://p'
			return
		fi
		sleep 0.5
	done
	docker logs "$name" >&2 || true
	die "$name did not get ready in a minute"
}

if [ -n "$pg_bin" ]; then
	start_postgres
else
	password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
	# Over TCP: the image's first, temporary server listens on a socket only.
	port=$(in_docker "$(basename "$dir")-postgres" 5432 'pg_isready -h 127.0.0.1 -U channelgraph' \
		--env POSTGRES_USER=channelgraph --env "POSTGRES_PASSWORD=$password" --env POSTGRES_DB=postgres \
		"$postgres_image" -c max_connections=300 -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c timezone=UTC)
	export CHANNELGRAPH_TEST_POSTGRES="postgres://channelgraph:$password@127.0.0.1:$port/postgres?sslmode=disable"
	say "$postgres_image in Docker on port $port"
fi
if [ -n "$redis" ]; then
	start_redis
else
	port=$(in_docker "$(basename "$dir")-redis" 6379 'redis-cli ping | grep -q PONG' \
		"$redis_image" redis-server --save "" --appendonly yes --maxmemory-policy noeviction --databases 64)
	export CHANNELGRAPH_TEST_REDIS="redis://127.0.0.1:$port/0"
	say "$redis_image in Docker on port $port"
fi

# ---- The command ---------------------------------------------------------------------------

# In the background and waited for, so that a signal is heard at once; in a group of its
# own, so that all of it can be ended.
exec 4<&0
set -m
"$@" <&4 9>&- &
command_pid=$!
printf '%s\n' "$command_pid" >"$dir/command"
set +m
exec 4<&-
status=0
wait "$command_pid" || status=$?
exit "$status" # and what the command left running in its group ends too
