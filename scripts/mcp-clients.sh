#!/usr/bin/env bash
# Other people's MCP suites and clients against the collector: the official conformance suite (newest and
# oldest revision it knows of this server), the official Python SDK (both major versions), the Inspector,
# and a count of the tokens that the tool list takes. Sets up what is missing under .tools/ and .venv/.
# May be run any number of times.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'mcp-clients: %s\n' "$*"; }
die() { say "$*" >&2; exit 1; }

if ! command -v npm >/dev/null; then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || die "npm is missing; install it: apt-get install npm"
    say "installing npm"
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends npm >/dev/null
fi

packages="node@22.23.3 gpt-tokenizer@3 @modelcontextprotocol/conformance@0.2.0-alpha.12 @modelcontextprotocol/inspector@2.12.0"
if [ "$(cat .tools/node/packages 2>/dev/null)" != "$packages" ]; then
    say "installing $packages"
    mkdir -p .tools/node
    # shellcheck disable=SC2086 # a list
    npm install --prefix .tools/node --no-audit --no-fund --loglevel=error $packages >/dev/null
    printf '%s' "$packages" > .tools/node/packages
fi
# The suites need Node 22; the package of this name brings it along.
PATH="$PWD/.tools/node/node_modules/node/bin:$PATH"
bin="$PWD/.tools/node/node_modules/.bin"

for version in 2.3.0 1.30.0; do
    if [ ! -e ".venv/mcp-$version/ready" ]; then
        say "making .venv/mcp-$version"
        "${PYTHON:-python3}" -m venv --clear ".venv/mcp-$version"
        ".venv/mcp-$version/bin/python" -m pip install --quiet --disable-pip-version-check "mcp==$version"
        touch ".venv/mcp-$version/ready"
    fi
done

cargo build --quiet --locked
program=${BEACON_PROGRAM:-${CARGO_TARGET_DIR:-$PWD/target}/debug/beacon-collector}
place=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; wait; rm -rf "$place"' EXIT
export DATABASE_URL="sqlite:$place/beacon.db" STATE_DIRECTORY="$place"
"$program" --listen none < tests/data/session.log 2>/dev/null
python3 -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(open(sys.argv[2]).read())' \
    "$place/beacon.db" tests/mcp/world.sql
"$program" run --listen 127.0.0.1:0 --keep-serving < /dev/null 2> "$place/log" &
server=$!
for _ in $(seq 100); do
    address=$(sed -n 's/.*address=\([0-9.:]*\).*/\1/p' "$place/log" | head -n 1)
    [ -z "$address" ] || break
    sleep 0.1
done
[ -n "$address" ] || { cat "$place/log" >&2; die "the server did not start"; }
url="http://$address/mcp"

say "tokens of the tool list"
curl -sf -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
    -H 'MCP-Protocol-Version: 2025-11-25' -d '{"jsonrpc":"2.0","id":1,"method":"tools/list"}' "$url" > "$place/tools.json"
node tests/mcp/count-tokens.mjs "$place/tools.json" 4000

for revision in 2025-11-25 2026-07-28; do
    say "conformance suite, revision $revision"
    if ! node "$bin/conformance" server --url "$url" --suite all --spec-version "$revision" \
        --output-dir "$place/results-$revision" --expected-failures "tests/mcp/expected-failures-$revision.yml" \
        > "$place/conformance" 2>&1; then
        tail -n 80 "$place/conformance" >&2
        die "the conformance suite found what was not expected"
    fi
    grep '^Total' "$place/conformance"
done

say "the Inspector"
node "$bin/mcp-inspector" --cli --server-url "$url" --transport http --method tools/list --strict > "$place/inspected" \
    2> "$place/remarks" || { cat "$place/remarks" >&2; die "the Inspector refuses the tool list"; }
grep -q diagnose_execution "$place/inspected" || die "the Inspector lists no tools over HTTP"
node "$bin/mcp-inspector" --cli -e "DATABASE_URL=$DATABASE_URL" "$program" mcp --method tools/call \
    --tool-name diagnose_execution --tool-arg execution_id=2301 > "$place/inspected" 2> "$place/remarks" \
    || { cat "$place/remarks" >&2; die "the Inspector's call failed"; }
grep -q no_healthy_provider "$place/inspected" || die "the Inspector gets no diagnosis over stdio"
say "lists and calls, over HTTP and stdio"

for version in 1.30.0 2.3.0; do
    ".venv/mcp-$version/bin/python" tests/mcp/clients.py "$url" "$server" "$program"
done
say "all done"
