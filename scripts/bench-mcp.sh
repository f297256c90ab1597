#!/usr/bin/env bash
# How fast a tool call is, beside the official Python SDK (stateless, JSON answers, uvicorn), in one run on
# loopback with 8 kept connections. The call is one that costs next to nothing on either side — adding two
# numbers in Python, refusing an argument here — so that the protocol is what is measured; a call that
# reads the database stands below it. Needs what scripts/mcp-clients.sh sets up.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --quiet --locked --bin beacon-collector --example bench-mcp
target=${CARGO_TARGET_DIR:-$PWD/target}/release
calls=${CALLS:-20000}
place=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; wait; rm -rf "$place"' EXIT
export DATABASE_URL="sqlite:$place/beacon.db" STATE_DIRECTORY="$place" RUST_LOG=warn,beacon_collector::app=info

"$target/beacon-collector" migrate >/dev/null
python3 -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(open(sys.argv[2]).read())' \
    "$place/beacon.db" tests/mcp/world.sql
"$target/beacon-collector" run --listen 127.0.0.1:0 --keep-serving < /dev/null 2> "$place/log" &
servers+=($!)
python=.venv/mcp-2.3.0/bin/python
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$python" tests/mcp/peer.py "$port" 2> "$place/peer" &
servers+=($!)
for _ in $(seq 100); do
    ours=$(sed -n 's/.*address=\([0-9.:]*\).*/\1/p' "$place/log" | head -n 1)
    [ -n "$ours" ] && (: < "/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
    sleep 0.2
done
ask() { "$target/examples/bench-mcp" "$@"; }

printf '%-44s %12s %14s\n' "8 connections" "requests/s" "median, ms"
read -r fast median < <(ask "$ours" diagnose_execution '{}' 8 "$calls")
printf '%-44s %12s %14s\n' "beacon-collector, an argument refused" "$fast" "$median"
read -r slow median < <(ask "127.0.0.1:$port" add '{"a":1,"b":2}' 8 "$((calls / 10))")
printf '%-44s %12s %14s\n' "Python SDK 2.3.0, two numbers added" "$slow" "$median"
read -r rate median < <(ask "$ours" get_trace '{"trace_id":"00000000-0000-4000-8000-000000002301"}' 8 "$((calls / 10))")
printf '%-44s %12s %14s\n' "beacon-collector, get_trace" "$rate" "$median"
read -r rate median < <(ask "$ours" diagnose_execution '{"execution_id":2301}' 8 "$((calls / 10))")
printf '%-44s %12s %14s\n' "beacon-collector, diagnose_execution" "$rate" "$median"
printf '\n%-44s %12s %14s\n' "1 connection" "requests/s" "median, ms"
read -r rate median < <(ask "$ours" diagnose_execution '{}' 1 "$calls")
printf '%-44s %12s %14s\n' "beacon-collector, an argument refused" "$rate" "$median"
printf '\n%s times the requests a second\n' "$(awk "BEGIN { printf \"%.1f\", $fast / $slow }")"
