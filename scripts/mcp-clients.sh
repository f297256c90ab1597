#!/usr/bin/env bash
# Other people's MCP suites and clients against the collector: the official conformance suite (every
# revision that it has server checks for), the official Python SDK (both major versions), the Inspector, and
# a count of the tokens that the tool list takes. Sets up what is missing under .tools/ and .venv/. May be
# run any number of times. BEACON_PROGRAM names a program that is built already.
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

program=${BEACON_PROGRAM:-${CARGO_TARGET_DIR:-$PWD/target}/debug/beacon-collector}
[ -n "${BEACON_PROGRAM:-}" ] || cargo build --quiet --locked --bin beacon-collector
place=$(mktemp -d)
server='' guarded=''
trap 'for one in $server $guarded; do kill "$one" 2>/dev/null || true; done; wait; rm -rf "$place"' EXIT
export DATABASE_URL="sqlite:$place/beacon.db" STATE_DIRECTORY="$place"
"$program" --listen none < tests/data/session.log 2>/dev/null
python3 -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(open(sys.argv[2]).read())' \
    "$place/beacon.db" tests/mcp/world.sql
"$program" run --listen 127.0.0.1:0 --keep-serving < /dev/null 2> "$place/log" &
server=$!
address=$(bash scripts/address.sh "$place/log") || die "the server did not start"
url="http://$address/mcp"

say "tokens of the tool list"
curl -sf -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
    -H 'MCP-Protocol-Version: 2025-11-25' -d '{"jsonrpc":"2.0","id":1,"method":"tools/list"}' "$url" > "$place/tools.json"
node tests/mcp/count-tokens.mjs "$place/tools.json" 4000

for revision in 2025-06-18 2025-11-25 2026-07-28; do
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
inspect() { # NAME, then arguments: its answer in $place/inspected
    local name=$1 code=0
    shift
    timeout 60 node "$bin/mcp-inspector" --cli "$@" > "$place/inspected" 2> "$place/remarks" || code=$?
    [ "$code" = "${expected:-0}" ] || { cat "$place/remarks" "$place/inspected" >&2; die "the Inspector: $name ended with $code"; }
}
over_http() { inspect "$1 over HTTP" --server-url "$url" --transport http "${@:2}"; }
over_stdio() { inspect "$1 over stdio" -e "DATABASE_URL=$DATABASE_URL" "$program" mcp "${@:2}"; }
trace=00000000-0000-4000-8000-000000002301
for way in over_http over_stdio; do
    $way "the list" --method tools/list --strict
    while read -r tool arguments; do
        grep -q "\"$tool\"" "$place/inspected" || die "the Inspector misses $tool $way"
    done < <(printf '%s\n' diagnose_execution find_timeout_root_cause compare_with_successful get_recent_failures \
        analyze_performance find_trace_gaps search_spans get_trace collector_status)
    while read -r tool arguments; do
        # shellcheck disable=SC2086 # a list
        $way "$tool" --method tools/call --tool-name "$tool" ${arguments:+--tool-arg $arguments}
        grep -q '"structuredContent"' "$place/inspected" || die "the Inspector got no answer from $tool $way"
    done <<CALLS
diagnose_execution execution_id=2301
find_timeout_root_cause job_id=bias-detection-1
compare_with_successful execution_id=2301
get_recent_failures limit=5
analyze_performance
find_trace_gaps trace_id=$trace
search_spans since=2025-10-22 until=2025-10-23
get_trace trace_id=$trace
collector_status
CALLS
    # An error of the tool, which is its exit code 5.
    expected=5 $way "a wrong argument" --method tools/call --tool-name diagnose_execution --tool-arg execution_id=-1
    $way "prompts" --method prompts/list
    $way "resources" --method resources/templates/list
done
over_http "the newest revision" --protocol-era modern --method tools/call --tool-name diagnose_execution --tool-arg execution_id=2301
grep -q no_healthy_provider "$place/inspected" || die "the Inspector gets no diagnosis"
say "ok: lists, every tool, a wrong argument, prompts and resources over HTTP and stdio"

for version in 1.30.0 2.3.0; do
    ".venv/mcp-$version/bin/python" tests/mcp/clients.py "$url" "$server" "$program"
done
say "what mcp-config prints"
# Made for this run.
python3 -c 'import secrets; print(secrets.token_hex(24))' > "$place/token"
printf '[[http.tokens]]\nname = "editor"\nfile = "%s"\n' "$place/token" > "$place/config.toml"
"$program" run --config "$place/config.toml" --listen 127.0.0.1:0 --keep-serving < /dev/null 2> "$place/guarded" &
guarded=$!
address=$(bash scripts/address.sh "$place/guarded") || die "the guarded server did not start"
.venv/mcp-2.3.0/bin/python tests/mcp/snippets.py "http://$address" "$place/token" "$program"
say "all done"
