#!/usr/bin/env bash
# What a large history costs: sizes, the rate of inserting into it beside an empty copy, look-ups, and a step of
# retention, on a database that scripts/big-database.sh has filled (10 million spans unless told otherwise).
# Figures of docs/scaling.md. Inserts 300,000 rows and deletes some thousands, so use a copy.
#
#   scripts/bench-scale.sh DATABASE-URL
#
# The URL's role must be a superuser.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# = 1 ] || { sed -n '2,9p' "$0" >&2; exit 2; }
url=$1
ask() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }
place=$(mktemp -d)
empty=scale_empty_$$
server=${url%/*}
trap 'rm -rf "$place"; ask "$url" -c "drop database if exists $empty with (force)"' EXIT

echo "## Sizes"
ask "$url" -F ' | ' -c "select relname, pg_size_pretty(pg_table_size(oid)), pg_size_pretty(pg_indexes_size(oid)),
    round((pg_table_size(oid) + pg_indexes_size(oid)) / nullif(reltuples, 0)::numeric) || ' B a row'
    from pg_class where oid in ('trace_spans'::regclass, 'executions'::regclass, 'beacon_collector.execution_links'::regclass)"
ask "$url" -F ' | ' -c "select indexrelid::regclass, pg_size_pretty(pg_relation_size(indexrelid))
    from pg_index where indrelid = 'trace_spans'::regclass order by pg_relation_size(indexrelid) desc"

echo "## Inserting 100,000 rows of ours, by COPY, three times in turn: rows/s empty, full"
ask "$url" -c "create database $empty"
pg_dump -s "$url" -t public.trace_spans | ask "$server/$empty" -o /dev/null
columns="trace_id, span_id, parent_span_id, service, operation, started_at, completed_at, duration_ms, status, job_id, execution_id,
    model_id, region, metadata, error_message, error_type"
for round in 1 2 3; do
    # New spans of the days behind the last one, with ids of their own, as random as real ones.
    ask "$url" -c "\\copy (select md5('t' || id || '$round')::uuid, md5('s' || id || '$round')::uuid, parent_span_id, service, operation,
        started_at + interval '90 days', completed_at + interval '90 days', duration_ms, status, job_id, execution_id, model_id,
        region, metadata, error_message, error_type from trace_spans
        where metadata ->> 'collector' = 'beacon-collector' and started_at > (select max(started_at) - interval '3 days' from trace_spans
        where started_at < now()) limit 100000) to '$place/rows' (format binary)"
    for target in "$server/$empty" "$url"; do
        began=$(date +%s%N)
        ask "$target" -c "\\copy trace_spans ($(echo $columns)) from '$place/rows' (format binary)"
        echo -n "$((100000 * 1000000 / (($(date +%s%N) - began) / 1000))) "
    done
    echo
done

echo "## Look-ups, the second of two runs, ms"
look() { # NAME SQL
    local took
    took=$(for _ in 1 2; do ask "$url" -c "set statement_timeout = '60s'" -c "explain (analyze, timing off) $2" | sed -n 's/^Execution Time: //p'; done | tail -n 1)
    echo "$1: $took"
}
ids="$(ask "$url" -c "select string_agg(quote_literal(trace_id), ',') from trace_spans where id in (1000000, 5000000, 9000000)")"
look "spans of three traces" "select * from trace_spans where trace_id in ($ids)"
look "spans of an execution" "select * from trace_spans where execution_id = 1234567"
look "links of an execution" "select * from beacon_collector.execution_links where execution_id = 1234567"
look "links of 1,000 traces" "select * from beacon_collector.execution_links where trace_id = any(array(select md5('trace ' || n)::uuid from generate_series(500000, 500999) n))"
look "rows of ours by 2,000 log ids" "select s.id from (select md5('modal ' || n)::uuid low from generate_series(500000, 501999) n) r
    cross join lateral (select id from trace_spans o where o.span_id between r.low and r.low and o.metadata ->> 'collector' = 'beacon-collector' offset 0) s"
look "the latest 50 spans" "select * from trace_spans order by started_at desc limit 50"
look "printed spans of a minute" "select * from trace_spans where started_at between now() - interval '30 days' and now() - interval '30 days' + interval '1 minute'
    and metadata @> '{\"collector\": \"beacon-collector\"}'"

echo "## Retention, a step of 5,000 rows looked at: reading, judging, deleting those of ours, ms, five times"
for step in 1 2 3 4 5; do
    ask "$url" <<'SQL'
set enable_seqscan = off;
create temp table looked as select id, trace_id, metadata ->> 'collector' = 'beacon-collector' as ours from trace_spans limit 0;
\timing on
insert into looked select id, trace_id, coalesce(metadata ->> 'collector' = 'beacon-collector', false) from trace_spans
    where started_at >= 'epoch' and (started_at, id) > ('epoch', 0) order by started_at, id limit 5000;
select distinct trace_id from trace_spans where trace_id = any (array(select trace_id from looked)) and lower(status) in ('failed', 'timeout') \g /dev/null
delete from trace_spans where trace_id = any (array(select trace_id from looked where ours)) and id = any (array(select id from looked where ours));
SQL
done | grep -o 'Time: [0-9.]*' | paste -d ' ' - - - | sed 's/Time: //g'
echo "## Rows that a vacuum has to come back for, and what it takes"
ask "$url" -c "\\timing on" -c "vacuum trace_spans" | tail -n 1
