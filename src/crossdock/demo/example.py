"""The demo of one process, from the first start to the stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Network

from aiohttp import ClientError

from crossdock.demo.documents import ORDER, PATH, documents
from crossdock.demo.history import make_history
from crossdock.demo.sink import HOST, Sink
from crossdock.manage.actor import Actor
from crossdock.manage.apply import Apply, PlanStep
from crossdock.manage.integrations import Integrations
from crossdock.manage.keys import Keys
from crossdock.model.errors import Invalid
from crossdock.settings import Settings
from crossdock.vault import local_secret

KEY_FILE = "demo.key"
_SAY_ALOUD = partial(print, flush=True)


class Demo:
    """The examples of one process. `start` before `set_up`: the reply URL is known only then. `begin_history` when the
    server listens."""

    def __init__(self, settings: Settings, say: Callable[[str], None] = _SAY_ALOUD) -> None:
        """`say` is told a line for every reply that arrives."""
        self._settings = settings
        self._say = say
        self._sink = Sink(say)
        self._unused_paths: frozenset[str] = frozenset()
        self._history: asyncio.Task[None] | None = None

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
        """Make the integrations and their key, or bring them to what this version of the demo has."""
        plan = await apply.plan(actor, documents(self._sink.url), {})
        await apply.carry_out(actor, plan)
        given = [(step, await self._give_key(step, integrations, keys, actor)) for step in plan.steps]
        self._unused_paths = frozenset(step.path or "" for step, calls in given if calls == 0)

    async def _give_key(self, step: PlanStep, integrations: Integrations, keys: Keys, actor: Actor) -> int:
        """How often the integration's keys have been used so far."""
        made = await integrations.by_name(actor, step.name)
        assert made is not None
        with contextlib.suppress(Invalid):  # it has this key since an earlier start
            await keys.add(actor, made["id"], "demo", self.key)
        return sum(int(key["calls"]) for key in (await keys.page(actor, made["id"])).items)

    def begin_history(self, url: str) -> None:
        """Call those integrations that nobody has called, at the server at `url`; the rest has a history already."""
        if self._unused_paths:
            self._history = asyncio.create_task(self._make_history(url))

    async def _make_history(self, url: str) -> None:
        try:
            await make_history(url, self.key, self._unused_paths)
        except (ClientError, TimeoutError) as error:
            self._say(f"The demo could not call its own hooks at {url}: {error or 'no answer'}")

    @property
    def key(self) -> str:
        return local_secret(self._settings.data / KEY_FILE)

    def curl(self, url: str) -> str:
        """A command that calls the integration of the server at `url`, to be pasted into a shell."""
        return (
            f"curl -i {url}/hooks/default/{PATH} -H 'X-API-Key: {self.key}' \\\n"
            f"  -H 'Content-Type: application/json' -d '{ORDER}'"
        )

    async def end_history(self) -> None:
        """Make no more calls: before the server stops, which would wait for them."""
        if self._history is not None:
            self._history.cancel()
            await asyncio.wait([self._history])

    async def stop(self) -> None:
        await self.end_history()
        await self._sink.stop()
