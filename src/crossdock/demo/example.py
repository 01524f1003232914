"""What `--demo` adds: an integration that does something, its key, and a place where its replies arrive.

The integration is an ordinary one: it may be looked at, changed and deleted; the next start with `--demo`
makes it anew.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Network

from aiohttp import web

from crossdock.clock import system_now
from crossdock.manage.actor import Actor
from crossdock.manage.apply import Apply
from crossdock.manage.integrations import Integrations
from crossdock.manage.keys import Keys
from crossdock.model.errors import Invalid
from crossdock.model.outcome import Json
from crossdock.model.time import format_instant
from crossdock.settings import Settings
from crossdock.vault import local_secret

KEY_FILE = "demo.key"
NAME = "Demo orders"
PATH = "demo/orders"
HOST = "127.0.0.1"
KEPT_REPLIES = 100
_SAY_ALOUD = partial(print, flush=True)

ORDER = (
    '{"number": "A-1001", "customer": {"name": "Ada"}, "lines": '
    '[{"sku": "tea", "quantity": 2, "price": 4.5}, {"sku": "pot", "quantity": 1, "price": 19}]}'
)
"""What the ready-made curl sends."""


class Demo:
    """The example of one process. `start` before `set_up`: the reply URL is known only then."""

    def __init__(self, settings: Settings, say: Callable[[str], None] = _SAY_ALOUD) -> None:
        """`say` is told a line for every reply that arrives."""
        self._settings = settings
        self._sink = Sink(say)

    @property
    def allowed_networks(self) -> tuple[IPv4Network, ...]:
        """What outgoing calls may reach beside the setting's targets: the sink, on this machine."""
        return (IPv4Network(f"{HOST}/32"),)

    @property
    def sink_url(self) -> str:
        return self._sink.url

    async def start(self) -> None:
        """Open the sink at the port after the server's; any free one where that is taken or the server's is 0."""
        port = self._settings.port
        await self._sink.start(port + 1 if 0 < port < 65_535 else 0)

    async def set_up(self, apply: Apply, integrations: Integrations, keys: Keys, actor: Actor) -> None:
        """Make the integration and its key, or bring them to what this version of the demo has."""
        await apply.carry_out(actor, await apply.plan(actor, [document(self._sink.url)], {}))
        made = await integrations.by_name(actor, NAME)
        assert made is not None
        try:
            await keys.add(actor, made["id"], "demo", self.key)
        except Invalid:  # it has this key since an earlier start
            return

    @property
    def key(self) -> str:
        return local_secret(self._settings.data / KEY_FILE)

    def curl(self, url: str) -> str:
        """A command that calls the integration of the server at `url`, to be pasted into a shell."""
        return (
            f"curl -i {url}/hooks/default/{PATH} -H 'X-API-Key: {self.key}' \\\n"
            f"  -H 'Content-Type: application/json' -d '{ORDER}'"
        )

    async def stop(self) -> None:
        await self._sink.stop()


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


def document(reply_url: str) -> Json:
    """The example: an order comes in, its lines are priced, the sum is handed back and sent to `reply_url`."""
    return {
        "kind": "Integration",
        "spec": {
            "name": NAME,
            "type": "webhook-trigger",
            "status": "enabled",
            "path": PATH,
            "trigger": {"methods": ["POST"], "authentication": {"mode": "api_keys"}, "require_json": True},
            "reply": {"url": reply_url},
            "workflow": {"steps": _steps()},
        },
    }


def _steps() -> list[Json]:
    return [
        {
            "id": "priced",
            "notes": "Each line with what it costs.",
            "transform": {
                "lines": {
                    "$each": {
                        "over": "{{ body.lines }}",
                        "as": "line",
                        "value": {
                            "sku": "{{ line.sku }}",
                            "amount": "{{ (line.quantity * line.price) | round(2) }}",
                        },
                    }
                }
            },
        },
        {
            "id": "answer",
            "respond": {
                "status": 200,
                "json": {
                    "order": "{{ body.number }}",
                    "thanks": "Thank you, {{ body.customer.name }}!",
                    "lines": "{{ steps.priced.lines }}",
                    "total": "{{ steps.priced.lines | map(attribute='amount') | sum | round(2) }}",
                },
            },
        },
    ]
