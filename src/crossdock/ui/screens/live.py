"""News for open pages, as server-sent events (HTML Living Standard, 9.2): counts of what came and ended, and health.

A stream ends by itself after some minutes; the browser comes again and is recognised anew, so that nobody goes on
watching whose session has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
from starlette.responses import Response, StreamingResponse

from crossdock.ui.visit import Visit, reads

STREAM_SECONDS = 300.0
SILENCE_SECONDS = 20.0
"""After which a comment is sent: it keeps proxies from cutting the stream, and tells us when nobody listens."""
RETRY_MILLISECONDS = 2_000
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}

_encode = msgspec.json.Encoder().encode


async def follow(visit: Visit) -> Response:
    return StreamingResponse(_stream(visit), media_type="text/event-stream", headers=HEADERS)


async def _stream(visit: Visit) -> AsyncIterator[bytes]:
    yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
    end = asyncio.get_running_loop().time() + STREAM_SECONDS
    async with contextlib.aclosing(visit.cases.live.watch(visit.actor)) as watching:
        coming = asyncio.ensure_future(anext(watching, None))
        try:
            while asyncio.get_running_loop().time() < end:
                await asyncio.wait([coming], timeout=SILENCE_SECONDS)
                if not coming.done():
                    yield b": still here\n\n"
                    continue
                news = coming.result()
                if news is None:
                    return  # the node stops
                coming = asyncio.ensure_future(anext(watching, None))
                yield b"event: news\ndata: " + _encode(news.document()) + b"\n\n"
        finally:
            coming.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await coming


routes = (reads("/live", follow),)
