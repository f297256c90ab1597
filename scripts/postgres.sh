#!/usr/bin/env bash
# Runs a command beside a private, throw-away Postgres (and PgBouncer in transaction mode).
#
#   scripts/postgres.sh run [--with-pgbouncer] [--without-fsync] [--with-statistics] -- COMMAND…
#
# The command finds a superuser's URL in BEACON_TEST_POSTGRES_URL and, where PgBouncer could be started,
# the same through the pooler in BEACON_TEST_PGBOUNCER_URL (--with-pgbouncer insists on it), and in
# BEACON_TEST_PGBOUNCER_TLS_URL, through it as well, that of a user who needs a password (SCRAM), over TLS with
# a certificate that is verified. The server listens on the loopback address only; it and the
# password, drawn anew each time, are gone when the command ends.
#
# The server is the newest one under /usr/lib/postgresql, the one on PATH, or the one whose bin directory
# BEACON_POSTGRES_BIN names; PgBouncer is the one on PATH or that BEACON_PGBOUNCER names. Missing packages are installed when this runs as root on Debian or Ubuntu.
# Postgres refuses to run as root: as root, the server runs as the user postgres.
set -euo pipefail

say() { printf 'postgres.sh: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

install_package() { # PACKAGE
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    say "installing the package $1"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -q --no-install-recommends "$1" >/dev/null 2>&1 && return
    apt-get update -q >/dev/null && apt-get install -y -q --no-install-recommends "$1" >/dev/null
}

find_server() {
    if [ -n "${BEACON_POSTGRES_BIN:-}" ]; then
        echo "$BEACON_POSTGRES_BIN"
        return
    fi
    local newest
    newest=$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null | sort -V | tail -1)
    [ -n "$newest" ] || newest=$(command -v initdb) || return 1
    dirname "$(readlink -f "$newest")"
}

as_server_user() {
    if [ "$(id -u)" = 0 ]; then
        (cd / && exec runuser -u postgres -- "$@")
    else
        "$@"
    fi
}

free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 20000))
        # Nobody answers: it is free, as far as can be known without holding it.
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

# For localhost, by an authority of its own.
make_certificate() {
    command -v openssl >/dev/null || install_package openssl || die "openssl is missing; install it"
    password=$(openssl rand -hex 16)
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=beacon-test-ca \
        -keyout "$dir/ca.key" -out "$dir/ca.pem" 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
        -keyout "$dir/server.key" -out "$dir/server.csr" 2>/dev/null
    openssl x509 -req -in "$dir/server.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 2 \
        -extfile <(echo subjectAltName=DNS:localhost) -out "$dir/server.pem" 2>/dev/null
    chmod 600 "$dir/server.key"
    chmod a+r "$dir/ca.pem" "$dir/server.pem"
    [ "$(id -u)" != 0 ] || chown postgres "$dir/server.key"
}

start_server() {
    bin=$(find_server) || { install_package postgresql && bin=$(find_server); } ||
        die "no Postgres server found; install one, or name its bin directory in BEACON_POSTGRES_BIN"
    if [ "$(id -u)" = 0 ] && ! id postgres >/dev/null 2>&1; then
        useradd --system --no-create-home postgres
    fi
    local base=${TMPDIR:-/tmp}
    # The other user can't reach a directory under root's home.
    [ "$(id -u)" != 0 ] || base=/tmp
    dir=$(mktemp -d "$base/beacon-postgres.XXXXXX")
    [ "$(id -u)" != 0 ] || chown postgres "$dir"
    as_server_user "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --no-locale \
        --no-instructions >"$dir.log" 2>&1 || { cat "$dir.log" >&2; die "initdb failed"; }
    make_certificate
    # The first line that fits decides.
    printf 'host all beacon_scram 127.0.0.1/32 scram-sha-256\n%s\n' "$(cat "$dir/data/pg_hba.conf")" >"$dir/hba"
    cat "$dir/hba" >"$dir/data/pg_hba.conf"
    local port
    # Another process can take the port between the look and the start.
    for _ in 1 2 3; do
        port=$(free_port)
        if as_server_user "$bin/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w -s \
            -o "-p $port -c listen_addresses=127.0.0.1 -k $dir $server_options" start; then
            export BEACON_TEST_POSTGRES_URL="postgres://postgres@127.0.0.1:$port/postgres"
            server_port=$port
            psql -X -q "$BEACON_TEST_POSTGRES_URL" -c "create role beacon_scram superuser login password '$password'"
            say "$("$bin/postgres" --version) listens on 127.0.0.1:$port, data in $dir"
            return
        fi
    done
    cat "$dir/server.log" >&2
    die "the server did not start"
}

start_pgbouncer() {
    local port pgbouncer
    PATH=$PATH:/usr/sbin
    pgbouncer=${BEACON_PGBOUNCER:-$(command -v pgbouncer)} || { install_package pgbouncer && pgbouncer=$(command -v pgbouncer); } ||
        return 1
    port=$(free_port)
    printf '"postgres" ""\n"beacon_scram" "%s"\n' "$password" >"$dir/users.txt"
    printf 'hostssl all beacon_scram 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust\n' >"$dir/pooler-hba"
    # Debian's refuses settings at login, as it does by default; the one that is named drops them, as many have it.
    cat >"$dir/pgbouncer.ini" <<CONF
[databases]
* = host=127.0.0.1 port=$server_port
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = hba
auth_hba_file = $dir/pooler-hba
client_tls_sslmode = allow
client_tls_cert_file = $dir/server.pem
client_tls_key_file = $dir/server.key
auth_file = $dir/users.txt
pool_mode = transaction
default_pool_size = 8
max_client_conn = 200
server_idle_timeout = 5
${BEACON_PGBOUNCER:+ignore_startup_parameters = options}
logfile = $dir/pgbouncer.log
pidfile = $dir/pgbouncer.pid
CONF
    chmod a+r "$dir/users.txt" "$dir/pgbouncer.ini" "$dir/pooler-hba"
    as_server_user "$pgbouncer" -q -d "$dir/pgbouncer.ini" || return 1
    export BEACON_TEST_PGBOUNCER_URL="postgres://postgres@127.0.0.1:$port/postgres"
    export BEACON_TEST_PGBOUNCER_TLS_URL="postgres://beacon_scram:$password@localhost:$port/postgres?sslmode=verify-full&sslrootcert=$dir/ca.pem"
    say "$("$pgbouncer" --version | head -n 1) (transaction mode) listens on 127.0.0.1:$port"
}

stop_all() {
    trap - EXIT INT TERM
    set +e # one thing that is gone already must not keep the rest
    [ -z "${dir:-}" ] && return
    [ -f "$dir/pgbouncer.pid" ] && kill "$(cat "$dir/pgbouncer.pid")" 2>/dev/null
    as_server_user "$bin/pg_ctl" -D "$dir/data" -m immediate -s stop 2>/dev/null
    rm -rf "$dir" "$dir.log"
}

[ "${1:-}" = run ] || die "usage: $0 run [--with-pgbouncer] [--without-fsync] -- COMMAND…"
shift
server_options='' insist_on_pgbouncer=no
while [ $# -gt 0 ]; do
    case $1 in
    --with-pgbouncer) insist_on_pgbouncer=yes ;;
    --without-fsync) server_options+=' -c fsync=off -c synchronous_commit=off -c full_page_writes=off' ;;
    --with-statistics) server_options+=' -c shared_preload_libraries=pg_stat_statements' ;;
    --) shift && break ;;
    *) die "unknown option $1" ;;
    esac
    shift
done
[ $# -gt 0 ] || die "no command given"

trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
start_server
start_pgbouncer || [ "$insist_on_pgbouncer" = no ] || die "PgBouncer did not start; install it"
"$@"
