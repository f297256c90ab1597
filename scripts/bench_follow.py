"""Measures following. Usage: bench_follow.py BINARY [LINES_PER_SECOND [SECONDS [PART...]]]

PARTs: follow idle away (all unless named), and catch-up, which needs a Postgres superuser's URL in
BEACON_TEST_POSTGRES_URL (scripts/postgres.sh gives one).
"""

import os
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timedelta, timezone

BINARY = os.path.abspath(sys.argv[1])
RATE = int(sys.argv[2]) if len(sys.argv) > 2 else 50_000
SECONDS = int(sys.argv[3]) if len(sys.argv) > 3 else 10
POSTGRES = os.environ.get("BEACON_TEST_POSTGRES_URL")
PARTS = sys.argv[4:] or ["follow", "idle", "away"] + ["catch-up"] * bool(POSTGRES)
TICK = 0.01
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
START = datetime(2026, 3, 1, tzinfo=timezone.utc)


class Collector:
    def __init__(self, home, *arguments):
        environment = {"PATH": os.environ["PATH"], "STATE_DIRECTORY": str(home)}
        log = open(home / "collector.log", "w")
        command = [BINARY, "--listen", "none", *arguments]
        self.process = subprocess.Popen(
            command, env=environment, cwd=home, stdin=subprocess.DEVNULL, stderr=log
        )

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND

    def memory(self, name):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) / 1024
        return 0.0

    def stop(self):
        self.process.kill()
        self.process.wait()


def lines(number):
    """Six lines of which two are a span's."""
    at = START + timedelta(milliseconds=number)
    prefix = f"{at:%Y-%m-%d %H:%M:%S}+00:00 fc-01F{number} ta-01C{number % 12}"
    noise = f"{prefix} [INFERENCE] Using preloaded mistral-7b, and some words more\n"
    return (
        f"{prefix} 🔍 TRACE[{number:08x}]: Modal inference started - model=mistral-7b, region=us-east\n"
        f"{noise * 4}"
        f"{prefix} 🔍 TRACE[{number:08x}]: SUCCESS - duration=0.12s, tokens={number % 500}\n"
    )


def follow():
    home = pathlib.Path(tempfile.mkdtemp(prefix="beacon-follow-"))
    log = home / "app.log"
    log.touch()
    collector = Collector(home, "--source", "file:app.log")
    database = home / "beacon.db"
    while not database.exists():
        time.sleep(0.05)
    time.sleep(1.0)
    spans_a_tick = int(RATE * TICK / 6)
    total = spans_a_tick * int(SECONDS / TICK)
    texts = ["".join(lines(n) for n in range(at, at + spans_a_tick)) for at in range(0, total, spans_a_tick)]
    written = {}

    def write():
        begin = time.monotonic()
        with open(log, "a", encoding="utf-8") as file:
            for tick, text in enumerate(texts):
                time.sleep(max(0.0, begin + tick * TICK - time.monotonic()))
                file.write(text)
                file.flush()
                written[tick] = time.monotonic()

    before = (collector.cpu(), time.monotonic())
    writer = threading.Thread(target=write)
    writer.start()
    latencies, last = [], 0
    reader = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    deadline = time.monotonic() + SECONDS + 60
    while len(latencies) < total and time.monotonic() < deadline:
        rows = reader.execute(
            "select id, metadata ->> 'log_id' from trace_spans where id > ? order by id", (last,)
        ).fetchall()
        now = time.monotonic()
        for last, log_id in rows:
            latencies.append(now - written[int(log_id, 16) // spans_a_tick])
        time.sleep(0.02)
    used, took = collector.cpu() - before[0], time.monotonic() - before[1]
    latencies.sort()
    at = lambda share: latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1000
    print(f"followed {len(latencies)} of {total} spans at {total * 6 / SECONDS:.0f} lines/s for {SECONDS} s")
    print(f"  written to visible: p50 {at(0.5):.0f} ms, p95 {at(0.95):.0f} ms, p99 {at(0.99):.0f} ms, worst {at(1):.0f} ms")
    for low, high in [(0, 250), (250, 500), (500, 750), (750, 1000), (1000, 2000), (2000, 10**6)]:
        count = sum(low <= value * 1000 < high for value in latencies)
        label = f"{low}-{high} ms" if high < 10**6 else f"over {low} ms"
        print(f"  {label:>14} {count:>8} {'#' * round(50 * count / max(1, len(latencies)))}")
    print(f"  CPU {used:.2f} s in {took:.1f} s = {used / took:.2f} cores; peak memory {collector.memory('VmHWM'):.0f} MiB")
    collector.stop()


def idle():
    home = pathlib.Path(tempfile.mkdtemp(prefix="beacon-idle-"))
    sources = []
    for number in range(10):
        (home / f"{number}.log").write_text(lines(number), encoding="utf-8")
        sources += ["--source", f"file:{number}.log"]
    collector = Collector(home, *sources)
    time.sleep(5)
    before, seconds = collector.cpu(), 20
    time.sleep(seconds)
    used = collector.cpu() - before
    print(f"idle with ten sources: {100 * used / seconds:.2f} % of a core, {collector.memory('VmRSS'):.0f} MiB")
    collector.stop()


def away():
    home = pathlib.Path(tempfile.mkdtemp(prefix="beacon-away-"))
    command = 'while :; do cat burst; sleep 0.5; done'
    (home / "burst").write_text("".join(lines(number) for number in range(500)), encoding="utf-8")
    sources = []
    for number in range(10):
        sources += ["--source", f"command:{command} # {number}"]
    # Nobody listens there.
    collector = Collector(home, "--database", "postgres://nobody@127.0.0.1:1/nothing", *sources)
    time.sleep(30)
    spooled = sum(file.stat().st_size for file in home.rglob("*.spool")) / 1e6
    print(f"ten sources and the database away for 30 s: peak memory {collector.memory('VmHWM'):.0f} MiB, {spooled:.0f} MB spooled")
    collector.stop()


def sql(database, statement):
    url = POSTGRES.rsplit("/", 1)[0] + "/" + database
    done = subprocess.run(["psql", "-XAtqc", statement, url], capture_output=True, text=True)
    return done.stdout.strip()


def count(database):
    # No table yet, or no connection: none.
    return int(sql(database, "select count(*) from trace_spans where status = 'completed'") or 0)


def wait_for(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def spooled(home):
    return sum(file.stat().st_size for file in home.rglob("*.spool"))


def catch_up():
    """The same lines, once with the database there and once after it was away while they came."""
    spans = 100_000
    text = "".join(lines(number) for number in range(1, spans))
    took = {}
    for case in ["there", "away"]:
        database = f"catch_up_{case}"
        sql("postgres", f"create database {database}")
        home = pathlib.Path(tempfile.mkdtemp(prefix="beacon-catch-up-"))
        log = home / "app.log"
        log.write_text(lines(0), encoding="utf-8")
        url = POSTGRES.rsplit("/", 1)[0] + "/" + database
        collector = Collector(home, "--database", url, "--source", "file:app.log")
        wait_for(lambda: count(database) == 1)
        if case == "away":
            sql("postgres", f"alter database {database} allow_connections false")
            sql("postgres", f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'")
        with open(log, "a", encoding="utf-8") as file:
            file.write(text)
        if case == "away":
            size = [-1]

            def settled():
                size.append(spooled(home))
                time.sleep(1)
                return size[-1] == size[-2] > 0

            wait_for(settled)
            sql("postgres", f"alter database {database} allow_connections true")
            # The next try may be seconds away.
            back = time.monotonic()
            wait_for(lambda: count(database) > 1)
            print(f"database away: {size[-1] / 1e6:.0f} MB spooled; first row {time.monotonic() - back:.1f} s after its return")
        begin, first = time.monotonic(), count(database)
        wait_for(lambda: count(database) == spans)
        took[case] = (time.monotonic() - begin) * spans / (spans - first)
        print(f"100,000 spans, database {case}: {took[case]:.1f} s")
        collector.stop()
    print(f"catching up at {took['there'] / took['away']:.2f} of the end-to-end rate")


for part in PARTS:
    {"follow": follow, "idle": idle, "away": away, "catch-up": catch_up}[part]()
