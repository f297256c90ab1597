#!/usr/bin/env bash
# Measures the diagnosis end to end, as a user meets it: rows go into a Postgres (or with --sqlite an
# embedded database), the log goes through a pipe into the collector, the collector links, and every
# execution, job and incomplete trace is asked about over REST and compared with the truth.
#
#   scripts/bench-worlds.sh [--seeds FROM-TO] [--phrases FILE] [--world SCRIPT] [--sqlite] [--check]
#                           [--wrong] [KIND...]
#
# KIND is plain, overlap, outage, both or hot (default: all of them). --world takes another script with
# the options of tests/lab/world.py; --wrong lists every mistake. BEACON_PROGRAM names a built binary.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${BEACON_PROGRAM:-}" ]; then
    cargo build --release --locked
    BEACON_PROGRAM=${CARGO_TARGET_DIR:-$PWD/target}/release/beacon-collector
fi
export BEACON_PROGRAM
exec bash scripts/postgres.sh run --without-fsync -- python3 scripts/bench_worlds.py "$@"
