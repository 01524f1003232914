"""A handler that does nothing, on the web server that Crossdock uses: what the server alone can do.

`python -m bench.noop PORT` reads each body and answers 202 with as many bytes as Crossdock would.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import MutableMapping
from typing import Any

import uvloop

from crossdock.server.serve import WebServer

ANSWER = (
    b'{"id":"evt_019aa5c8d2f47c2e9b1f3e6a7d8c9b0a","status":"accepted","integration":"bench",'
    b'"received_at":"2026-11-22T01:19:00.000000Z","reply_by":null,"status_url":"http://127.0.0.1:8420/status/evt_0"}'
)
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]
HEAD = {"type": "http.response.start", "status": 202, "headers": HEADERS}
BODY = {"type": "http.response.body", "body": ANSWER}


async def application(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    if scope["path"] == "/readyz":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        return
    while (await receive()).get("more_body"):
        pass
    await send(HEAD)
    await send(BODY)


async def serve(port: int) -> None:
    await WebServer(application).start("127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
