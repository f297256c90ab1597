#!/usr/bin/env bash
# Fills an empty Postgres database with a history of the size that the latency and retention figures are
# taken on: jobs, executions, their spans and links, five spans an execution, up to now.
#
#   scripts/big-database.sh DATABASE-URL [SPANS=10000000] [DAYS=90]
#
# The tables are those of the runner and the router, then `beacon-collector migrate` adds what is its own;
# indexes are taken away for the load and built again as they were. 10 million spans take a few minutes
# and 8 GB. The URL's role must be a superuser: foreign keys are not checked while loading.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -ge 1 ] || { sed -n '2,10p' "$0" >&2; exit 2; }
url=$1 spans=${2:-10000000} days=${3:-90}
executions=$((spans / 5))
program=${BEACON_PROGRAM:-${CARGO_TARGET_DIR:-$PWD/target}/release/beacon-collector}
workers=${WORKERS:-$(nproc)}

say() { printf '%4ss  %s\n' "$SECONDS" "$*" >&2; }
ask() { psql -X -q -At -v ON_ERROR_STOP=1 "$url" "$@"; }

[ -x "$program" ] || { echo "no $program; run cargo build --release, or name the program in BEACON_PROGRAM" >&2; exit 2; }
if [ "$(ask -c "select to_regclass('public.trace_spans') is null and to_regclass('public.executions') is null")" != t ]; then
    echo "the database holds tables already; name an empty one" >&2
    exit 2
fi

say "tables"
ask -f tests/integration/support/runner_tables.sql -f tests/integration/support/trace_spans.sql
"$program" migrate --database "$url" >/dev/null
indexes=$(mktemp)
trap 'rm -f "$indexes"' EXIT
# All but those of primary keys and unique constraints.
ask > "$indexes" <<'SQL'
select x.indexdef
from pg_indexes x
where x.tablename in ('trace_spans', 'executions', 'execution_links')
  and not exists (select from pg_constraint c where c.conname = x.indexname);
SQL
ask <<'SQL'
select format('drop index %I.%I', x.schemaname, x.indexname)
from pg_indexes x
where x.tablename in ('trace_spans', 'executions', 'execution_links')
  and not exists (select from pg_constraint c where c.conname = x.indexname)
\gexec
SQL

say "$executions executions with their spans"
ends=$(ask -c 'select now()')
# Slices that begin with a job, loaded in the order of time.
slice=$(((executions / 20 / 18 + 1) * 18))
load() { # FIRST LAST
    ask -v lo="$1" -v hi="$2" -v total="$executions" -v days="$days" -v ends="$ends" \
        -c "set session_replication_role = replica" -c "set synchronous_commit = off" \
        -f benches/big/plan.sql -f benches/big/rows.sql
}
running=0
for ((first = 1; first <= executions; first += slice)); do
    last=$((first + slice - 1 < executions ? first + slice - 1 : executions))
    load "$first" "$last" &
    running=$((running + 1))
    if [ "$running" -ge "$workers" ]; then
        wait -n
        running=$((running - 1))
    fi
done
while [ "$running" -gt 0 ]; do
    wait -n
    running=$((running - 1))
done

say "indexes"
while IFS= read -r index; do
    ask -c "set maintenance_work_mem = '512MB'" -c "set synchronous_commit = off" -c "$index"
done < "$indexes"
ask <<'SQL'
select setval('jobs_id_seq', (select max(id) from jobs)),
    setval('executions_id_seq', (select max(id) from executions)) \g /dev/null
vacuum analyze;
SQL
say "$(ask -F ' ' -c "select (select count(*) from trace_spans), 'spans,', (select count(*) from executions), 'executions,',
    pg_size_pretty(pg_database_size(current_database()))")"
