"""What the tests share: stdout captured, and printed lines taken apart just far enough to assert on."""

import contextlib
import io
import re

LINE = re.compile(r"🔍 TRACE\[([0-9a-f]{8})\]: (.*?)(?: - (.*))?", re.DOTALL)


@contextlib.contextmanager
def captured():
    """Gives a list that holds the printed lines once the block is left."""
    lines, out = [], io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            yield lines
    finally:
        lines.extend(out.getvalue().split("\n")[:-1])


def anonymous(lines):
    """The lines with each duration as 0.00s and each span id as a letter, in order of appearance."""
    letters = {}
    for line in lines:
        letters.setdefault(log_id(line), "ABCDEFGH"[len(letters)])
    text = re.sub(r"duration=[0-9.]+s", "duration=0.00s", "\n".join(lines))
    for known, letter in letters.items():
        text = re.sub(f'"?{known}"?', letter, text)
    return text.split("\n")


def log_id(line):
    return LINE.fullmatch(line)[1]


def payload(line):
    return LINE.fullmatch(line)[3] or ""
