#!/usr/bin/env bash
# Claude Code as a client: what `mcp-config claude` prints is pasted into a project, for a daemon that wants a
# token and as a command, and `claude mcp list` has to find both connected. No model is asked, nothing outside
# this machine is called; its settings live in a folder of their own. Needs npm.
#
#   scripts/mcp-setup.sh        (BEACON_PROGRAM names a program that is built already)
set -euo pipefail
cd "$(dirname "$0")/.."

package="@anthropic-ai/claude-code@2.1.197"
if [ "$(cat .tools/claude/package 2>/dev/null)" != "$package" ]; then
    mkdir -p .tools/claude
    npm install --prefix .tools/claude --no-audit --no-fund --loglevel=error "$package" >/dev/null
    printf '%s' "$package" > .tools/claude/package
fi
claude="$PWD/.tools/claude/node_modules/.bin/claude"
program=${BEACON_PROGRAM:-${CARGO_TARGET_DIR:-$PWD/target}/debug/beacon-collector}
[ -n "${BEACON_PROGRAM:-}" ] || cargo build --quiet --locked --bin beacon-collector

place=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; wait; rm -rf "$place"' EXIT
export DATABASE_URL="sqlite:$place/beacon.db" STATE_DIRECTORY="$place"
"$program" migrate >/dev/null
# Made for this run.
python3 -c 'import secrets; print(secrets.token_hex(24))' > "$place/token"
printf '[[http.tokens]]\nname = "editor"\nfile = "%s"\n' "$place/token" > "$place/config.toml"
"$program" run --config "$place/config.toml" --listen 127.0.0.1:0 --keep-serving < /dev/null 2> "$place/log" &
server=$!
address=$(bash scripts/address.sh "$place/log")

list() { # FOLDER: what Claude Code says of the project's servers
    (cd "$1" && timeout 120 env -i PATH="$PATH" HOME="$place/home" BEACON_TOKEN="$(cat "$place/token")" "$claude" mcp list)
}
mkdir -p "$place/home/.claude" "$place/daemon" "$place/command"
# What a person answers when asked whether a project's servers may be used.
echo '{ "enableAllProjectMcpServers": true }' > "$place/home/.claude/settings.json"
"$program" mcp-config claude --url "http://$address" --token > "$place/daemon/.mcp.json" 2>/dev/null
"$program" mcp-config claude > "$place/command/.mcp.json" 2>/dev/null
for way in daemon command; do
    said=$(list "$place/$way")
    printf '%s\n' "$said" | grep beacon:
    printf '%s\n' "$said" | grep -q 'beacon: .*Connected' || { printf '%s\n' "$said" >&2; exit 1; }
done
echo "Claude Code $("$claude" --version | cut -d' ' -f1) connects to the daemon with a token, and to the command"
