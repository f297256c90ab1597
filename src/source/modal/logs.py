"""Prints the log of a Modal app as JSON lines, whole lines with their exact times and ids.

Usage: logs.py follow APP ENVIRONMENT | fetch APP ENVIRONMENT SINCE UNTIL

Ends when its standard input does: nobody reads it any more. An environment of "" is the default one.
"""

import json
import os
import sys
import threading
from datetime import datetime, timedelta

import modal

MAX_HELD = 256 * 1024  # characters of an unfinished line
SETTLED = timedelta(seconds=30)  # an unfinished line this old gets no rest any more


def end_with_reader():
    while os.read(0, 4096):  # unbuffered: a lock of sys.stdin's would be in the way at the end
        pass
    os._exit(0)


def put(entry_time, ids, source, text):
    record = {
        "timestamp": entry_time.isoformat(timespec="microseconds"),
        "fd": source,
        "function_id": ids.get("fu", ""),
        "function_call_id": ids.get("fc", ""),
        "container_id": ids.get("ta", ""),
        "message": text,
    }
    sys.stdout.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def print_lines(entries, until=None):
    """An entry may end in mid-line; the rest comes with a later one of the same origin."""
    held = {}
    for entry in entries:
        ids = {value[:2]: value for value in entry.context_ids}
        origin = (entry.source, ids.get("fc"), ids.get("ta"))
        began, text = held.pop(origin, (entry.timestamp, ""))
        *whole, rest = (text + entry.message).split("\n")
        for line in whole:
            put(began, ids, entry.source, line)
            began = entry.timestamp
        if len(rest) > MAX_HELD:
            put(began, ids, entry.source, rest)
        elif rest:
            held[origin] = (began, rest)
    for (source, call, container), (began, rest) in held.items():
        if until is None or until - began > SETTLED:
            put(began, {"fc": call or "", "ta": container or ""}, source, rest)


def main():
    mode, name, environment = sys.argv[1:4]
    threading.Thread(target=end_with_reader, daemon=True).start()
    sys.stdout.reconfigure(encoding="utf-8", errors="replace", newline="\n")
    app = modal.App.lookup(name, environment_name=environment or None)
    if mode == "follow":
        print_lines(app.logs.stream())
    else:
        since, until = (datetime.fromisoformat(text) for text in sys.argv[4:6])
        print_lines(app.logs.fetch(since=since, until=until), until)


try:
    main()
except Exception as error:  # the reader wants one line, not a traceback
    sys.stderr.write(f"Error: {type(error).__name__}: {error}\n")
    sys.exit(1)
