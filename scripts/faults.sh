#!/usr/bin/env bash
# Runs the fault suite (a real Postgres, links that break and fall silent, PgBouncer, kills) and prints one
# table of what was lost and doubled.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
rm -f "$target"/faults-*.txt
bash scripts/postgres.sh run --with-pgbouncer -- \
    cargo nextest run --locked --status-level fail -E 'test(/^faults::/)'
awk 'FNR > 1 || NR == 1' "$target"/faults-*.txt | sed '/^$/d'
