"""Where the demo's replies arrive: a small web server on this machine."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable

from aiohttp import web

from crossdock.clock import system_now
from crossdock.model.outcome import Json
from crossdock.model.time import format_instant

HOST = "127.0.0.1"
KEPT_REPLIES = 100


class Sink:
    """A web server for replies: it says a line for each, and keeps the last ones for `GET /`."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._replies: deque[Json] = deque(maxlen=KEPT_REPLIES)
        application = web.Application(client_max_size=32 * 1024 * 1024)
        application.add_routes([web.post("/replies", self._take), web.get("/", self._show)])
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False)
        self.url = ""

    async def start(self, port: int) -> None:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, port).start()
        except OSError:
            await web.TCPSite(self._runner, HOST, 0).start()
        self.url = f"http://{HOST}:{self._runner.addresses[0][1]}/replies"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        try:
            reply = await request.json()
            result = reply["result"]
            line = f"reply {reply['id']} {reply['status']}: {json.dumps(result['body'] if result else reply['error'])}"
        except (ValueError, KeyError, TypeError):
            return web.Response(status=400, text="this is no reply of Crossdock\n")
        self._replies.append({"received_at": format_instant(system_now()), "reply": reply})
        self._say(line)
        return web.Response(status=204)

    async def _show(self, _request: web.Request) -> web.Response:
        return web.json_response(list(self._replies))
