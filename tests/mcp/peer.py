"""A server with one trivial tool on the official Python SDK, to measure beside: python peer.py PORT"""
import sys

from mcp.server import MCPServer

server = MCPServer("peer", log_level="ERROR")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


server.run(
    transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]), stateless_http=True, json_response=True
)
