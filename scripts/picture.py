#!/usr/bin/env python3
"""Draws what the program prints on a terminal, colours included, as an SVG: the pictures in docs/.

    scripts/picture.py [FOLDER]    FOLDER holds the program; target/release unless given

The answer is a real one: the demo's data goes into a fresh database, the question is asked on a
pseudo-terminal, and every character of the answer is drawn where the terminal would have put it.
"""

import os
import pty
import re
import sqlite3
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 118
WIDE, HIGH, EDGE = 8.4, 19, 18
# Of a dark terminal; the picture brings its own background and so looks the same on a light page.
COLOURS = {None: "#d1d5da", "31": "#ff7b72", "32": "#56d364", "33": "#e3b341"}
SGR = re.compile(r"\x1b\[([0-9;]*)m")
RUNS = re.compile(r"█+|[░╌]+| {2,}|(?:(?! {2})[^█░╌])+")


def on_a_terminal(command, env):
    """What a command prints when it talks to a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=theirs) as running:
        os.close(theirs)
        parts = []
        try:
            while part := os.read(ours, 65536):
                parts.append(part)
        except OSError:  # Linux' way to say that nobody holds the other end any more
            pass
        os.close(ours)
    if running.returncode:
        raise SystemExit(f"{command} ended with {running.returncode}")
    return b"".join(parts).decode().replace("\r\n", "\n")


def answer(program):
    with tempfile.TemporaryDirectory() as state:
        env = {"STATE_DIRECTORY": state, "TERM": "xterm", "COLUMNS": str(COLUMNS)}
        subprocess.run([program, "migrate"], env=env, check=True, stdout=subprocess.DEVNULL)
        rows = (ROOT / "examples/demo/rows.sql").read_text(encoding="utf-8")
        with sqlite3.connect(Path(state) / "beacon.db") as database:
            database.executescript(rows)
        with open(ROOT / "examples/demo/modal.log", "rb") as log:
            subprocess.run([program, "--listen", "none"], env=env, check=True, stdin=log, stderr=subprocess.DEVNULL)
        return on_a_terminal([str(program), "diagnose", "2374"], env)


def drawn(line, y):
    """One line as SVG: texts at their columns, bars as rectangles without seams."""
    colour, bold, dim, column, out = None, False, False, 0, []
    for at, part in enumerate(SGR.split(line)):
        if at % 2:
            for code in part.split(";"):
                if code in ("", "0"):
                    colour, bold, dim = None, False, False
                bold, dim = bold or code == "1", dim or code == "2"
                colour = code if code in COLOURS else colour
            continue
        for run in RUNS.findall(part):
            x, width = EDGE + column * WIDE, len(run) * WIDE
            column += len(run)
            fill = COLOURS[colour]
            if run[0] == "█":
                out.append(f'<rect x="{x:.1f}" y="{y - 12}" width="{width:.1f}" height="13" fill="{fill}"/>')
            elif run[0] in "░╌":
                out.append(
                    f'<rect x="{x:.1f}" y="{y - 7}" width="{width:.1f}" height="3" fill="{fill}" opacity=".6"/>'
                )
            elif run.strip():
                indent = len(run) - len(run.lstrip())
                text = run.strip()
                style = (' font-weight="700"' if bold else "") + (' opacity=".65"' if dim else "")
                out.append(
                    f'<text x="{x + indent * WIDE:.1f}" y="{y}" textLength="{len(text) * WIDE:.1f}" lengthAdjust="spacingAndGlyphs" fill="{fill}"{style}>'
                    f"{escape(text, quote=False)}</text>"
                )
    return "".join(out)


def picture(command, text):
    lines = [f"\x1b[2m$\x1b[0m \x1b[1m{command}\x1b[0m", *text.rstrip("\n").split("\n")]
    plain = [SGR.sub("", line) for line in lines]
    width = round(max(map(len, plain)) * WIDE + 2 * EDGE)
    height = len(lines) * HIGH + 2 * EDGE
    body = "\n".join(drawn(line, EDGE + 14 + at * HIGH) for at, line in enumerate(lines))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">\n'
        f"<title>{escape(command)}</title>\n"
        f'<rect width="{width}" height="{height}" rx="10" fill="#0d1117" stroke="#30363d"/>\n'
        '<g font-family="ui-monospace, SFMono-Regular, Menlo, DejaVu Sans Mono, monospace" font-size="14" '
        f'>\n{body}\n</g></svg>\n'
    )


def main():
    programs = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target" / "release").resolve()
    text = answer(programs / "beacon-collector")
    file = ROOT / "docs" / "diagnosis.svg"
    file.write_text(picture("beacon-collector diagnose 2374", text), encoding="utf-8")
    print(f"wrote {file.relative_to(ROOT)}: {text.count(chr(10))} lines")


if __name__ == "__main__":
    main()
