#!/usr/bin/env bash
# Runs the tests of the store on other Postgres servers than the one at hand, each
# through PgBouncer as well, and prints a table.
#
#   scripts/servers.sh [15 16 17 18]        default: 16 17 18
#
# The servers come from scripts/postgres-server.sh. Fails when a test failed on any of them.
set -euo pipefail
cd "$(dirname "$0")/.."

tests='test(/^store::/) and not test(/sqlite/)'
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
table='| server | passed | failed | skipped | seconds |\n| --- | --- | --- | --- | --- |\n'
failed=0
[ $# -gt 0 ] || set -- 16 17 18
cargo nextest run --workspace --locked --no-run
for version; do
    bin=$(bash scripts/postgres-server.sh "$version")
    began=$SECONDS
    BEACON_POSTGRES_BIN=$bin bash scripts/postgres.sh run --with-pgbouncer -- \
        cargo nextest run --workspace --locked --no-fail-fast -E "$tests" > "$out/log" 2>&1 || failed=1
    name=$("$bin/postgres" --version | grep -o '[0-9][0-9.]*' | head -n 1)
    summary=$(grep -a 'Summary' "$out/log" || true)
    # How many of a kind; the summary leaves out kinds of which there are none.
    count() { grep -o "[0-9]* $1" <<< "$summary" | grep -o '^[0-9]*' || echo 0; }
    if [ -z "$summary" ]; then
        tail -n 20 "$out/log" >&2
        failed=1
    fi
    grep -a '^ *\(FAIL\|TIMEOUT\)' "$out/log" >&2 || true
    table+="| PostgreSQL $name | $(count passed) | $(count failed) | $(count skipped) | $((SECONDS - began)) |\n"
done
printf "%b" "$table"
exit $failed
