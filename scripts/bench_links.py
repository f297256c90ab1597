"""The measuring half of bench-links.sh: worlds into databases, the collector over them, links against the truth."""
import json
import os
import subprocess
import sys
import tempfile

SEEDS = int(sys.argv[1])
SERVER = os.environ["BEACON_TEST_POSTGRES_URL"]
PROGRAM = os.environ["BEACON_PROGRAM"]
WORLD = os.environ.get("WORLD", "tests/lab/world.py")
SCHEMA = ["tests/integration/support/runner_tables.sql", "tests/integration/support/trace_spans.sql"]
COLUMNS = ("trace_id, span_id, parent_span_id, service, operation, started_at, completed_at, duration_ms, status, job_id, "
           "execution_id, model_id, region, metadata, error_message, error_type, created_at")
TWICE = f"insert into trace_spans ({COLUMNS}) select {COLUMNS} from trace_spans where id % 5 = 0"
KINDS = [("jobs one after the other", [], ""), ("side by side", ["--overlap"], ""), ("a region is down", ["--outage"], ""),
         ("side by side, rows of others late", ["--overlap"], "late"), ("side by side, rows of others twice", ["--overlap"], "twice")]


def psql(url, *arguments):
    done = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-At", "-F", "\t", url, *arguments],
                          check=True, capture_output=True, text=True)
    return done.stdout.split("\n")[:-1]


def collector(url, state, *arguments, log=os.devnull):
    env = {**os.environ, "DATABASE_URL": url, "STATE_DIRECTORY": state, "RUST_LOG": "warn"}
    with open(log, "rb") as lines:
        subprocess.run([PROGRAM, *arguments], env=env, stdin=lines, check=True, capture_output=True)


def measure(seed, flags, twist):
    """Printed spans, those linked rightly and wrongly; traces with an execution, those joined rightly and wrongly."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, WORLD, "--seed", str(seed), "--out", folder, *flags], check=True, capture_output=True)
        psql(SERVER, "-c", "drop database if exists links with (force)", "-c", "create database links")
        url = SERVER.rsplit("/", 1)[0] + "/links"
        for path in SCHEMA:
            psql(url, "-f", path)
        rows = ["-f", f"{folder}/db.sql"]
        if twist != "late":
            psql(url, *rows)
        if twist == "twice":
            psql(url, "-c", TWICE)
        collector(url, folder, "--listen", "none", log=f"{folder}/modal.log")
        if twist == "late":
            psql(url, *rows)
            collector(url, folder, "link", "--since", "2000-01-01T00:00:00Z")
        with open(f"{folder}/truth.json") as file:
            truth = json.load(file)["links"]
        found = {}
        for row in psql(url, "-c", "select metadata ->> 'log_id', metadata ->> 'container_id', trace_id, execution_id, trace_id <> span_id "
                        "from trace_spans where metadata ->> 'collector' = 'beacon-collector' and parent_span_id is distinct from span_id"):
            log_id, container, trace, execution, linked = row.split("\t")
            found[log_id, container] = (trace, execution) if linked == "t" else None
        right = wrong = 0
        for link in truth:
            got = found.get((link["log_id"], link["container_id"]))
            right += got == (link["trace_id"], str(link["execution_id"]))
            wrong += got is not None and got != (link["trace_id"], str(link["execution_id"]))
        joined = dict(row.split("\t") for row in psql(url, "-c", "select trace_id, execution_id from beacon_collector.execution_links"))
        traces = [row.split("\t") for row in psql(url, "-c",
                  "select trace_id, count(*) from trace_spans where service in ('runner', 'router') group by trace_id")]
        known = {link["trace_id"]: str(link["execution_id"]) for link in truth}
        joined_wrong = sum(trace in joined and joined[trace] != execution for trace, execution in known.items())
        return [len(truth), right, wrong, len(traces), sum(trace in joined for trace, _ in traces), joined_wrong]


def main():
    print("| world | printed spans | linked rightly | unlinked | wrong | worst seed | traces of runner and router | joined | wrong |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, flags, twist in KINDS:
        results = [measure(seed, flags, twist) for seed in range(1, SEEDS + 1)]
        spans, right, wrong, traces, joined, joined_wrong = map(sum, zip(*results))
        worst = min(result[1] / result[0] for result in results)
        print(f"| {name} | {spans} | {right / spans:.2%} | {(spans - right - wrong) / spans:.2%} | {wrong / spans:.3%} | {worst:.2%} "
              f"| {traces} | {joined / traces:.2%} | {joined_wrong} |", flush=True)


main()
