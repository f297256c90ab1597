#!/usr/bin/env bash
# What linking adds to the time of a bulk load: the log of bench-ingest.sh through a pipe into databases
# that hold a million spans of others already, with linking and without ([link] enabled) in turn.
#
#   scripts/bench-link-share.sh [SPANS=450000] [OTHERS=1000000] [ROUNDS=3]     on an otherwise idle machine
#
# BEACON_PROGRAM names a collector that is built already, KINDS some of the kinds of others (the names in the table).
# STATEMENTS=yes also prints what the server spent on each statement.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-$PWD/target}
if [ -z "${BEACON_PROGRAM:-}" ]; then
    cargo build --release --locked
    export BEACON_PROGRAM=$target/release/beacon-collector
fi
[ -x "$target/release/examples/make-log" ] || cargo build --release --locked --example make-log
export MAKE_LOG=$target/release/examples/make-log
exec bash scripts/postgres.sh run --with-statistics -- python3 scripts/bench_link_share.py "$@"
