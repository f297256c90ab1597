#!/usr/bin/env bash
# Prints the address that a collector started with `--listen 127.0.0.1:0` listens on, as soon as its log names
# it. Where it does not within a minute, prints the log and fails.
#
#   scripts/address.sh LOG
set -euo pipefail
for _ in $(seq 600); do
    address=$(sed -n 's/.*address=\([0-9.:]*\).*/\1/p' "$1" | head -n 1)
    if [ -n "$address" ]; then
        printf '%s\n' "$address"
        exit
    fi
    sleep 0.1
done
cat "$1" >&2
echo "address: no address in $1 after a minute" >&2
exit 1
