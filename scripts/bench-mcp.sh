#!/usr/bin/env bash
# How fast a tool call is, beside the official Python SDK (stateless, JSON answers, uvicorn), in one run on
# loopback. The call is one that costs next to nothing on either side — adding two numbers in Python, refusing
# an argument here — so that the protocol is what is measured; calls that read the database stand below it,
# and /healthz, which is HTTP without MCP, so that the difference is what MCP adds.
#
#   scripts/bench-mcp.sh [SECONDS]          needs what scripts/mcp-clients.sh sets up
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-5}
target=${CARGO_TARGET_DIR:-$PWD/target}/release
program=${BEACON_PROGRAM:-$target/beacon-collector}
bench=${BENCH_HTTP:-$target/examples/bench-http}
[ -n "${BEACON_PROGRAM:-}" ] || cargo build --release --locked --bin beacon-collector --example bench-http
python=.venv/mcp-2.3.0/bin/python
[ -x "$python" ] || { echo "no $python; run scripts/mcp-clients.sh first" >&2; exit 2; }

place=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; wait; rm -rf "$place"' EXIT
export DATABASE_URL="sqlite:$place/beacon.db" STATE_DIRECTORY="$place" RUST_LOG=warn,beacon_collector::app=info

"$program" migrate >/dev/null
python3 -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(open(sys.argv[2]).read())' \
    "$place/beacon.db" tests/mcp/world.sql
"$program" run --listen 127.0.0.1:0 --keep-serving < /dev/null 2> "$place/log" &
servers+=($!)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$python" tests/mcp/peer.py "$port" 2> "$place/peer" &
servers+=($!)
ours=$(bash scripts/address.sh "$place/log")
peer=
for _ in $(seq 300); do
    if (: < "/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        peer=yes
        break
    fi
    sleep 0.2
done
[ -n "$peer" ] || { cat "$place/peer" >&2; exit 1; }

call() { # LABEL TOOL ARGUMENTS
    printf '%s\t/mcp\t{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%s","arguments":%s}}\n' "$@"
}
call "an argument refused" diagnose_execution '{}' > "$place/refused"
call "two numbers added" add '{"a":1,"b":2}' > "$place/added"
printf 'GET /healthz\t/healthz\n' > "$place/health"
{
    call "get_trace" get_trace '{"trace_id":"00000000-0000-4000-8000-000000002301"}'
    call "collector_status" collector_status '{}'
    call "diagnose_execution" diagnose_execution '{"execution_id":2301}'
} > "$place/reading"

row() { # SERVER, FIGURES on stdin
    while IFS=$'\t' read -r label rate median p99 longest refused; do
        printf '| %s | %s | %s | %s ms | %s ms |\n' "$1" "$label" "$rate" "$median" "$p99"
        [ "$refused" = 0 ] || { echo "$1, $label: $refused answers were no 200" >&2; exit 1; }
    done
}
for connections in 1 8; do
    printf '\n%s connection(s)\n\n| server | call | a second | median | p99 |\n| --- | --- | --- | --- | --- |\n' "$connections"
    "$bench" "$ours" "$connections" "$seconds" < "$place/health" | row "beacon-collector"
    "$bench" "$ours" "$connections" "$seconds" < "$place/refused" | tee "$place/fast" | row "beacon-collector"
    "$bench" "127.0.0.1:$port" "$connections" "$seconds" < "$place/added" | tee "$place/slow" | row "Python SDK 2.3.0"
    "$bench" "$ours" "$connections" "$seconds" < "$place/reading" | row "beacon-collector"
    awk -F'\t' '{ rate[NR] = $2 } END { printf "\n%.1f times the calls a second of the Python SDK\n", rate[1] / rate[2] }' \
        "$place/fast" "$place/slow"
done
