"""What bench-latency.sh asks and what it feeds while it asks.

    bench_latency.py questions < IDS    requests for bench-http, made of the ids of a database
    bench_latency.py feed SPANS         log lines of so many printed spans a second, for ever
    bench_latency.py table < FIGURES    the figures of bench-http as a table
"""
import json
import sys
import time
import uuid
from datetime import datetime, timedelta, timezone

# How the tools' paths and MCP calls are made of an id.
BY_EXECUTION = [("diagnose_execution", "diagnosis"), ("compare_with_successful", "comparison")]
BY_TRACE = [("get_trace", ""), ("find_trace_gaps", "/gaps")]
MODELS = ["llama3.2-1b", "mistral-7b", "qwen2.5-1.5b"]
REGIONS = ["US", "EU", "ASIA"]
# Fed spans a tick, and ticks a second.
TICKS = 20


def ask(tool, path):
    print(f"{tool}\t/api/v1/{path}")


def questions():
    """Lines on stdin: a kind (execution, job, trace, log) and an id."""
    executions = 0
    for line in sys.stdin:
        kind, what = line.split()
        if kind == "execution":
            executions += 1
            for tool, path in BY_EXECUTION:
                ask(tool, f"executions/{what}/{path}")
            # One in eight over MCP.
            if executions % 8 == 0:
                call = {"name": "diagnose_execution", "arguments": {"execution_id": int(what)}}
                request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
                print(f"diagnose_execution, MCP\t/mcp\t{json.dumps(request)}")
        elif kind == "job":
            ask("find_timeout_root_cause", f"jobs/{what}/timeouts")
            ask("search_spans, a job", f"spans?job_id={what}&since=90d&limit=50")
        elif kind == "trace":
            for tool, path in BY_TRACE:
                ask(tool, f"traces/{what}{path}")
    ask("get_recent_failures", "failures")
    ask("get_recent_failures", "failures?limit=50")
    for model in MODELS:
        ask("get_recent_failures", f"failures?model_id={model}&since=24h")
    for region in REGIONS:
        ask("get_recent_failures", f"failures?region={region}&since=7d")
    for since in ["", "since=24h"]:
        ask("analyze_performance", f"performance?{since}")
    for model in MODELS:
        ask("analyze_performance", f"performance?model_id={model}")
    for filters in [
        "status=failed", "service=modal&status=failed", "text=out+of+memory", "text=no+such+words+anywhere",
        "min_duration_ms=60000", "model_id=mistral-7b&region=EU", "service=router&text=healthy", "since=7d&status=timeout",
    ]:
        ask("search_spans", f"spans?{filters}&limit=50")
    ask("collector_status", "status")


def feed(rate):
    """Half of the spans name the trace that they belong to, as the emitter's do."""
    each, number = max(1, rate // TICKS), 0
    due = time.monotonic()
    while True:
        now = datetime.now(timezone.utc)
        lines = []
        for _ in range(each):
            number += 1
            began = (now - timedelta(milliseconds=900)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            ended = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            place = f"fc-01KFEED{number:015d} ta-01KFEED{number // 50:015d}"
            log_id = uuid.uuid4().hex[:8]
            context = f", trace_id={uuid.uuid4()}" if number % 2 else ""
            model = MODELS[number % 3]
            lines.append(f"{began} {place} TRACE[{log_id}]: Modal inference started - model={model}, region=us-east{context}\n")
            lines.append(f"{ended} {place} TRACE[{log_id}]: SUCCESS - duration=0.90s, tokens={number % 300}\n")
        try:
            sys.stdout.write("".join(lines))
            sys.stdout.flush()
        except BrokenPipeError:
            return
        due += 1 / TICKS
        time.sleep(max(0, due - time.monotonic()))


def table():
    print("| tool | answers/s | median | p99 | longest | refused | processor time an answer |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for line in sys.stdin:
        label, rate, median, p99, longest, refused, processor = line.rstrip("\n").split("\t")
        print(f"| {label} | {rate} | {median} ms | {p99} ms | {longest} ms | {refused} | {processor} ms |")


match sys.argv[1:]:
    case ["questions"]:
        questions()
    case ["feed", rate]:
        feed(int(rate))
    case ["table"]:
        table()
    case _:
        sys.exit(__doc__)
