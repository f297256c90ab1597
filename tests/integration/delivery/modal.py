#!/usr/bin/env python3
"""Stands in for Modal's CLI: prints a log in random pieces and ends at random while following.

Usage: modal.py LOG BEGAN SEED -- ARGUMENTS OF THE CLI

The lines of LOG count as written in the 100 s before BEGAN (in seconds since 1970), evenly.
"""

import random
import sys
import time
from datetime import datetime

log, began, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
arguments = sys.argv[5:]


def put(text):
    """In pieces that end anywhere, also within a character."""
    data = text.encode()
    while data:
        size = chance.randint(1, 5000)
        sys.stdout.buffer.write(data[:size])
        sys.stdout.buffer.flush()
        data = data[size:]


if "--version" in arguments:
    print("modal client version: 1.6.4")
    sys.exit()
lines = open(log, encoding="utf-8").readlines()
times = [began - 100 + 100 * number / len(lines) for number in range(len(lines))]
if "--since" in arguments:
    chance = random.Random(seed)
    since, until = (
        datetime.fromisoformat(arguments[arguments.index(name) + 1]).timestamp() for name in ("--since", "--until")
    )
    put("".join(line for line, at in zip(lines, times) if since <= at < until))
else:
    # What a follower is shown first, nobody knows; it may end in mid-line.
    chance = random.Random(time.time())
    first = chance.randrange(len(lines))
    put("".join(lines[first : first + chance.randint(1, 2000)])[: -chance.randint(1, 80)])
    time.sleep(chance.random())
    sys.exit(1)
