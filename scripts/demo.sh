#!/usr/bin/env bash
# Builds the collector, feeds it a bundled Modal log into the embedded database, and shows what it
# made of it. Everything goes under target/: nothing of yours is touched.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --locked
export XDG_STATE_HOME="$PWD/target/demo"
unset DATABASE_URL STATE_DIRECTORY
collector=target/release/beacon-collector

printf '\n$ beacon-collector < tests/data/session.log\n'
"$collector" --listen none < tests/data/session.log
printf '\n$ beacon-collector failures\n'
"$collector" failures
failed=$(sed -n 's/.*TRACE\[\([0-9a-f]*\)\]: FAILED.*/\1/p' tests/data/session.log | head -n 1)
printf '\n$ beacon-collector trace %s\n' "$failed"
"$collector" trace "$failed"
