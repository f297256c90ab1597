#!/usr/bin/env bash
# End to end: a log of 450,000 spans through a pipe into Postgres and into SQLite, beside one bare
# COPY BINARY stream of the same finished rows into the same table. Whole processes, in turn, ratios.
#
#   scripts/bench-ingest.sh [SPANS [ROUNDS]]        run on an otherwise idle machine
#
# BEACON_BIN names a built binary, such as that of scripts/build-optimized.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${BEACON_TEST_POSTGRES_URL:-}" ]; then
    [ -n "${BEACON_BIN:-}" ] || cargo build --release --locked
    cargo build --release --locked --example make-log
    exec bash scripts/postgres.sh run -- bash "$0" "$@"
fi
exec python3 scripts/bench_ingest.py "${1:-450000}" "${2:-5}"
