#!/usr/bin/env bash
# Writes docs/plans.md: how Postgres goes about each statement of the store, on a database that
# scripts/big-database.sh fills (a million spans unless told otherwise). The statements are those that the
# store ran when it was asked everything; the server logs their plans.
#
#   scripts/explain.sh [SPANS=1000000]
set -euo pipefail
cd "$(dirname "$0")/.."

spans=${1:-1000000}
target=${CARGO_TARGET_DIR:-$PWD/target}
if [ -z "${BEACON_TEST_POSTGRES_URL:-}" ]; then
    export BEACON_PROGRAM=${BEACON_PROGRAM:-$target/debug/beacon-collector}
    cargo build --locked --quiet --bin beacon-collector --example explain-store
    exec bash scripts/postgres.sh run --without-fsync -- bash "$0" "$spans"
fi
ask() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }
ask "$BEACON_TEST_POSTGRES_URL" -c "create database plans"
url=${BEACON_TEST_POSTGRES_URL%/*}/plans
bash scripts/big-database.sh "$url" "$spans" 30
log=$(ask "$url" -c "show data_directory")/../server.log
ask "$url" <<'SQL'
alter database plans set session_preload_libraries = 'auto_explain';
alter database plans set auto_explain.log_min_duration = 0;
alter database plans set auto_explain.log_analyze = on;
alter database plans set auto_explain.log_format = 'json';
alter database plans set auto_explain.log_nested_statements = on;
SQL
before=$(wc -c < "$log")
# The second time all of it is in memory.
for _ in 1 2; do
    before=$(wc -c < "$log")
    "$target/debug/examples/explain-store" "$url"
done
tail -c "+$((before + 1))" "$log" | python3 scripts/explain_page.py "$url" > docs/plans.md.new
mv docs/plans.md.new docs/plans.md
