#!/usr/bin/env bash
# Builds the collector and shows what it does, on a quarter of an hour of a made-up system in which a region
# runs out of GPU memory: a log becomes spans, the spans are linked to the executions that they worked for,
# and it is said why those failed. Everything goes under target/demo/: nothing of yours is touched.
#   scripts/demo.sh            the answers in the terminal
#   scripts/demo.sh --serve    and then the page, until Ctrl-C
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --locked
export STATE_DIRECTORY="$PWD/target/demo"
unset DATABASE_URL
rm -rf "$STATE_DIRECTORY"
mkdir -p "$STATE_DIRECTORY"
PATH="$PWD/target/release:$PATH"

say() { # COMMAND: prints it, bold on a terminal
    if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
        printf '\n\033[1m$ %s\033[0m\n' "$*"
    else
        printf '\n$ %s\n' "$*"
    fi
}
show() { # COMMAND: prints and runs it
    say "$@"
    "$@"
}

# What the runner and the router wrote meanwhile; in your database these rows are there already.
beacon-collector migrate > "$STATE_DIRECTORY/log"
if command -v sqlite3 > /dev/null; then
    sqlite3 "$STATE_DIRECTORY/beacon.db" < examples/demo/rows.sql
elif command -v python3 > /dev/null; then
    python3 -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(open(sys.argv[2]).read())' \
        "$STATE_DIRECTORY/beacon.db" examples/demo/rows.sql
else
    echo "the demo needs sqlite3 or python3 to load its rows" >&2
    exit 1
fi

say 'beacon-collector --listen none < examples/demo/modal.log'
beacon-collector --listen none < examples/demo/modal.log
show beacon-collector failures --limit 5
show beacon-collector timeouts bias-detection-1761138376055
show beacon-collector diagnose 2374

if [ "${1-}" = --serve ]; then
    printf '\nThe same with pictures: http://127.0.0.1:7410/executions/2374 (Ctrl-C ends it)\n'
    exec beacon-collector run --keep-serving --log-format text < /dev/null
fi
printf '\nThe page with the same: scripts/demo.sh --serve\n'
