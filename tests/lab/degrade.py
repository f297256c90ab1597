#!/usr/bin/env python3
"""Damages a lab world's analysis.json, to see how the analysis does on less than whole traces.

    python3 degrade.py DAMAGE FROM.json TO.json

What the truth says stays, so an answer may be right that the data no longer holds: what counts is that
no answer is both sure and wrong.
"""
import json
import random
import sys
from datetime import datetime, timedelta
from pathlib import Path

NAMES = {"execute_question": "run", "hybrid_router_call": "POST /inference",
         "inference_request": "handle", "modal_call": "provider.invoke"}
SERVICES = {"runner": "beacon-runner", "router": "hybrid-router"}


def without(service):
    """A service's spans are lost in 15 % of the traces."""
    return lambda span, rng, struck: None if span["service"] == service and struck else span


def lose_any(span, rng, _):
    """8 % of all spans are lost."""
    return None if rng.random() < 0.08 else span


def never_closed(span, rng, _):
    """6 % of the runner's and router's rows were never updated with their end."""
    if span["service"] != "modal" and rng.random() < 0.06:
        span |= {"status": "started", "completed_at": None, "duration_ms": None, "error_type": None, "error_message": None}
    return span


def no_parents(span, rng, _):
    """30 % of the spans have lost their parent."""
    if rng.random() < 0.3:
        span["parent_span_id"] = None
    return span


def other_names(span, *_):
    """Services and operations are called otherwise."""
    return span | {"operation": NAMES.get(span["operation"], span["operation"]),
                   "service": SERVICES.get(span["service"], span["service"])}


def router_skewed(span, *_):
    """The router's clock is 1.7 s ahead as well."""
    if span["service"] == "router":
        for key in ("started_at", "completed_at"):
            at = datetime.fromisoformat(span[key].replace("Z", "+00:00")) + timedelta(seconds=1.7)
            span[key] = at.isoformat().replace("+00:00", "Z")
    return span


def rows_only(*_):
    """There is no span at all."""
    return None


DAMAGES = {"no-runner": without("runner"), "no-router": without("router"), "no-modal": without("modal"),
           "lose-any": lose_any, "never-closed": never_closed, "no-parents": no_parents,
           "other-names": other_names, "router-skewed": router_skewed, "rows-only": rows_only}


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in DAMAGES:
        sys.exit(f"usage: degrade.py {'|'.join(DAMAGES)} FROM.json TO.json")
    damage, source, target = DAMAGES[sys.argv[1]], Path(sys.argv[2]), Path(sys.argv[3])
    rng = random.Random(7)
    world = json.loads(source.read_text(encoding="utf-8"))
    traces = sorted({span["trace_id"] for span in world["spans"]})
    struck = {trace for trace in traces if rng.random() < 0.15}
    spans = [damage(span, rng, span["trace_id"] in struck) for span in world["spans"]]
    world["spans"] = [span for span in spans if span]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(world, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
