#!/usr/bin/env bash
# How long answers take on a large database, with 20 callers at once that each ask again as soon as they
# are answered, and with log lines coming in meanwhile.
#
#   scripts/bench-latency.sh [postgres|sqlite] [SPANS] [SECONDS]
#
# postgres: 10 million spans unless said otherwise, in a server of its own that is gone afterwards, or in the
# database that BENCH_DATABASE names (one that scripts/big-database.sh made). sqlite: 1 million. Each
# tool is asked for SECONDS (5) with ids drawn from the failures of the last two days and, one in twenty, of
# all time. One caller comes first, to a collector that has just started. FEED is how many printed spans a
# second come in (200), CALLERS how many ask at once (20).
set -euo pipefail
cd "$(dirname "$0")/.."

kind=${1:-postgres}
case $kind in
postgres) spans=${2:-10000000} ;;
sqlite) spans=${2:-1000000} ;;
*) sed -n '2,12p' "$0" >&2; exit 2 ;;
esac
seconds=${3:-5}
target=${CARGO_TARGET_DIR:-$PWD/target}/release
if [ -z "${BENCH_DATABASE:-}" ] && [ -z "${BEACON_TEST_POSTGRES_URL:-}" ]; then
    cargo build --release --locked --bin beacon-collector --example bench-http
    exec bash scripts/postgres.sh run -- bash "$0" "$kind" "$spans" "$seconds"
fi
export BEACON_PROGRAM=${BEACON_PROGRAM:-$target/beacon-collector}
bench=${BENCH_HTTP:-$target/examples/bench-http}

place=$(mktemp -d)
collector='' feeder=''
trap '[ -z "$feeder" ] || kill "$feeder" 2>/dev/null || true; [ -z "$collector" ] || kill "$collector" 2>/dev/null || true; wait; rm -rf "$place"' EXIT

source=${BENCH_DATABASE:-}
if [ -z "$source" ]; then
    source=$BEACON_TEST_POSTGRES_URL
    source=${source%/*}/bench_latency
    psql -X -q "$BEACON_TEST_POSTGRES_URL" -c 'create database bench_latency'
    bash scripts/big-database.sh "$source" "$spans"
fi
database=$source
if [ "$kind" = sqlite ]; then
    # BENCH_SQLITE names one that scripts/big_sqlite.py made of the same source.
    database="sqlite:${BENCH_SQLITE:-$place/beacon.db}"
    [ -n "${BENCH_SQLITE:-}" ] || python3 scripts/big_sqlite.py "$source" "$place/beacon.db" "$BEACON_PROGRAM"
fi

# Failures of the last two days, and one in twenty of any time; their jobs and traces.
psql -X -q -At -F ' ' -v ON_ERROR_STOP=1 "$source" > "$place/ids" <<'SQL'
create temp table chosen as
(select e.id, e.job_id from executions e
 where e.created_at > (select max(created_at) - interval '2 days' from executions) and e.status = 'failed'
 order by hashint8(e.id) limit 380)
union all
(select e.id, e.job_id from executions e
 where e.id % 997 = 0 and e.status = 'failed'
 order by hashint8(e.id) limit 20);
select 'execution', id from chosen;
select 'job', j.jobspec_id from jobs j where j.id in (select job_id from chosen);
select 'trace', l.trace_id from beacon_collector.execution_links l where l.execution_id in (select id from chosen);
-- As people type them.
select 'trace', left(l.trace_id::text, 13) from beacon_collector.execution_links l
where l.execution_id in (select id from chosen where id % 4 = 0);
SQL
python3 scripts/bench_latency.py questions < "$place/ids" > "$place/questions"

mkfifo "$place/log"
python3 scripts/bench_latency.py feed "${FEED:-200}" > "$place/log" &
feeder=$!
RUST_LOG=warn,beacon_collector::app=info STATE_DIRECTORY="$place" "$BEACON_PROGRAM" run --database "$database" \
    --listen 127.0.0.1:0 < "$place/log" 2> "$place/said" &
collector=$!
address=$(bash scripts/address.sh "$place/said")

# Processor time so far, in ticks: the collector's and, for Postgres, that of the server's processes.
if [ "$kind" = postgres ]; then
    server=$(psql -X -q -At "$source" -c "select pg_read_file('postmaster.pid', 0, 20)" | head -n 1)
else
    server=none
fi
ticks() {
    local processes=$collector
    [ "$server" = none ] || processes="$processes $(pgrep -P "$server" | tr '\n' ' ')"
    # What ended meanwhile counts as its parent's children.
    [ "$server" = none ] || awk '{ print $16 + $17 }' "/proc/$server/stat"
    for process in $processes; do
        awk '{ print $14 + $15 }' "/proc/$process/stat" 2>/dev/null || true
    done
}
sum() { awk '{ all += $1 } END { print all + 0 }'; }

measure() { # CALLERS: each tool by itself
    local label before after
    cut -f 1 "$place/questions" | awk '!seen[$0]++' | while IFS= read -r label; do
        awk -F'\t' -v label="$label" '$1 == label' "$place/questions" > "$place/some"
        before=$(ticks | sum)
        "$bench" "$address" "$1" "$seconds" < "$place/some" > "$place/figures"
        after=$(ticks | sum)
        awk -F'\t' -v OFS='\t' -v ticks="$((after - before))" -v hz="$(getconf CLK_TCK)" -v period="$seconds" \
            '{ print $0, sprintf("%.2f", ticks * 1000 / hz / ($2 * period + 1)) }' "$place/figures"
    done | python3 scripts/bench_latency.py table
}
printf '\n%s, %s cores, load %s: one caller\n\n' "$kind" "$(nproc)" "$(cut -d' ' -f1 /proc/loadavg)"
measure 1
# Once round before it is measured: what is asked again and again is known to a collector that runs.
BENCH_MIXED=1 "$bench" "$address" "${CALLERS:-20}" 10 < "$place/questions" > "$place/warm-up"
printf '\n%s callers at once, all tools in turn, load %s\n\n' "${CALLERS:-20}" "$(cut -d' ' -f1 /proc/loadavg)"
BENCH_MIXED=1 "$bench" "$address" "${CALLERS:-20}" "$((3 * seconds))" < "$place/questions" |
    awk -F'\t' -v OFS='\t' '{ print $0, "-" }' | python3 scripts/bench_latency.py table
printf '\n%s callers at once, each tool by itself, load %s\n\n' "${CALLERS:-20}" "$(cut -d' ' -f1 /proc/loadavg)"
measure "${CALLERS:-20}"
printf '\nmemory of the collector: %s MiB\n' "$(awk '/VmRSS/ { print int($2 / 1024) }' "/proc/$collector/status")"
sed -n "s/.* WARN /warning: /p" "$place/said" | cut -c1-160 | sort | uniq -c | sort -rn | head -n 5
