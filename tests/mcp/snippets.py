"""Uses what `mcp-config` prints as its client would, without the client: variables are replaced by the
client's own rule, the URL is called or the command started, and the tools are listed.

    python snippets.py URL TOKEN-FILE PROGRAM     (a daemon that wants the token; DATABASE_URL is set)
"""
import asyncio
import json
import os
import re
import subprocess
import sys

import httpx2 as httpx
import mcp
from mcp import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

URL, TOKEN_FILE, PROGRAM = sys.argv[1:]
with open(TOKEN_FILE) as file:
    TOKEN = file.readline().strip()
# How the client's file names a variable, and where it keeps its servers.
CLIENTS = {
    "windsurf": (r"\$\{env:(\w+)\}", "mcpServers"),
    "claude": (r"\$\{(\w+)\}", "mcpServers"),
    "claude-desktop": (None, "mcpServers"),
    "cursor": (r"\$\{env:(\w+)\}", "mcpServers"),
    "vscode": (r"\$\{input:(\w+)\}", "servers"),
}
KNOWN = {"BEACON_TOKEN": TOKEN, "DATABASE_URL": os.environ["DATABASE_URL"]}


def snippet(client, *arguments):
    printed = subprocess.run([PROGRAM, "mcp-config", client, *arguments], check=True, capture_output=True, text=True)
    if TOKEN in printed.stdout + printed.stderr:
        sys.exit(f"{client}: the token is printed")
    pattern, servers = CLIENTS[client]
    text = printed.stdout.replace("/path/to/beacon.token", TOKEN_FILE)
    if pattern:
        text = re.sub(pattern, lambda found: KNOWN[found[1]], text)
    entry = json.loads(text)[servers]["beacon"]
    asked_for = {one["id"] for one in json.loads(text).get("inputs", [])}
    if client == "vscode" and "headers" in entry and asked_for != {"BEACON_TOKEN"}:
        sys.exit(f"vscode asks for {asked_for}")
    return entry


async def tools(entry):
    if "command" in entry:
        # A client starts commands with little more than a PATH of its own environment.
        env = {"PATH": os.environ["PATH"], "STATE_DIRECTORY": os.environ["STATE_DIRECTORY"], **entry.get("env", {})}
        way = StdioServerParameters(command=entry["command"], args=entry["args"], env=env)
        async with mcp.Client(way) as client:
            return (await client.list_tools()).tools
    url = entry.get("serverUrl") or entry["url"]
    async with httpx.AsyncClient(headers=entry.get("headers"), timeout=30) as http:
        async with mcp.Client(streamable_http_client(url, http_client=http)) as client:
            return (await client.list_tools()).tools


async def main():
    for client in CLIENTS:
        for arguments in (["--url", URL, "--token"], []):
            entry = snippet(client, *arguments)
            found = await tools(entry)
            way = "at the daemon, with a token" if arguments else "as a command"
            if len(found) != 9:
                sys.exit(f"{client} {way}: {len(found)} tools")
            print(f"ok    mcp-config {client}, {way}: 9 tools")


asyncio.run(main())
