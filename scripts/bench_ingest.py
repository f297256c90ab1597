"""The measuring half of bench-ingest.sh: runs whole processes, prints a table of medians, spreads and ratios."""
import glob
import os
import statistics
import subprocess
import sys
import tempfile
import time

SPANS, ROUNDS = int(sys.argv[1]), int(sys.argv[2])
SERVER = os.environ["BEACON_TEST_POSTGRES_URL"]
PROGRAM, MAKE_LOG = os.environ["BEACON_PROGRAM"], os.environ["MAKE_LOG"]
SCHEMA = ["tests/integration/support/runner_tables.sql", "tests/integration/support/trace_spans.sql"]
KINDS = ("bare COPY BINARY, one stream", "into Postgres", "into Postgres, replayed", "into SQLite")


def psql(url, *arguments):
    done = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-At", url, *arguments],
                          check=True, capture_output=True, text=True)
    return done.stdout.strip()


def settle():
    """Leaves nothing that the server still works on for the run before: it would be on the account of the next."""
    psql(SERVER, "-c", "drop database if exists bench", "-c", "checkpoint")


def database():
    settle()
    psql(SERVER, "-c", "create database bench")
    head, _, query = SERVER.partition("?")
    url = head.rsplit("/", 1)[0] + "/bench" + ("?" + query if query else "")
    for path in SCHEMA:
        psql(url, "-f", path)
    collect(url, os.devnull)        # makes our tables and indexes
    return url


def collect(url, log):
    """Seconds, CPU seconds and peak MiB of one collecting process."""
    with open(log, "rb") as lines:
        began = time.monotonic()
        child = subprocess.Popen([PROGRAM, "--database", url, "--listen", "none"], stdin=lines,
                                 stderr=subprocess.PIPE)
        errors = child.stderr.read().decode()
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.monotonic() - began
    if status:
        sys.exit(f"the collector failed: {errors}")
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def rounds(log, folder):
    """One dictionary of (seconds, CPU seconds, peak MiB) a round: each kind of run once, in turn."""
    rows = os.path.join(folder, "rows")
    columns = ("trace_id,span_id,parent_span_id,service,operation,started_at,completed_at,duration_ms,status,"
               "job_id,execution_id,model_id,region,metadata,error_message,error_type")
    for number in range(1, ROUNDS + 1):
        url = database()
        ours = collect(url, log)
        expect(url, "stored")
        again = collect(url, log)
        expect(url, "after a replay")
        if number == 1:
            psql(url, "-c", f"\\copy (select {columns} from trace_spans order by id) to '{rows}' (format binary)")

        bare = database()
        began = time.monotonic()
        psql(bare, "-c", f"\\copy trace_spans ({columns}) from '{rows}' (format binary)")
        copy = time.monotonic() - began, 0, 0

        settle()
        file = os.path.join(folder, f"{number}.db")
        sqlite = collect(f"sqlite:{file}", log)
        for path in glob.glob(file + "*"):
            os.remove(path)
        print(f"round {number} of {ROUNDS}: bare COPY {copy[0]:.2f} s, into Postgres {ours[0]:.2f} s with {ours[1]:.2f} s of "
              f"own CPU, into SQLite {sqlite[0]:.2f} s", flush=True)
        yield dict(zip(KINDS, (copy, ours, again, sqlite)))


def expect(url, when):
    stored = int(psql(url, "-c", "select count(*) from trace_spans"))
    assert stored == SPANS, f"{stored} rows {when}, {SPANS} expected"


def spread(values):
    """The median, and the least and the greatest where there are several."""
    median = f"{statistics.median(values):.2f}"
    return f"{median} ({min(values):.2f}-{max(values):.2f})" if len(values) > 1 else median


def main():
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "log")
        with open(log, "wb") as out:
            subprocess.run([MAKE_LOG, str(SPANS)], stdout=out, check=True)
        with open(log, "rb") as text:
            lines = sum(1 for _ in text)
        print(f"{lines} lines, {os.path.getsize(log) / 1e6:.0f} MB, {SPANS} spans", flush=True)
        done = list(rounds(log, folder))

    # How fast the machine is at the moment is in the seconds of the bare COPY: both ratios are to them.
    print(f"{'':30}{'seconds':>21}{'lines/s':>10}{'spans/s':>9}{'own CPU s':>18}{'its ratio':>18}{'peak MiB':>10}{'ratio of rates':>18}")
    for kind in KINDS:
        seconds, cpu, peak = zip(*(figures[kind] for figures in done))
        bare = [figures[KINDS[0]][0] for figures in done]
        ratio = [copy / took for copy, took in zip(bare, seconds)]
        share = [used / copy for copy, used in zip(bare, cpu)]
        rate = 1 / statistics.median(seconds)
        ours = kind != KINDS[0]
        print(f"{kind:30}{spread(seconds):>21}{lines * rate if ours else '':>10{'.0f' if ours else ''}}{SPANS * rate:9.0f}"
              f"{spread(cpu) if ours else '':>18}{spread(share) if ours else '':>18}{f'{max(peak):.1f}' if ours else '':>10}{spread(ratio):>18}")


main()
