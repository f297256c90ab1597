"""Makes the demo's data anew: `python3 examples/demo/make.py` writes modal.log and rows.sql beside itself.

A quarter of an hour of a made-up system (tests/lab/world.py), in which one region runs out of GPU memory: what Modal
printed, and the rows that a runner and a router wrote meanwhile. Times are RFC 3339 in UTC, which SQLite's
tables here hold as text and Postgres reads as times.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORLD = HERE.parent.parent / "tests" / "lab" / "world.py"
HEAD = """\
-- What a runner and a router wrote in a quarter of an hour in which one region ran out of
-- GPU memory; made by make.py.
-- For the tables of the embedded database, or yours in Postgres: beacon-collector migrate makes them.
"""
TIME = re.compile(r"'(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2}:\d{2})(\.\d+)?(\+00:00)?'")


def as_utc(match):
    day, second, fraction = match[1], match[2], (match[3] or "")[1:]
    return f"'{day}T{second}.{fraction.ljust(6, '0')}Z'"


def main():
    with tempfile.TemporaryDirectory() as folder:
        options = ["--seed", "1", "--jobs", "4", "--fault-rate", "0.2", "--outage", "--out", folder]
        subprocess.run([sys.executable, WORLD, *options], check=True)
        shutil.copy(Path(folder) / "modal.log", HERE / "modal.log")
        rows = (Path(folder) / "db.sql").read_text(encoding="utf-8")
    # The sequences are Postgres', and nothing is added to these tables later.
    rows = "".join(line for line in rows.splitlines(keepends=True) if "setval" not in line)
    (HERE / "rows.sql").write_text(HEAD + TIME.sub(as_utc, rows), encoding="utf-8")


if __name__ == "__main__":
    main()
