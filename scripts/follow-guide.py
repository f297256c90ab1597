#!/usr/bin/env python3
"""Follows docs/guide.md and docs/doctor.md as a reader would: runs the `sh` blocks of a page one after the other in
one shell, and compares what they print with the `text` blocks behind them. Each line there has to be part of a line of the
output, in order; … stands for anything. `console` and other blocks are for people only.

    scripts/follow-guide.py [FOLDER]    FOLDER holds the program; target/debug unless given
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATIENCE = 120
# The pages that are followed, and how many of their steps show what they print.
PAGES = {"guide.md": 8, "doctor.md": 4}


def blocks(text):
    """The shell blocks with what each is to print."""
    found = []
    for kind, body in BLOCK.findall(text):
        if kind == "sh":
            found.append((body, []))
        elif kind == "text":
            found[-1][1].extend(body.splitlines())
    return found


def pattern(line):
    return re.compile(".*".join(re.escape(part) for part in line.strip().split("…")))


def differs(expected, output):
    """The first expected line that the output does not have where it should; None when all are there."""
    lines = iter(output.splitlines())
    for line in expected:
        wanted = pattern(line)
        if not any(wanted.search(shown) for shown in lines):
            return line
    return None


def follow(shell, body, marker):
    """Runs a block in the shell; gives its exit code and what it printed."""
    shell.stdin.write(f"{{\n{body}\n}} 2>&1\nprintf '\\n{marker} %s\\n' $?\n")
    shell.stdin.flush()
    output = []
    for line in shell.stdout:
        if line.startswith(marker):
            return int(line.split()[1]), "".join(output)
        output.append(line)
    raise SystemExit(f"the shell ended in:\n{body}")


def follow_page(page, programs):
    """Runs all blocks of a page in one shell, in a home of its own; gives their number."""
    steps = blocks((ROOT / "docs" / page).read_text(encoding="utf-8"))
    unwanted = ("DATABASE_URL", "STATE_DIRECTORY", "NO_COLOR")
    env = {key: value for key, value in os.environ.items() if key not in unwanted and not key.startswith("BEACON_")}
    with tempfile.TemporaryDirectory() as home:
        env |= {"PATH": f"{programs}:{env['PATH']}", "HOME": home, "TMPDIR": home, "COLUMNS": "120"}
        # -m: job control, for the server that a step starts and another stops.
        shell = subprocess.Popen(
            ["timeout", "--kill-after=5", str(PATIENCE), "bash", "-m"],
            cwd=ROOT, env=env, text=True, encoding="utf-8", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for number, (body, expected) in enumerate(steps, 1):
            code, output = follow(shell, body, f"@step-{number}@")
            missing = differs(expected, output)
            if code or missing:
                shell.kill()
                why = f"ended with {code}" if code else f"lacks: {missing}"
                raise SystemExit(f"{page}: step {number} {why}\n\n{body}\nprinted:\n{output}")
        shell.stdin.close()
        shell.wait()
    return len(steps), sum(bool(expected) for _, expected in steps)


def main():
    programs = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target" / "debug").resolve()
    if not (programs / "beacon-collector").exists():
        raise SystemExit(f"no beacon-collector in {programs}: cargo build")
    for page, at_least in PAGES.items():
        steps, compared = follow_page(page, programs)
        if compared < at_least:
            raise SystemExit(f"{page}: only {compared} steps expect something: is the page still in its form?")
        print(f"guide: {steps} steps followed, all as docs/{page} says")


if __name__ == "__main__":
    main()
