"""The measuring half of bench-ingest.sh: runs whole processes, prints a table of times and ratios."""
import os
import resource
import subprocess
import sys
import tempfile
import time

SPANS = int(sys.argv[1])
SERVER = os.environ["BEACON_TEST_POSTGRES_URL"]
COLLECTOR = os.path.abspath(os.environ.get("BEACON_BIN") or "target/release/beacon-collector")
SCHEMA = ["tests/integration/support/runner_tables.sql", "tests/integration/support/trace_spans.sql"]


def psql(url, *arguments):
    done = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-At", url, *arguments],
                          check=True, capture_output=True, text=True)
    return done.stdout.strip()


def database(name):
    psql(SERVER, "-c", f"drop database if exists {name}", "-c", f"create database {name}")
    head, _, query = SERVER.partition("?")
    url = head.rsplit("/", 1)[0] + "/" + name + ("?" + query if query else "")
    for path in SCHEMA:
        psql(url, "-f", path)
    collect(url, os.devnull)        # makes our tables and indexes
    return url


def collect(url, log):
    """Seconds, CPU seconds and peak MiB of one collecting process."""
    with open(log, "rb") as lines:
        began = time.monotonic()
        child = subprocess.Popen([COLLECTOR, "--database", url, "--listen", "none"], stdin=lines,
                                 stderr=subprocess.PIPE)
        errors = child.stderr.read().decode()
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.monotonic() - began
    if status:
        sys.exit(f"the collector failed: {errors}")
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main():
    with tempfile.TemporaryDirectory() as folder:
        log, rows = os.path.join(folder, "log"), os.path.join(folder, "rows")
        with open(log, "wb") as out:
            subprocess.run(["target/release/examples/make-log", str(SPANS)], stdout=out, check=True)
        with open(log, "rb") as text:
            lines = sum(1 for _ in text)
        print(f"{lines} lines, {os.path.getsize(log) / 1e6:.0f} MB, {SPANS} spans", flush=True)

        url = database("bench_collector")
        ours = collect(url, log)
        stored = int(psql(url, "-c", "select count(*) from trace_spans"))
        assert stored == SPANS, f"{stored} rows stored, {SPANS} expected"
        again = collect(url, log)
        stored = int(psql(url, "-c", "select count(*) from trace_spans"))
        assert stored == SPANS, f"{stored} rows after a replay, {SPANS} expected"

        columns = ("trace_id,span_id,parent_span_id,service,operation,started_at,completed_at,duration_ms,status,"
                   "job_id,execution_id,model_id,region,metadata,error_message,error_type")
        psql(url, "-c", f"\\copy (select {columns} from trace_spans order by id) to '{rows}' (format binary)")
        bare = database("bench_copy")
        began = time.monotonic()
        psql(bare, "-c", f"\\copy trace_spans ({columns}) from '{rows}' (format binary)")
        copy = time.monotonic() - began

        sqlite = collect(f"sqlite:{folder}/beacon.db", log)

    print(f"{'':28}{'seconds':>9}{'lines/s':>11}{'spans/s':>10}{'own CPU s':>11}{'peak MiB':>10}{'ratio':>7}")
    print(f"{'bare COPY BINARY, one stream':28}{copy:9.2f}{'':11}{SPANS / copy:10.0f}{'':11}{'':10}{1:7.2f}")
    for name, (seconds, cpu, peak) in [("into Postgres", ours), ("into Postgres, replayed", again), ("into SQLite", sqlite)]:
        print(f"{name:28}{seconds:9.2f}{lines / seconds:11.0f}{SPANS / seconds:10.0f}{cpu:11.2f}{peak:10.1f}{copy / seconds:7.2f}")


main()
