"""Copies the history that scripts/big-database.sh made from Postgres into an embedded database.

    big_sqlite.py POSTGRES-URL FILE PROGRAM     (PROGRAM makes the tables)
"""
import csv
import io
import os
import sqlite3
import subprocess
import sys

source, path, program = sys.argv[1:]
UTC = "to_char({} at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
NAIVE = "to_char({}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
TABLES = {
    ("jobs", "public.jobs"): {"id": "", "jobspec_id": "", "jobspec_data": "", "status": "", "created_at": NAIVE},
    ("executions", "public.executions"): {
        "id": "", "job_id": "", "provider_id": "", "region": "", "status": "", "started_at": NAIVE,
        "completed_at": NAIVE, "output_data": "", "created_at": NAIVE, "model_id": "", "question_id": ""},
    ("trace_spans", "public.trace_spans"): {
        "id": "", "trace_id": "", "span_id": "", "parent_span_id": "", "service": "", "operation": "",
        "started_at": UTC, "completed_at": UTC, "duration_ms": "", "status": "", "job_id": "", "execution_id": "",
        "model_id": "", "region": "", "metadata": "", "error_message": "", "error_type": "", "created_at": UTC},
    ("execution_links", "beacon_collector.execution_links"): {
        "trace_id": "", "execution_id": "", "method": "", "confidence": ""},
}

subprocess.run([program, "migrate", "--database", f"sqlite:{path}"], check=True, stdout=subprocess.DEVNULL)
database = sqlite3.connect(path)
database.execute("pragma synchronous = off")
rows = 0
for (table, origin), columns in TABLES.items():
    select = ", ".join(form.format(name) if form else name for name, form in columns.items())
    query = f"copy (select {select} from {origin}) to stdout (format csv)"
    dump = subprocess.Popen(["psql", "-X", "-q", source, "-c", query], stdout=subprocess.PIPE)
    lines = csv.reader(io.TextIOWrapper(dump.stdout, "utf-8", newline=""))
    insert = f"insert into {table} ({', '.join(columns)}) values ({', '.join('?' * len(columns))})"
    # No column of these holds an empty text where it may hold none, but for an execution's provider.
    keep = list(columns).index("provider_id") if "provider_id" in columns else -1
    made = ([value if value or at == keep else None for at, value in enumerate(row)] for row in lines)
    rows += database.executemany(insert, made).rowcount
    if dump.wait():
        sys.exit(f"cannot read {origin}")
database.commit()
database.execute("analyze")
database.commit()
print(f"      {rows} rows, {os.path.getsize(path) >> 20} MiB", file=sys.stderr)
