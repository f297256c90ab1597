#!/usr/bin/env bash
# Builds the release binary twice: first one that notes which of its code is used how often, then one that is
# laid out for that (profile-guided optimisation). It stores a log with about a sixth less processor time, and
# takes a quarter of an hour on two idle cores. Prints the path of the binary as its last line.
#
#   scripts/build-optimized.sh
#
# What is noted: a log into Postgres and into SQLite, and the same once more; worlds whose executions are
# linked and diagnosed, over REST and on the command line; calls of MCP tools.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'build-optimized: %s (%ss since the start)\n' "$1" "$SECONDS" >&2; }

host=$(rustc -vV | sed -n 's/^host: //p')
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')

profdata() { # the tool that reads profiles of this compiler: its own, or Debian's of the same LLVM
    local own
    own=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata
    if [ -x "$own" ]; then
        printf '%s' "$own"
    else
        command -v "llvm-profdata-$llvm"
    fi
}
if ! profdata > /dev/null; then
    say "installing llvm-profdata of LLVM $llvm"
    { rustup component add llvm-tools || apt-get install -y -qq --no-install-recommends "llvm-$llvm"; } >&2 || true
    profdata > /dev/null || {
        echo "no llvm-profdata of LLVM $llvm; run: rustup component add llvm-tools (or install llvm-$llvm)" >&2
        exit 1
    }
fi

folder=$PWD/target/optimized
build() { # FLAGS, ARGUMENTS: the flags are not for build scripts, so the target is named
    local flags=$1
    shift
    RUSTFLAGS="${RUSTFLAGS-} $flags" cargo build --release --locked --target "$host" --target-dir "$folder" "$@"
}
rm -rf "$folder/raw"
mkdir -p "$folder/raw"

say "building one that takes notes"
build "-Cprofile-generate" --bin beacon-collector
built=$folder/$host/release
say "building what keeps it busy"
cargo build --locked --example make-log --example bench-http
examples=${CARGO_TARGET_DIR:-$PWD/target}/debug/examples

say "using it"
place=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; wait; rm -rf "$place"' EXIT
"$examples/make-log" 60000 > "$place/log"
export LLVM_PROFILE_FILE="$folder/raw/%m_%p.profraw"
export BEACON_PROGRAM=$built/beacon-collector
# shellcheck disable=SC2016
bash scripts/postgres.sh run -- bash -euc '
    psql -X -q "$BEACON_TEST_POSTGRES_URL" -c "drop database if exists optimized" -c "create database optimized"
    url=${BEACON_TEST_POSTGRES_URL%/*}/optimized
    for table in runner_tables trace_spans; do
        psql -X -q "$url" -f "tests/integration/support/$table.sql"
    done
    export STATE_DIRECTORY=$1
    for database in "$url" "sqlite:$1/log.db"; do
        for _ in 1 2; do
            "$BEACON_PROGRAM" --database "$database" --listen none < "$1/log"
        done
    done
    psql -X -q "$BEACON_TEST_POSTGRES_URL" -c "drop database optimized"
' - "$place" >&2
bash scripts/bench-worlds.sh --seeds 1-1 plain both >&2
bash scripts/bench-worlds.sh --seeds 2-2 --sqlite hot >&2

mkdir "$place/mcp"
export DATABASE_URL="sqlite:$place/mcp/beacon.db" STATE_DIRECTORY="$place/mcp"
"$BEACON_PROGRAM" migrate > /dev/null
python3 -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(open(sys.argv[2]).read())' \
    "$place/mcp/beacon.db" tests/mcp/world.sql
RUST_LOG=warn,beacon_collector::app=info "$BEACON_PROGRAM" run --listen 127.0.0.1:0 --keep-serving \
    < /dev/null 2> "$place/mcp/errors" &
server=$!
address=$(bash scripts/address.sh "$place/mcp/errors")
for call in 'get_trace {"trace_id":"00000000-0000-4000-8000-000000002301"}' 'collector_status {}' \
    'diagnose_execution {"execution_id":2301}' 'get_recent_failures {}' 'analyze_performance {}'; do
    printf '%s\t/mcp\t{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%s","arguments":%s}}\n' \
        "${call%% *}" "${call%% *}" "${call#* }"
done > "$place/mcp/calls"
"$examples/bench-http" "$address" 4 3 < "$place/mcp/calls" >&2
kill "$server"
wait "$server"
server=
unset LLVM_PROFILE_FILE

"$(profdata)" merge -o "$folder/profile" "$folder"/raw/*.profraw
say "building one for that"
build "-Cprofile-use=$folder/profile" --bin beacon-collector
say "done: $(stat -c %s "$built/beacon-collector") bytes"
printf '%s\n' "$built/beacon-collector"
