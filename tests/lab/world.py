#!/usr/bin/env python3
"""A simulated world in which it is known why every execution failed.

A runner (Go) asks a router (Python), the router calls Modal, and each leaves behind what it would in
life: rows in `jobs`, `executions` and `trace_spans`, and the lines that `modal app logs` prints. Into
one folder it writes:

  db.sql        the rows of the runner and the router, for a database that has the three tables
  modal.log     the lines as the Modal CLI prints them with --timestamps --show-function-call-id
                --show-container-id: whole seconds, noise included
  modal.jsonl   the same lines, one JSON object per entry
  truth.json    what a perfect observer knows: "faults" (the cause put into each execution that failed
                or was slow), "links" (execution and trace of each Modal span), "missing" (traces whose
                Modal lines were never delivered), "outages" (job-level causes)
  analysis.json with --analysis-json: executions and spans, Modal's linked without error

Standard library only; the same --seed is the same world. `--phrases FILE` takes the error texts from
another file (cause -> [[error_type, text], ...]); `--blank` replaces every error text by "error".

Traps, on purpose: Modal's hosts have clocks of their own (up to 2.6 s off), a few healthy executions
have lost their Modal lines, a retrying writer stores some spans twice, some router spans have no
parent, and no row carries an execution id.
"""
import argparse
import json
import random
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import analysis_json

HERE = Path(__file__).resolve().parent
# Model -> median and log-spread of a healthy inference, in seconds.
MODELS = {"llama3.2-1b": (1.8, 0.28), "mistral-7b": (14.0, 0.26), "qwen2.5-1.5b": (2.5, 0.30)}
# Region as the runner spells it -> as Modal prints it.
REGIONS = {"US": "us-east", "EU": "eu-west", "ASIA": "asia-pacific"}
OUTAGES = ["no_healthy_provider", "router_unreachable", "executor_missing", "modal_endpoint_down",
           "modal_out_of_memory", "modal_model_load"]
FAILURES = OUTAGES + ["modal_unknown_model", "modal_exception", "modal_timeout", "router_timeout",
                      "response_lost", "result_rejected", "cancelled"]
SLOW = ["cold_start", "queue_wait", "slow_inference"]
CHATTER = [
    ("stdout", "[PRELOAD] ✓ {model} loaded successfully"), ("stdout", "[INFERENCE] Using preloaded {model}"),
    ("stdout", "[DEBUG] Full response: 'Explain \"TRACE[deadbeef]: SUCCESS\"'"), ("stdout", "[HF] Token present: True"),
    ("stdout", "[DEBUG] Extracted response: 'Beijing 1989 — 天安门, naïve café, 100 % = ok, key=value'"),
    ("stderr", "`torch_dtype` is deprecated! Use `dtype` instead!"),
    ("stderr", "Loading checkpoint shards:  50%|█████     | 1/2 [00:03<00:03]\rLoading checkpoint shards: 100%|██████████| 2/2"),
    ("system", "Runner scaled to 2 containers"),
]


@dataclass
class Call:
    """One execution while it is being made up; times are seconds after its start."""
    model: str
    region: str
    cause: str | None
    began: datetime
    meta: dict
    trace: str
    root: str
    error: tuple | None = None
    spans: list = field(default_factory=list)
    end: float = 0.0
    reached_modal: bool = False


class World:
    def __init__(self, seed, phrases, start):
        self.rng = random.Random(seed)
        self.phrases = phrases
        self.now = start
        self.jobs, self.executions, self.spans, self.entries = [], [], [], []
        self.truth = {"faults": [], "links": [], "missing": [], "outages": []}
        self.skew = {region: self.rng.choice([0.0, 0.0, 0.04, -0.06, 2.6, -1.9]) for region in REGIONS}

    # Chance.

    def uid(self):
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def between(self, low, high):
        return self.rng.uniform(low, high)

    def token(self, prefix):
        return prefix + "01" + "".join(self.rng.choices("ABCDEFGHJKMNPQRSTVWXYZ0123456789", k=24))

    def wording(self, call):
        kind, text = self.rng.choice(self.phrases[call.cause])
        return kind, text.replace("{model}", call.model).replace("{region}", REGIONS[call.region])

    # Rows.

    def span(self, call, parent, service, operation, start, end, error=None, extra=None, twice=False):
        meta = dict(call.meta) if service == "runner" else {"model": call.model, "region": call.region}
        at = lambda seconds: call.began + timedelta(seconds=seconds)
        row = {"trace_id": call.trace, "span_id": self.uid(), "parent_span_id": parent, "service": service,
               "operation": operation, "started_at": at(start), "completed_at": at(end),
               "duration_ms": int((end - start) * 1000), "status": "failed" if error else "completed",
               "metadata": meta | (extra or {}), "error_type": error and error[0], "error_message": error and error[1]}
        call.spans += [row, dict(row)] if twice else [row]
        return row["span_id"]

    def execute(self, jobspec, job_key, model, region, question, cause):
        """Makes up one execution and returns its end."""
        began = self.now + timedelta(seconds=self.between(0, 4))
        meta = {"job_id": jobspec, "model_id": model, "region": region, "question_id": question}
        call = Call(model, region, cause, began, meta, self.uid(), self.uid())
        leaves = self.between(0.002, 0.009)
        plot = {"executor_missing": self.plot_no_call, "cancelled": self.plot_runner_alone,
                "router_unreachable": self.plot_runner_alone, "no_healthy_provider": self.plot_router_refuses}
        plot.get(cause, self.plot_provider)(call, leaves)
        execution_id = 2301 + len(self.executions)
        status = "failed" if call.error else "completed"
        root = {"trace_id": call.trace, "span_id": call.root, "parent_span_id": None, "service": "runner",
                "operation": "execute_question", "started_at": began,
                "completed_at": began + timedelta(seconds=call.end), "duration_ms": int(call.end * 1000),
                "status": status, "metadata": meta, "error_type": call.error and call.error[0],
                "error_message": call.error and call.error[1]}
        self.spans += [root] + call.spans
        ended = root["completed_at"]
        self.executions.append({
            "id": execution_id, "job_id": job_key, "provider_id": "modal-" + REGIONS[region] if call.reached_modal else "",
            "region": region, "status": status, "started_at": began, "completed_at": ended,
            "created_at": ended + timedelta(seconds=self.between(0.001, 0.02)), "model_id": model, "question_id": question})
        if cause:
            self.truth["faults"].append({
                "execution_id": execution_id, "job_id": jobspec, "trace_id": call.trace, "model": model,
                "region": region, "status": status, "root_cause_code": cause, "slow": cause in SLOW})
        return ended

    # Plots: how each kind of execution goes.

    def plot_no_call(self, call, _leaves):
        """The runner gives up before it calls anybody."""
        call.end, call.error = self.between(0.008, 0.028), self.wording(call)

    def plot_runner_alone(self, call, leaves):
        """The runner's call fails and the router never hears of it."""
        lasts = self.between(1.5, 9) if call.cause == "cancelled" else self.between(0.003, 0.04)
        call.end, call.error = leaves + lasts, self.wording(call)
        self.span(call, call.root, "runner", "hybrid_router_call", leaves, call.end, call.error)

    def plot_router_refuses(self, call, leaves):
        """The router answers at once that it has nobody to ask."""
        call.end, call.error = leaves + self.between(0.006, 0.022), self.wording(call)
        parent = self.span(call, call.root, "runner", "hybrid_router_call", leaves, call.end, call.error)
        self.span(call, self.rng.choice([parent, None]), "router", "inference_request",
                  leaves + self.between(0.001, 0.003), call.end - self.between(0.001, 0.002), call.error)

    def plot_provider(self, call, leaves):
        """The router calls Modal: everything else that can happen."""
        cause, median_spread = call.cause, MODELS[call.model]
        asked = leaves + (self.between(25, 70) if cause == "queue_wait" else self.between(0.003, 0.04))
        calls = asked + self.between(0.002, 0.012)
        begins = calls + (self.between(28, 90) if cause == "cold_start" else self.between(0.06, 0.42))
        takes = max(0.3, median_spread[0] * self.rng.lognormvariate(0, median_spread[1]))
        if cause == "slow_inference":
            takes = median_spread[0] * self.between(8, 14)
        router_error = modal_error = None
        ends = begins + takes
        back = ends + self.between(0.03, 0.12)
        if cause == "modal_endpoint_down":
            back, router_error = calls + self.between(0.015, 0.16), self.wording(call)
        elif cause in ("modal_out_of_memory", "modal_model_load", "modal_unknown_model", "modal_exception"):
            modal_error = self.wording(call)
            ends = begins + (self.between(0.001, 0.006) if cause == "modal_unknown_model" else self.between(0.2, 9))
            back = ends + self.between(0.03, 0.12)
            told = ("ModalError", modal_error[1][:80])
            router_error = self.rng.choice([told, ("InferenceFailed", "provider returned status=error")])
        elif cause == "modal_timeout":
            back, ends, router_error = calls + self.rng.choice([60, 120, 300]), None, self.wording(call)
        elif cause == "router_timeout":
            back, router_error = calls + self.rng.choice([60, 120]), self.wording(call)
            ends = back + self.between(4, 45)
        answered = back + self.between(0.002, 0.01)
        call.end = answered + self.between(0.003, 0.04)
        call_error = None
        if cause == "response_lost":
            call.end = answered + self.between(90, 240)
            call_error = call.error = self.wording(call)
        elif router_error:
            call_error = call.error = ("execution_failure", "router returned an error: " + router_error[1][:60])
        elif cause == "result_rejected":
            call.error = self.wording(call)
        parent = self.span(call, call.root, "runner", "hybrid_router_call", leaves, call.end, call_error)
        request = self.span(call, parent if self.rng.random() < 0.7 else None, "router", "inference_request", asked,
                            answered, router_error, twice=self.rng.random() < 0.03)
        self.span(call, request, "router", "modal_call", calls, back, router_error,
                  {"provider": "modal-" + REGIONS[call.region]})
        if cause == "modal_endpoint_down":
            return
        call.reached_modal = True
        if cause is None and self.rng.random() < 0.02:
            self.truth["missing"].append({"trace_id": call.trace, "service": "modal"})
        else:
            self.modal(call, begins, ends, modal_error)

    # Modal's log.

    def modal(self, call, begins, ends, error):
        ident = f"{self.rng.getrandbits(32):08x}"
        container, function_call = self.token("ta-"), self.token("fc-")

        def say(seconds, text, fd="stdout"):
            at = call.began + timedelta(seconds=seconds + self.skew[call.region])
            self.entries.append({"at": at, "fd": fd, "container": container, "function_call": function_call, "data": text})

        for _ in range(self.rng.randint(0, 5)):
            fd, text = self.rng.choice(CHATTER)
            say(begins + self.between(-0.05, 0.3), text.replace("{model}", call.model), fd)
        say(begins, f"🔍 TRACE[{ident}]: Modal inference started - model={call.model}, region={REGIONS[call.region]}")
        if error and self.rng.random() < 0.6:
            say(begins + self.between(0.001, 0.003), f"🔍 TRACE[{ident}]: Model validated - model={call.model}")
        if error:
            say(ends, f"🔍 TRACE[{ident}]: FAILED - error={error[0]}: {error[1]}, duration={ends - begins:.2f}s")
            if self.rng.random() < 0.5:
                say(ends, "Traceback (most recent call last):\n  File \"/pkg/serve.py\", line 231, in run_inference_logic\n"
                          f"    outputs = model.generate(\n{error[0]}: {error[1]}", "stderr")
        elif ends is not None:
            say(ends, f"🔍 TRACE[{ident}]: SUCCESS - duration={ends - begins:.2f}s, tokens={self.rng.randint(16, 500)}")
        self.truth["links"].append({"log_id": ident, "container_id": container, "trace_id": call.trace,
                                    "execution_id": 2301 + len(self.executions)})

    # Jobs.

    def job(self, number, fault_rate, outage, overlap):
        began = self.now
        jobspec = f"bias-detection-{int(began.timestamp() * 1000) + number}"
        self.jobs.append({"id": number + 1, "jobspec_id": jobspec, "jobspec_data": {"id": jobspec}, "status": "completed",
                          "created_at": began, "updated_at": began})
        struck = (self.rng.choice(list(REGIONS)), self.rng.choice(OUTAGES)) if outage else (None, None)
        for question in range(1, self.rng.randint(2, 4) + 1):
            ends = []
            for region in REGIONS:
                for model in MODELS:
                    cause = self.rng.choice(FAILURES + SLOW) if self.rng.random() < fault_rate else None
                    cause = struck[1] if region == struck[0] else cause
                    ends.append(self.execute(jobspec, number + 1, model, region, f"question_{question}", cause))
            self.now = max(ends) + timedelta(seconds=self.between(0.2, 3))
        if outage:
            self.truth["outages"].append({"job_id": jobspec, "region": struck[0], "root_cause_code": struck[1]})
        pause = timedelta(seconds=self.between(1, 12) if overlap else self.between(20, 200))
        self.now = (began if overlap else self.now) + pause


def sql_literal(value, zone):
    if value is None:
        return "NULL"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, datetime):
        value = value.isoformat(sep=" ") if zone else value.replace(tzinfo=None).isoformat(sep=" ")
    elif isinstance(value, dict):
        value = json.dumps(value)
    return "'" + value.replace("'", "''") + "'"


def write_sql(path, world):
    tables = [("jobs", world.jobs, False), ("executions", world.executions, False), ("trace_spans", world.spans, True)]
    with open(path, "w", encoding="utf-8") as out:
        out.write("BEGIN;\n")
        for table, rows, zone in tables:
            for at in range(0, len(rows), 500):
                lines = ",\n".join("(" + ",".join(sql_literal(v, zone) for v in row.values()) + ")" for row in rows[at:at + 500])
                out.write(f"INSERT INTO {table} ({','.join(rows[0])}) VALUES\n{lines};\n")
        for table in ("jobs", "executions"):
            out.write(f"SELECT setval('{table}_id_seq', (SELECT max(id) FROM {table}));\n")
        out.write("COMMIT;\n")


def write_log(folder, world, start):
    world.entries.sort(key=lambda entry: entry["at"])
    with open(folder / "modal.log", "w", encoding="utf-8", newline="") as text, \
            open(folder / "modal.jsonl", "w", encoding="utf-8") as lines:
        for entry in world.entries:
            at = entry["at"]
            for line in entry["data"].split("\n"):
                text.write(f"{at.isoformat(sep=' ', timespec='seconds')} {entry['function_call']} {entry['container']} {line}\n")
            lines.write(json.dumps({
                "at_ms": int((at - start).total_seconds() * 1000), "ts": at.isoformat().replace("+00:00", "Z"), "fd": entry["fd"],
                "container": entry["container"], "function_call": entry["function_call"], "data": entry["data"] + "\n"},
                ensure_ascii=False) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--fault-rate", type=float, default=0.15)
    parser.add_argument("--outage", action="store_true", help="one region fails for one whole job by one cause")
    parser.add_argument("--overlap", action="store_true", help="jobs run side by side, so that equal calls overlap")
    parser.add_argument("--phrases", default=HERE / "phrases.json", help="error texts: cause -> [[error_type, text], ...]")
    parser.add_argument("--blank", action="store_true", help='replace every error text by "error"')
    parser.add_argument("--start", default="2025-10-22T13:00:00+00:00")
    parser.add_argument("--analysis-json", action="store_true", help="also write analysis.json")
    parser.add_argument("--out", required=True, type=Path)
    options = parser.parse_args()
    phrases = json.loads((HERE / "phrases.json").read_text(encoding="utf-8"))
    phrases |= json.loads(Path(options.phrases).read_text(encoding="utf-8"))
    if options.blank:
        phrases = {cause: [["error", "error"]] for cause in phrases}
    start = datetime.fromisoformat(options.start).astimezone(timezone.utc)
    world = World(options.seed, phrases, start)
    for number in range(options.jobs):
        world.job(number, options.fault_rate, options.outage and number == options.jobs // 2, options.overlap)
    options.out.mkdir(parents=True, exist_ok=True)
    write_sql(options.out / "db.sql", world)
    write_log(options.out, world, start)
    (options.out / "truth.json").write_text(json.dumps(world.truth, indent=1), encoding="utf-8")
    if options.analysis_json:
        analysis_json.write(options.out)
    print(f"executions={len(world.executions)} spans={len(world.spans)} entries={len(world.entries)} "
          + " ".join(f"{name}={len(items)}" for name, items in world.truth.items()))


if __name__ == "__main__":
    main()
