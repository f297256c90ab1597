#!/usr/bin/env bash
# End to end: a log of 450,000 spans through a pipe into Postgres and into SQLite, beside one bare
# COPY BINARY stream of the same finished rows into the same table. Whole processes, in turn, ratios.
#
#   scripts/bench-ingest.sh [SPANS=450000] [ROUNDS=5]        run on an otherwise idle machine
#
# Medians of ROUNDS. BEACON_PROGRAM names a collector that is built already, such as that of scripts/build-optimized.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-$PWD/target}
wanted=(--example make-log)
[ -n "${BEACON_PROGRAM:-}" ] || wanted+=(--bin beacon-collector)
cargo build --release --locked "${wanted[@]}"
export BEACON_PROGRAM=${BEACON_PROGRAM:-$target/release/beacon-collector}
export MAKE_LOG=$target/release/examples/make-log
exec bash scripts/postgres.sh run -- python3 scripts/bench_ingest.py "${1:-450000}" "${2:-5}"
