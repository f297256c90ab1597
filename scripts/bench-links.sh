#!/usr/bin/env bash
# Linking by the whole program on Postgres: simulated worlds in which it is known what belongs to what, the
# runner's and router's rows in the database, the log through a pipe, one line a world.
#
#   scripts/bench-links.sh [SEEDS=20]
#
# BEACON_PROGRAM names a collector that is built already; WORLD another program that makes worlds like
# tests/lab/world.py. Beside the plain worlds there are late ones (rows of others come after the log and are
# linked by `link`), and ones with every fifth row of others twice.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${BEACON_PROGRAM:-}" ]; then
    cargo build --release --locked
    export BEACON_PROGRAM=${CARGO_TARGET_DIR:-$PWD/target}/release/beacon-collector
fi
exec bash scripts/postgres.sh run --without-fsync -- python3 scripts/bench_links.py "${1:-20}"
