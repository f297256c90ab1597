#!/usr/bin/env bash
# Builds the collector and measures following: latency from line written to span visible, CPU and
# memory while a file grows, at idle with ten sources, and with the database away. BEACON_PROGRAM names a
# binary that is built already. Everything goes into a temporary folder.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${BEACON_PROGRAM:-}" ]; then
    cargo build --release --locked
    BEACON_PROGRAM=${CARGO_TARGET_DIR:-$PWD/target}/release/beacon-collector
fi
exec python3 scripts/bench_follow.py "$BEACON_PROGRAM" "$@"
