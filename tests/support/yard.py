"""Receiving and running without a web server: the real stages over a real store, time and deliveries held still."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, select

from crossdock.catalog import Catalog, LiveIntegration, compile_body_schema
from crossdock.expressions import compile_value
from crossdock.model.delivery import LeasedReply
from crossdock.model.integration import ApiKey, Integration, ReplySettings
from crossdock.model.retry import RetryPolicy
from crossdock.model.run import JournalEntry
from crossdock.model.trigger import Deduplication, ResponseMode, Trigger
from crossdock.observe import Observe
from crossdock.receive.answers import Answers
from crossdock.receive.app import ReceiveApp
from crossdock.run.functions import Functions
from crossdock.run.settling import Settling
from crossdock.run.stage import RunStage
from crossdock.run.surroundings import Surroundings
from crossdock.store import Store, schema
from crossdock.store.journal import read_entries
from crossdock.store.signals import Signals
from crossdock.store.versions import VersionRow, add_version
from crossdock.vault import Vault
from tests.support.held import HeldClock, held_sources
from tests.support.outside import outside_of
from tests.support.runs import NODE, add_integration, run_row

LIMIT_SECONDS = 20.0
LATER = ReplySettings("https://erp.example/callback")

WORK = '''
import asyncio, collections
from crossdock import workflows

calls = []
"""Names, in the order in which calls began."""
ended = []
gates = collections.defaultdict(asyncio.Event)
active = collections.Counter()
most = collections.Counter()

def note(name="", fail_times=0, value=None):
    calls.append(name)
    if calls.count(name) <= fail_times:
        raise RuntimeError(f"{name} failed")
    return {"name": name, "calls": calls.count(name), "value": value}

async def held(name="", group=""):
    calls.append(name)
    active[group] += 1
    most[group] = max(most[group], active[group])
    try:
        await gates[name].wait()
    finally:
        active[group] -= 1
    ended.append(name)
    return name

def surrogate(name="surrogate"):
    calls.append(name)
    raise workflows.Stop("half \\ud800 a pair")
'''


@dataclass(frozen=True, slots=True)
class Answered:
    """What a caller got."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class HeldSenders:
    """Stands for the deliver stage: it takes replies over and sends nothing."""

    room: int = 1_000
    reserved: int = 0
    handed: list[LeasedReply] = field(default_factory=list)
    wakes: int = 0

    def try_reserve(self, integration_id: str) -> bool:
        if self.reserved >= self.room:
            return False
        self.reserved += 1
        return True

    def unreserve(self, integration_id: str) -> None:
        self.reserved -= 1

    def hand_over(self, deliveries: Sequence[LeasedReply]) -> None:
        self.handed += deliveries

    def wake(self) -> None:
        self.wakes += 1


class Yard:
    """One node: `call` its integrations, look at their runs. Another node over the same store by `another`."""

    def __init__(
        self,
        store: Store,
        clock: HeldClock,
        folder: Path,
        node_id: str = NODE,
        *,
        lane_idle_seconds: float = 30.0,
        signals: Signals | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.folder = folder
        self.catalog = Catalog(store, Vault([bytes(32)]))
        self.observe = Observe()
        self.answers = Answers()
        self.senders = HeldSenders()
        self.full: set[str] = set()
        folder.mkdir(exist_ok=True)
        (folder / "work.py").write_text(WORK, encoding="utf-8")
        self.functions = Functions(folder, 4)
        sources = held_sources(clock, node_id)
        self.epoch = sources.epoch
        self.settling = Settling(self.catalog, self.senders, self.answers.announce, self.observe, sources=sources)
        outside = outside_of(self.functions, find_connection=self.catalog.connection, find_target=self.catalog.target)
        announce = self.answers.announce
        surroundings = Surroundings(
            store, self.catalog, outside, self.settling, announce, self.observe, sources, signals or Signals()
        )
        self.stage = RunStage(surroundings, lane_idle_seconds=lane_idle_seconds)
        self.app = ReceiveApp(
            store,
            self.catalog,
            self.stage,
            self.answers,
            self.observe,
            sources=sources,
            is_full=self.full.__contains__,
            monotonic=clock.monotonic,
        )
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for work, as a node does."""
        self._looking = asyncio.create_task(self.stage.look_forever())

    async def stop(self, grace: float = 0.0) -> None:
        await self.stage.stop(grace)
        if self._looking is not None:
            await asyncio.wait_for(self._looking, LIMIT_SECONDS)
            self._looking = None

    async def close(self) -> None:
        for gate in self.work["gates"].values():
            gate.set()
        await self.stop()
        self.functions.close()

    @property
    def work(self) -> dict[str, Any]:
        """The module of Python functions as it runs."""
        names: dict[str, Any] = self.functions.find("work:note").callable.__globals__
        return names

    @property
    def calls(self) -> list[str]:
        found: list[str] = self.work["calls"]
        return found

    # --- setting up ---

    async def add(
        self,
        integration_id: str = "int_a",
        steps: Sequence[Any] = (),
        *,
        reply: ReplySettings | None = None,
        retry: RetryPolicy | None = None,
        sync: bool = False,
        enabled: bool = True,
        **trigger: Any,
    ) -> LiveIntegration:
        """An integration at `/hooks/yard/<id>` whose workflow has these steps."""
        if not await self.store.read(_knows, integration_id):
            await self.store.write(add_integration, integration_id)
            if steps:
                row = VersionRow(integration_id, 1, {"steps": list(steps)}, 0, "alice")
                await self.store.write(add_version, row)
        if sync:
            trigger["response_mode"] = ResponseMode.SYNC
        given = Trigger(**trigger)
        integration = Integration(
            id=integration_id,
            workspace="yard",
            name=f"Name of {integration_id}",
            type="webhook-trigger",
            enabled=enabled,
            path=integration_id,
            trigger=given,
            reply=reply,
            retry=retry,
            workflow_number=1 if steps else 0,
        )
        live = LiveIntegration(
            integration,
            bytes(32),
            dedupe_key=compile_value(given.deduplicate.key, "key") if given.deduplicate else None,
            ordering_key=compile_value(given.ordering_key, "key") if given.ordering_key else None,
            check_body=compile_body_schema(json.loads(given.body_schema)) if given.body_schema else None,
        )
        self.know(live)
        return live

    def know(self, live: LiveIntegration) -> None:
        """Put the integration into the configuration, in place of what had its id."""
        snapshot, integration = self.catalog.snapshot, live.integration
        self.catalog.snapshot = replace(
            snapshot,
            by_id=MappingProxyType({**snapshot.by_id, integration.id: live}),
            by_path=MappingProxyType({**snapshot.by_path, (integration.workspace, integration.path): live}),
        )

    # --- calling ---

    async def call(
        self,
        path: str = "/hooks/yard/int_a",
        body: bytes | Sequence[bytes] = b"{}",
        method: str = "POST",
        query: str = "",
        headers: Sequence[tuple[str, str]] = (("content-type", "application/json"),),
    ) -> Answered:
        """Call the hook as a web server would; several pieces of a body are sent one by one."""
        pieces = [body] if isinstance(body, bytes) else list(body)
        messages = [
            {"type": "http.request", "body": piece, "more_body": n < len(pieces) - 1} for n, piece in enumerate(pieces)
        ]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode("latin-1"),
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            "client": ("192.0.2.7", 5),
        }
        await asyncio.wait_for(self.app(scope, receive, send), LIMIT_SECONDS)
        assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
        found = {name.decode("latin-1"): value.decode("latin-1") for name, value in sent[0]["headers"]}
        return Answered(sent[0]["status"], found, sent[1]["body"])

    async def accepted(self, path: str = "/hooks/yard/int_a", **more: Any) -> str:
        """Call an asynchronous integration; the event's id."""
        answer = await self.call(path, **more)
        assert answer.status == 202, answer
        event_id: str = answer.json["id"]
        return event_id

    # --- looking ---

    async def row(self, event_id: str) -> Any:
        return await self.store.read(run_row, event_id)

    async def journal(self, event_id: str) -> tuple[JournalEntry, ...]:
        return (await self.store.read(read_entries, [event_id])).get(event_id, ())

    async def until(self, event_id: str, *states: str, attempts: int = 0) -> Any:
        """The run's row once it is in one of the states after so many attempts; TimeoutError when it is not soon."""
        async with asyncio.timeout(LIMIT_SECONDS):
            while (row := await self.row(event_id)).state not in states or row.attempts < attempts:
                pass
        return row

    async def until_calls(self, count: int) -> list[str]:
        """The first calls of functions, as soon as there are so many."""
        await until(lambda: len(self.calls) >= count)
        return self.calls[:count]

    def open(self, *names: str) -> None:
        """Let the functions that are held under these names go on, now or when they are called."""
        for name in names:
            self.work["gates"][name].set()


async def until(claim: Callable[[], bool]) -> None:
    """Wait until a claim about this process holds; TimeoutError when it does not soon."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while not claim():  # noqa: ASYNC110 - what is waited for has no signal of its own
            await asyncio.sleep(0.001)


def a_key(text: str, **more: Any) -> ApiKey:
    """An API key of a caller."""
    key = ApiKey("key_1", "caller", sha256(text.encode()).digest(), disabled=False, expires_at=None)
    return replace(key, **more)


def deduplicated(within: float = 60.0, key: str = "{{ headers['x-id'] }}") -> Deduplication:
    return Deduplication(key, within)


def _knows(connection: Connection, integration_id: str) -> bool:
    query = select(schema.integration.c.id).where(schema.integration.c.id == integration_id)
    return connection.execute(query).first() is not None
