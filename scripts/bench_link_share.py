"""The measuring half of bench-link-share.sh: whole processes, with linking and without in turn, medians."""
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

NUMBERS = [int(text) for text in sys.argv[1:]]
SPANS, OTHERS, ROUNDS = NUMBERS + [450_000, 1_000_000, 3][len(NUMBERS):]
SERVER = os.environ["BEACON_TEST_POSTGRES_URL"]
PROGRAM, MAKE_LOG = os.environ["BEACON_PROGRAM"], os.environ["MAKE_LOG"]
SCHEMA = ["tests/integration/support/runner_tables.sql", "tests/integration/support/trace_spans.sql"]
BEGINS = "timestamptz '2025-10-01 00:00:00Z'"       # of every log that make-log writes

# Calls of others: a runner's span, a router's span and an execution each, of the models and regions of make-log.
# Number n of them begins at ANCHOR + n * STEP seconds, a fifth of a second before the span that it encloses.
CALLS = """
create temp table calls as
select n, md5('trace ' || n)::uuid as trace, md5('runner ' || n)::uuid as runner, md5('router ' || n)::uuid as router,
    {begins} + make_interval(secs => {anchor} + n * {step} - 0.2) as from_, make_interval(secs => {took}) as took,
    'job-' || n / 8 as job, 'question_' || n % 8 as question,
    (array['llama3.2-1b', 'mistral-7b', 'qwen2.5-1.5b'])[1 + n % 3] as model,
    (array['US', 'EU', 'ASIA'])[1 + n / 3 % 3] as region,
    case when n % 16 = 0 then 'failed' else 'completed' end as status
from generate_series(0, {calls} - 1) n;
insert into jobs (id, jobspec_id, jobspec_data) select n, 'job-' || n, '{{}}' from generate_series(0, {calls} / 8) n;
insert into executions (id, job_id, provider_id, region, status, started_at, completed_at, created_at, model_id, question_id)
select 1 + n, n / 8, 'modal', region, status, (from_ - interval '10ms') at time zone 'UTC',
    (from_ + took + interval '90ms') at time zone 'UTC', (from_ + took + interval '100ms') at time zone 'UTC', model, question
from calls;
insert into trace_spans (trace_id, span_id, parent_span_id, service, operation, started_at, completed_at, duration_ms, status, metadata)
select trace, runner, null, 'runner', 'execute_question', from_ - interval '10ms', from_ + took + interval '90ms',
    (1000 * extract(epoch from took) + 100)::int, status,
    jsonb_build_object('job_id', job, 'model_id', model, 'region', region, 'question_id', question)
from calls
union all
select trace, router, runner, 'router', 'modal_call', from_, from_ + took + interval '80ms',
    (1000 * extract(epoch from took) + 80)::int, status,
    jsonb_build_object('model', model, 'region', region, 'provider', 'modal-' || lower(region))
from calls;
"""
# Kind: spans of the log in a second; of the calls: where they begin, seconds between two of them, how long each takes.
KINDS = {
    # Two days about the log, as a service has them that runs all the time.
    "days around": (1000, -86_400, 172_800 / (OTHERS / 2), "0.5 + n % 300 / 100.0"),
    # All of them within the log: a thousand calls begin in each second of it.
    "same minutes": (1000, 0, SPANS / 1000 / (OTHERS / 2), "0.5 + n % 300 / 100.0"),
    # The log of the calls themselves, five a second: each printed span has its call.
    "its callers": (5, 0, 0.2, "2.6"),
}


def psql(url, *arguments):
    done = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-At", "-F", "\t", url, *arguments],
                          check=True, capture_output=True, text=True)
    return done.stdout.strip()


def address(name):
    return SERVER.rsplit("/", 1)[0] + "/" + name


def fill(kind):
    """A database to copy: the tables with the calls of a kind in them, ours beside them, all indexes built."""
    _, anchor, step, took = KINDS[kind]
    psql(SERVER, "-c", "drop database if exists share_others", "-c", "create database share_others")
    url = address("share_others")
    psql(url, "-f", SCHEMA[0], "-f", SCHEMA[1])
    keys = psql(url, "-c", "select indexdef || ';' from pg_indexes x where tablename in ('trace_spans', 'executions') "
                "and not exists (select from pg_constraint c where c.conname = x.indexname)")
    names = re.findall(r"INDEX (\w+)", keys)
    psql(url, "-c", f"drop index {', '.join(names)}")
    calls = CALLS.format(begins=BEGINS, anchor=anchor, step=step, took=took, calls=OTHERS // 2)
    psql(url, "-c", "set synchronous_commit = off", "-c", calls, "-c", keys)
    subprocess.run([PROGRAM, "migrate", "--database", url], check=True, capture_output=True)
    psql(url, "-c", "vacuum analyze")


def collect(url, log, state, links):
    """Seconds until all is stored, until all is linked as well, own CPU seconds, peak MiB, and what was linked."""
    env = {**os.environ, "BEACON_LINK_ENABLED": links, "STATE_DIRECTORY": state, "RUST_LOG": "warn"}
    with open(log, "rb") as lines:
        began = time.monotonic()
        child = subprocess.Popen([PROGRAM, "--database", url, "--listen", "none"], stdin=lines, env=env,
                                 stderr=subprocess.PIPE)
        said = child.stderr.read().decode()
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.monotonic() - began
    if status:
        sys.exit(f"the collector failed: {said}")
    behind = re.search(r"^linked .*?(?:, in ([0-9.]+) s)$", said, re.MULTILINE)
    linked = re.search(r"^linked .*$|cannot link.*$|linking takes.*$", said, re.MULTILINE)
    after = float(behind.group(1)) if behind else 0.0
    return seconds - after, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, linked.group(0) if linked else ""


def run(kind, log, links):
    psql(SERVER, "-c", "drop database if exists share_run", "-c", "create database share_run template share_others",
         "-c", "checkpoint", "-c", "select pg_stat_statements_reset()")
    with tempfile.TemporaryDirectory() as state:
        result = collect(address("share_run"), log, state, links)
    count = "select count(*), count(*) filter (where trace_id <> span_id) from trace_spans where metadata ->> 'collector' = 'beacon-collector'"
    stored, linked = map(int, psql(address("share_run"), "-c", count).split("\t"))
    assert stored == SPANS, f"{stored} rows stored, {SPANS} expected"
    return *result, linked


def statements():
    """What the server spent on each statement of the last run, dearest first."""
    return psql(SERVER, "-c", "select calls, round(total_exec_time), round((total_exec_time / calls)::numeric, 2), rows, "
                "shared_blks_hit + shared_blks_read, left(regexp_replace(query, '^(--[^\n]*\n)+|\\s+', ' ', 'g'), 150) "
                "from pg_stat_statements where dbid = (select oid from pg_database where datname = 'share_run') "
                "order by total_exec_time desc limit 14")


def main():
    psql(SERVER, "-c", "create extension if not exists pg_stat_statements")
    kinds = [kind.strip() for kind in os.environ.get("KINDS", ",".join(KINDS)).split(",")]
    print(f"{SPANS} printed spans, {OTHERS} spans of others; median of {ROUNDS} rounds, seconds", flush=True)
    print("| others | stored, without | stored, with | share | all linked after | share | own CPU, without | with | peak MiB, without | with | linked |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for kind in kinds:
        fill(kind)
        with tempfile.NamedTemporaryFile() as log:
            subprocess.run([MAKE_LOG, str(SPANS), "0", str(KINDS[kind][0])], stdout=log, check=True)
            runs = {"false": [], "true": []}
            for number in range(ROUNDS):
                for links in ("true", "false") if number % 2 else ("false", "true"):
                    runs[links].append(run(kind, log.name, links))
                    print(f"{kind}, links {links}: {runs[links][-1]}", file=sys.stderr, flush=True)
                    if links == "true" and os.environ.get("STATEMENTS"):
                        print(statements(), file=sys.stderr, flush=True)
        without, with_ = ([statistics.median(column) for column in list(zip(*runs[links]))[:4]] for links in ("false", "true"))
        print(f"| {kind} | {without[0]:.1f} | {with_[0]:.1f} | {with_[0] / without[0] - 1:+.1%} | {with_[1]:.1f} | {with_[1] / without[1] - 1:+.1%} "
              f"| {without[2]:.1f} | {with_[2]:.1f} | {without[3]:.0f} | {with_[3]:.0f} | {runs['true'][-1][5]} |", flush=True)


main()
