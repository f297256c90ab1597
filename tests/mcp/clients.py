"""The official Python SDK as a client, version 1 or 2, over HTTP and over stdio.

    python clients.py URL PID PROGRAM      (the program's environment names its database)

On either transport it lists everything, calls every tool, makes mistakes, gives up, goes away, comes a
hundred at once, and calls ten thousand times while the server's memory is watched. Ends with 1 at the first surprise.
"""
import asyncio
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager
from importlib.metadata import version

import anyio
import mcp
from mcp import ClientSession, StdioServerParameters, types

URL, PID, PROGRAM = sys.argv[1], sys.argv[2], sys.argv[3]
HOST = URL.split("/")[2]
NEW = int(version("mcp").split(".")[0]) >= 2
TRACE = "00000000-0000-4000-8000-000000002301"
CALLS = {
    "diagnose_execution": {"execution_id": 2301},
    "find_timeout_root_cause": {"job_id": "bias-detection-1"},
    "compare_with_successful": {"execution_id": 2301},
    "get_recent_failures": {"limit": 5},
    "analyze_performance": {},
    "find_trace_gaps": {"trace_id": TRACE},
    "search_spans": {"since": "2025-10-22", "until": "2025-10-23"},
    "get_trace": {"trace_id": TRACE},
    "collector_status": {},
}
MISTAKES = [
    ("diagnose_execution", {}),
    ("diagnose_execution", {"execution_id": -1}),
    ("diagnose_execution", {"execution_id": "abc"}),
    ("diagnose_execution", {"execution_id": 10**30}),
    ("diagnose_execution", {"execution_id": 999999999}),
    ("diagnose_execution", {"exeuction_id": 1}),
    ("find_timeout_root_cause", {"job_id": "no such job"}),
    ("get_trace", {"trace_id": "zz"}),
    ("search_spans", {"since": "yesterday"}),
    ("search_spans", {"limit": 100000}),
    ("get_recent_failures", {"cursor": "nonsense"}),
]


def check(holds, what):
    if not holds:
        sys.exit(f"clients.py: {what}")


@asynccontextmanager
async def over_http():
    if NEW:
        async with mcp.Client(URL) as client:
            yield client
    else:
        from mcp.client.streamable_http import streamablehttp_client

        async with streamablehttp_client(URL) as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            yield session


@asynccontextmanager
async def over_stdio():
    parameters = StdioServerParameters(command=PROGRAM, args=["mcp"], env=dict(os.environ))
    if NEW:
        async with mcp.Client(parameters) as client:
            yield client
    else:
        async with mcp.stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            yield session


def field(value, *names):
    for name in names:
        if hasattr(value, name):
            return getattr(value, name)
    sys.exit(f"clients.py: none of {names} in {value!r}")


async def everything(connect, name):
    async with connect() as client:
        tools = (await client.list_tools()).tools
        check({tool.name for tool in tools} == set(CALLS), f"{name}: the tools are {[t.name for t in tools]}")
        for tool in tools:
            result = await client.call_tool(tool.name, CALLS[tool.name])
            check(not field(result, "is_error", "isError"), f"{name}: {tool.name}: {result}")
            structured = field(result, "structured_content", "structuredContent")
            check(json.loads(result.content[0].text) == structured, f"{name}: {tool.name}: text and structure differ")
        for tool, arguments in MISTAKES:
            result = await client.call_tool(tool, arguments)
            check(field(result, "is_error", "isError"), f"{name}: {tool} {arguments} was accepted")
            check(len(result.content[0].text) < 1000, f"{name}: {tool} {arguments}: a long error")
        try:
            await client.call_tool("no_such_tool", {})
            check(False, f"{name}: an unknown tool was accepted")
        except Exception as error:  # its class differs between versions
            check("no_such_tool" in str(error), f"{name}: {error!r}")
        prompts = (await client.list_prompts()).prompts
        check(len(prompts) == 3, f"{name}: prompts {prompts}")
        prompt = await client.get_prompt("debug_execution", {"execution_id": "2301"})
        check("2301" in prompt.messages[0].content.text, f"{name}: {prompt}")
        uri = "execution://2301"
        if not NEW:
            from pydantic import AnyUrl

            uri = AnyUrl(uri)
        read = await client.read_resource(uri)
        check("no_healthy_provider" in read.contents[0].text, f"{name}: {read}")
        templates = await client.list_resource_templates()
        check(len(field(templates, "resource_templates", "resourceTemplates")) == 2, f"{name}: {templates}")
        reference = types.ResourceTemplateReference(type="ref/resource", uri="execution://{execution_id}")
        completed = await client.complete(reference, {"name": "execution_id", "value": "23"})
        check("2301" in completed.completion.values, f"{name}: {completed}")
    print(f"ok    {name}: every tool, {len(MISTAKES) + 1} mistakes, prompts, resources, completion")


def innermost(error):
    """The errors in a group of them."""
    if not hasattr(error, "exceptions"):
        return [error]
    return [inner for part in error.exceptions for inner in innermost(part)]


def says_closed(error):
    return isinstance(error, (anyio.ClosedResourceError, anyio.BrokenResourceError)) or "Connection closed" in str(error)


async def cancellation(connect, name):
    # Version 1 of the SDK stops reading when an answer arrives in the very moment in which its caller gives up, and
    # closes its own end: that says nothing about the server, so such a client is replaced.
    for trial in range(10):
        try:
            await give_up(connect)
            break
        except Exception as error:
            if NEW or trial == 9 or not all(map(says_closed, innermost(error))):
                raise
    print(f"ok    {name}: cancelled calls leave the connection usable")


async def give_up(connect):
    async with connect() as client:
        for _ in range(20):
            try:
                await asyncio.wait_for(client.call_tool("collector_status", {}), 0.001)
            except (TimeoutError, asyncio.TimeoutError):
                pass
        result = await client.call_tool("collector_status", {})
        check(not field(result, "is_error", "isError"), "after cancelled calls the next one fails")


def request(name, arguments):
    params = {"name": name, "arguments": arguments}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})


HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2025-11-25",
}


def vanishing():
    body = request("diagnose_execution", {"execution_id": 2301})
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    host, port = HOST.split(":")
    for kept in (len(body), len(body) // 2, 0):
        for _ in range(50):
            with socket.create_connection((host, int(port))) as connection:
                text = f"POST /mcp HTTP/1.1\r\nHost: {HOST}\r\n{head}Content-Length: {len(body)}\r\n\r\n{body[:kept]}"
                connection.sendall(text.encode())
    connection = http.client.HTTPConnection(HOST)
    connection.request("GET", "/healthz")
    check(connection.getresponse().status == 200, "the server did not survive clients that vanish")
    print("ok    150 clients that vanish harm nobody")


HELLO = [
    {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}},
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
]


def on_stdio():
    """The server as a command, greeted."""
    child = subprocess.Popen([PROGRAM, "mcp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    child.stdin.write("".join(json.dumps(line) + "\n" for line in HELLO).encode())
    child.stdin.flush()
    check(b"protocolVersion" in child.stdout.readline(), "stdio: no answer to initialize")
    return child


def call_on_stdio(child, text):
    child.stdin.write(text)
    child.stdin.flush()
    return b'"isError":false' in child.stdout.readline()


def vanishing_on_stdio():
    """A client that is gone in the middle of a call leaves no process behind."""
    text = (request("diagnose_execution", {"execution_id": 2301}) + "\n").encode()
    for kept in (text, text[: len(text) // 2], b""):
        child = on_stdio()
        child.stdin.write(kept)
        child.stdin.flush()
        # Nobody reads or writes any more.
        child.stdout.close()
        child.stdin.close()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            check(False, "stdio: the server outlives its client")
    print("ok    stdio: the server ends with a client that vanishes")


def crowd_on_stdio():
    children = [on_stdio() for _ in range(100)]
    text = (request("diagnose_execution", {"execution_id": 2301}) + "\n").encode()
    for child in children:
        child.stdin.write(text)
        child.stdin.flush()
    answered = sum(b'"isError":false' in child.stdout.readline() for child in children)
    for child in children:
        child.stdin.close()
    check(all(child.wait(30) == 0 for child in children), "stdio: a server ended with an error")
    check(answered == 100, f"stdio: only {answered} of 100 clients were answered")
    print("ok    stdio: 100 clients at once")


async def crowd():
    async def one():
        async with over_http() as client:
            result = await client.call_tool("diagnose_execution", {"execution_id": 2301})
            return not field(result, "is_error", "isError")

    answers = await asyncio.gather(*(one() for _ in range(100)))
    check(all(answers), f"only {sum(answers)} of 100 clients were answered")
    print("ok    100 clients at once")


def endurance_on_stdio(calls=10_000):
    text = (request("get_trace", {"trace_id": TRACE}) + "\n").encode()
    child = on_stdio()

    def many(count):
        check(all(call_on_stdio(child, text) for _ in range(count)), "stdio: a call failed")

    many(calls // 5)
    before, began = resident_kib(child.pid), time.monotonic()
    many(calls)
    took, grown = time.monotonic() - began, resident_kib(child.pid) - before
    child.stdin.close()
    check(child.wait(20) == 0, "stdio: the server ended with an error")
    check(grown < 8 * 1024, f"stdio: {calls} calls made the server {grown} KiB larger")
    print(f"ok    stdio: {calls} calls in {took:.1f} s; memory {before} KiB before, {grown:+} KiB after")


def resident_kib(pid=PID):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def endurance(calls=10_000, clients=4):
    body = request("get_trace", {"trace_id": TRACE})

    def many(count):
        connection = http.client.HTTPConnection(HOST)
        for _ in range(count):
            connection.request("POST", "/mcp", body, HEADERS)
            answer = connection.getresponse()
            check(answer.status == 200 and b'"isError":false' in answer.read(), "a call failed")

    def together(count):
        threads = [threading.Thread(target=many, args=(count // clients,)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    together(calls // 5)
    before, began = resident_kib(), time.monotonic()
    together(calls)
    took, grown = time.monotonic() - began, resident_kib() - before
    check(grown < 8 * 1024, f"{calls} calls made the server {grown} KiB larger")
    print(f"ok    {calls} calls in {took:.1f} s; memory {before} KiB before, {grown:+} KiB after")


async def main():
    print(f"Python SDK {version('mcp')}")
    await everything(over_http, "HTTP")
    await everything(over_stdio, "stdio")
    await cancellation(over_http, "HTTP")
    await cancellation(over_stdio, "stdio")
    vanishing()
    vanishing_on_stdio()
    await crowd()
    crowd_on_stdio()
    endurance()
    endurance_on_stdio()


asyncio.run(main())
