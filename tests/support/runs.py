"""Accepted calls and their runs, recorded and read through the store's own doors."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from sqlalchemy import Connection, insert, select, text

from crossdock.clock import new_token
from crossdock.model.errors import StoreUnavailable
from crossdock.model.event import Event, Request
from crossdock.model.outcome import Failure, Result
from crossdock.model.run import JournalEntry, LeasedRun, StepRecord, StepStatus
from crossdock.model.states import RunMove
from crossdock.model.time import Instant
from crossdock.store import Store, schema
from crossdock.store.accept import Accept, AcceptAnswer, Accepted, DedupeKey, Lease
from crossdock.store.events import first_id_at
from crossdock.store.journal import read_entries
from crossdock.store.settle import Checkpoint, Settle

NODE = "node_here"
OTHER_NODE = "node_there"
REFUSED = Failure("assert", "the order has no lines", "check")


_numbers = itertools.count()


def an_event(now: Instant, integration_id: str = "int_a", body: bytes = b'{"n":1}', **request: Any) -> Event:
    given: dict[str, Any] = {
        "method": "POST",
        "path": "/hooks/default/orders",
        "query": (("a", "1"), ("a", "2")),
        "headers": (("content-type", "application/json"), ("x-trace", "t1")),
        "content_type": "application/json",
        "source_ip": "127.0.0.1",
    }
    event_id = f"{first_id_at(now)}{next(_numbers):020x}"  # in the order in which they are made, the same each time
    return Event(event_id, integration_id, now, Request(body=body, **{**given, **request}))


def a_step(name: str = "one", output: Any = None, error: Failure | None = None) -> StepRecord:
    status = StepStatus.SUCCEEDED if error is None else StepStatus.FAILED
    return StepRecord(name, "transform", status, 1, 2, 1, {"given": name}, output, error)


def an_entry(position: int = 0, *steps: StepRecord, result: Result | None = None) -> JournalEntry:
    return JournalEntry(position, steps, result)


@dataclass(slots=True)
class Runs:
    """Records calls at a held instant and reads what became of their runs."""

    store: Store
    now: Instant
    tokens: dict[str, str] = field(default_factory=dict)

    def change(
        self,
        event: Event,
        *,
        leased: bool = False,
        lane: str | None = None,
        dedupe: DedupeKey | None = None,
        node: str = NODE,
        finished: bool = False,
    ) -> Accept:
        lease = Lease(node, new_token()) if leased else None
        return Accept(event, 1, lease=lease, lane_key=lane, dedupe=dedupe, finished=finished)

    async def accept(self, integration_id: str = "int_a", **more: Any) -> AcceptAnswer:
        """Record one call; how it was taken."""
        body = more.pop("body", b'{"n":1}')
        answer: AcceptAnswer = await self.store.submit(
            self.change(an_event(self.now, integration_id, body), **more), weight=len(body)
        )
        return answer

    async def queued(self, integration_id: str = "int_a", **more: Any) -> str:
        """The event id of a run that waits."""
        answer = await self.accept(integration_id, **more)
        assert isinstance(answer, Accepted)
        return answer.event.id

    async def leased(self, integration_id: str = "int_a", **more: Any) -> LeasedRun:
        """A run that this node works on."""
        answer = await self.accept(integration_id, leased=True, **more)
        assert isinstance(answer, Accepted)
        assert answer.run is not None
        return answer.run

    async def settle(self, run: LeasedRun, move: RunMove = RunMove.SUCCEED, **more: Any) -> bool:
        landed: bool = await self.store.submit(settle_of(run, move, more.pop("now", self.now), **more))
        return landed

    async def checkpoint(self, run: LeasedRun, entry: JournalEntry) -> bool:
        landed: bool = await self.store.submit(Checkpoint(run.event.id, run.lease_token, entry))
        return landed

    async def row(self, event_id: str) -> Any:
        """The run's row as it stands."""
        return await self.store.read(run_row, event_id)

    async def state(self, event_id: str) -> str:
        return str((await self.row(event_id)).state)

    async def journal(self, event_id: str) -> tuple[JournalEntry, ...]:
        return (await self.store.read(read_entries, [event_id])).get(event_id, ())


class Batch:
    """What is submitted inside shares one commit: the recorder is busy until the end."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._gate = threading.Event()

    async def __aenter__(self) -> None:
        loop, is_busy = asyncio.get_running_loop(), asyncio.Event()

        def hold(_: Connection) -> None:
            loop.call_soon_threadsafe(is_busy.set)
            self._gate.wait(20)

        self._held = asyncio.ensure_future(self._store.write(hold))
        await asyncio.wait_for(is_busy.wait(), 20)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)  # what this turn of the loop submitted is handed to the recorder at its end
        await asyncio.sleep(0)
        self._gate.set()
        await self._held


@dataclass(frozen=True, slots=True)
class LostAnswers:
    """A change whose commit lands and whose answer does not arrive: nobody of its batch hears of it."""

    rank: ClassVar[int] = 90

    @classmethod
    def record(cls, connection: Connection, changes: Sequence[Self], /) -> Sequence[None]:
        connection.exec_driver_sql("COMMIT")
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        raise StoreUnavailable("the answer was lost")  # Differs: a file can't hang up


def settle_of(run: LeasedRun, move: RunMove, now: Instant, **more: Any) -> Settle:
    given = {"event_id": run.event.id, "integration_id": run.event.integration_id, "lease_token": run.lease_token}
    return Settle(**{**given, "move": move, "now": now, **more})


def run_row(connection: Connection, event_id: str) -> Any:
    return connection.execute(select(schema.run).where(schema.run.c.event_id == event_id)).first()


def cut_writers(connection: Connection) -> None:
    """As an administrator of PostgreSQL would: the connection that writes is ended."""
    connection.execute(
        text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'crossdock writer' AND datname = current_database()"
        )
    )


def count(connection: Connection, table: str) -> int:
    return len(connection.execute(select(schema.metadata.tables[table])).all())


def add_integration(connection: Connection, integration_id: str) -> None:
    """An integration's row, for queries that go from integration to integration."""
    if not connection.execute(select(schema.workspace).where(schema.workspace.c.id == "ws_1")).first():
        connection.execute(insert(schema.workspace).values(id="ws_1", slug="yard", name="Yard", created_at=0))
    connection.execute(
        insert(schema.integration).values(
            id=integration_id,
            workspace_id="ws_1",
            name=integration_id,
            type="webhook-trigger",
            enabled=True,
            path=integration_id,
            document="{}",
            workflow_number=0,
            revision=1,
            created_at=0,
            updated_at=0,
        )
    )
