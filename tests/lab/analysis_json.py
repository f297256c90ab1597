#!/usr/bin/env python3
"""Turns a lab folder (db.sql, modal.jsonl, truth.json) into analysis.json: what the analysis is given
when linking makes no mistake. Modal's spans come out as the collector stores them from the CLI: start
in whole seconds by Modal's clock, duration as printed, open ones timed out.

    python3 analysis_json.py FOLDER...
"""
import json
import re
import sqlite3
import sys
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

LINE = re.compile(r"TRACE\[(?P<id>[0-9a-f]{8})\]: (?P<text>.*)", re.DOTALL)
FAILED = re.compile(r"FAILED - error=(?:(?P<type>[A-Za-z_][\w.]*): )?(?P<message>.*), duration=(?P<seconds>[\d.]+)s$", re.DOTALL)
SUCCESS = re.compile(r"SUCCESS - duration=(?P<seconds>[\d.]+)s, tokens=(?P<tokens>\d+)$")
STARTED = re.compile(r"Modal inference started - model=(?P<model>[^,]+), region=(?P<region>\S+)$")
TABLES = """
CREATE TABLE jobs (id, jobspec_id, jobspec_data, status, created_at, updated_at);
CREATE TABLE executions (id, job_id, provider_id, region, status, started_at, completed_at, created_at, model_id, question_id);
CREATE TABLE trace_spans (trace_id, span_id, parent_span_id, service, operation, started_at, completed_at, duration_ms,
                          status, metadata, error_message, error_type);
"""


def utc(text):
    if text is None:
        return None
    at = datetime.fromisoformat(text)
    at = at.replace(tzinfo=timezone.utc) if at.tzinfo is None else at.astimezone(timezone.utc)
    return at.isoformat().replace("+00:00", "Z")


def rows(database, sql):
    database.row_factory = sqlite3.Row
    return [dict(row) for row in database.execute(sql)]


def modal_spans(folder, truth, callers):
    """The Modal spans of a folder, each with the trace and parent it truly belongs to."""
    links = {(link["log_id"], link["container_id"]): link for link in truth["links"]}
    seen, tracebacks = {}, {}
    with open(folder / "modal.jsonl", encoding="utf-8") as lines:
        for entry in map(json.loads, lines):
            if entry["data"].startswith("Traceback "):
                tracebacks[entry["container"]] = entry["data"].rstrip("\n")
            match = LINE.search(entry["data"].rstrip("\n"))
            key = match and (match["id"], entry["container"])
            if key in links:
                at = datetime.fromisoformat(entry["ts"].replace("Z", "+00:00")).replace(microsecond=0)
                seen.setdefault(key, []).append((at, match["text"], entry))
    spans = [modal_span(links[key], lines, callers) for key, lines in seen.items()]
    for span in spans:
        if span["status"] == "failed" and span["metadata"]["container_id"] in tracebacks:
            span["metadata"]["traceback"] = tracebacks[span["metadata"]["container_id"]]
    return spans


def modal_span(link, lines, callers):
    at, text, entry = next(line for line in lines if STARTED.match(line[1]))
    head = STARTED.match(text)
    meta = {"collector": "beacon-collector", "log_id": link["log_id"], "container_id": entry["container"],
            "function_call_id": entry["function_call"], "source": "modal:lab", "time_precision": "s"}
    span = {"trace_id": link["trace_id"], "span_id": str(uuid.uuid5(uuid.NAMESPACE_OID, link["log_id"] + entry["container"])),
            "parent_span_id": callers.get(link["trace_id"]), "service": "modal", "operation": "inference",
            "started_at": utc(at.isoformat()), "completed_at": None, "duration_ms": None, "status": "timeout",
            "job_id": None, "execution_id": link["execution_id"], "model_id": head["model"], "region": head["region"],
            "metadata": meta, "error_message": None, "error_type": None}
    meta["deadline_passed"] = True
    for when, said, _ in lines:
        failed, success = FAILED.match(said), SUCCESS.match(said)
        end = failed or success
        if end:
            seconds = float(end["seconds"])
            del meta["deadline_passed"]
            meta["reported_duration_ms"] = seconds * 1000
            span |= {"completed_at": utc((at + timedelta(seconds=seconds)).isoformat()), "duration_ms": round(seconds * 1000),
                     "status": "failed" if failed else "completed"}
            if failed:
                span |= {"error_type": failed["type"], "error_message": failed["message"]}
            else:
                meta["tokens"] = int(success["tokens"])
        elif not STARTED.match(said):
            meta.setdefault("events", []).append({"at": utc(when.isoformat()), "name": said.split(" - ")[0], "fields": {}})
    return span


def write(folder):
    folder = Path(folder)
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    database = sqlite3.connect(":memory:")
    database.executescript(TABLES)
    script = (folder / "db.sql").read_text(encoding="utf-8")
    database.executescript("\n".join(line for line in script.split("\n") if not line.startswith("SELECT setval")))
    executions = rows(database, "SELECT e.id, e.job_id AS job_key, j.jobspec_id AS job_id, provider_id, region, e.status, started_at,"
                                " completed_at, e.created_at, model_id, question_id FROM executions e JOIN jobs j ON j.id = e.job_id")
    for row in executions:
        row |= {column: utc(row[column]) for column in ("started_at", "completed_at", "created_at")} | {"output_data": None}
    spans = rows(database, "SELECT * FROM trace_spans")
    for row in spans:
        row |= {"started_at": utc(row["started_at"]), "completed_at": utc(row["completed_at"]), "metadata": json.loads(row["metadata"]),
                "job_id": None, "execution_id": None, "model_id": None, "region": None}
    callers = {row["trace_id"]: row["span_id"] for row in spans if row["operation"] == "modal_call"}
    traces = trace_of_execution(executions, spans)
    spans += modal_spans(folder, truth, callers)
    world = {"executions": executions, "spans": spans, "traces": traces, "truth": truth}
    (folder / "analysis.json").write_text(json.dumps(world, ensure_ascii=False), encoding="utf-8")


def trace_of_execution(executions, spans):
    """Which trace is which execution's: the root span and the row have the same start and kind."""
    key = lambda row, facts: (row["started_at"], facts["job_id"], facts["model_id"], facts["region"], facts["question_id"])
    roots = {key(row, row["metadata"]): row["trace_id"] for row in spans if row["service"] == "runner" and not row["parent_span_id"]}
    return {row["id"]: roots[key(row, row)] for row in executions}


if __name__ == "__main__":
    for each in sys.argv[1:]:
        write(each)
