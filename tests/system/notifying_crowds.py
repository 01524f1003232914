"""Much at once: a flapping integration, a thousand webhooks that hear of one change, and how soon a message comes."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import Connection, func, insert, select

from crossdock.clock import new_id
from crossdock.store import schema
from crossdock.store.database import open_database
from tests.support.program import Program
from tests.support.sink import Answer, Received, Sink
from tests.system.cluster import until
from tests.system.killing import prepare, url_of
from tests.system.ledger import opened_copy
from tests.system.notifying_calling import failing_integration

LIMIT_SECONDS = 60.0
FLAPPING = {"window": 1, "warning_failures": 1, "error_failures": 1}
ALL = ["warning", "error", "active"]


@dataclass(slots=True)
class Arrival:
    """A request at the sink: when it came, in monotonic seconds, and for whom."""

    at: float
    path: str
    id: str
    body: Any


@dataclass(slots=True)
class Crowd:
    """A server, and a sink that answers `/told/...` after `told_seconds`, and everything else at once."""

    program: Program
    sink: Sink
    told_seconds: float = 0.0
    arrivals: list[Arrival] = field(default_factory=list)

    def answer(self, received: Received) -> Answer:
        key = received.headers.get("idempotency-key", "")
        self.arrivals.append(Arrival(time.monotonic(), received.path, key, received.json()))
        if not self.told_seconds or not received.path.startswith("/told"):
            return Answer()
        gate = asyncio.Event()
        asyncio.get_running_loop().call_later(self.told_seconds, gate.set)
        return Answer(gate=gate)

    def told(self, prefix: str = "/told") -> list[Arrival]:
        return [arrival for arrival in self.arrivals if arrival.path.startswith(prefix)]

    async def admin(self, method: str, path: str, document: Any = None) -> Any:
        return await asyncio.to_thread(self.program.admin, method, path, document)

    async def add(self, document: dict[str, Any]) -> str:
        return await asyncio.to_thread(self.program.add_integration, document)

    async def add_webhook(self, name: str, **more: Any) -> str:
        document = {"name": name, "url": f"{self.sink.url}/told/{name}", **more}
        made: str = (await self.admin("POST", "/notification-webhooks", document))["id"]
        return made

    async def call(self, path: str, body: Any) -> None:
        reply = await asyncio.to_thread(self.program.call, path, body)
        assert reply.status == 202, reply.body

    def rows(self, *tables: str) -> dict[str, int]:
        """How many rows each table has."""
        with opened_copy(url_of(self.program, None)) as database, database.reading() as connection:
            return {name: _count(connection, name) for name in tables}


def _count(connection: Connection, table: str) -> int:
    query = select(func.count()).select_from(schema.metadata.tables[table])
    return int(connection.execute(query).scalar_one())


@asynccontextmanager
async def a_crowd(folder: Path, damping: str) -> AsyncIterator[Crowd]:
    """A server on SQLite that was started, and is gone afterwards."""
    program, sink = prepare(folder, None), Sink()
    program.environment["CROSSDOCK_NOTIFICATION_DAMPING"] = damping
    crowd = Crowd(program, sink)
    sink.answer_to = crowd.answer
    await sink.start()
    try:
        await asyncio.to_thread(program.start)
        yield crowd
        await asyncio.to_thread(program.stop)
    finally:
        program.kill()
        await sink.stop()


# --- flapping --------------------------------------------------------------------------------------------------------


async def flap(crowd: Crowd, path: str, seconds: float, callers: int = 4) -> int:
    """Let an integration fail and recover with each call, as fast as it goes; how many calls that were."""
    ends, calls = time.monotonic() + seconds, 0
    async with aiohttp.ClientSession() as session:

        async def call(number: int) -> None:
            nonlocal calls
            while time.monotonic() < ends:
                body = {"fail": "flapping" if (calls + number) % 2 else False}
                async with session.post(f"{crowd.program.url}/hooks/default/{path}", json=body) as answer:
                    assert answer.status == 202
                calls += 1

        async with asyncio.TaskGroup() as tasks:
            for number in range(callers):
                tasks.create_task(call(number))
    return calls


# --- a thousand webhooks ---------------------------------------------------------------------------------------------


async def multiply_webhook(crowd: Crowd, webhook_id: str, count: int) -> None:
    """Have as many webhooks like this one, each with a name and a path of its own; the server is started again."""
    await asyncio.to_thread(crowd.program.stop)
    await asyncio.to_thread(_insert_copies, url_of(crowd.program, None), webhook_id, count - 1)
    await asyncio.to_thread(crowd.program.start)


def _insert_copies(url: str, webhook_id: str, count: int) -> None:
    webhook = schema.notification_webhook
    database = open_database(url)
    try:
        with database.writer.begin() as connection:
            row = dict(connection.execute(select(webhook).where(webhook.c.id == webhook_id)).one()._mapping)
            name = row["name"]
            copies = [
                row
                | {"id": new_id("nwh"), "name": f"{name}-{n}"}
                | {"document": row["document"].replace(f"/told/{name}", f"/told/{name}-{n}")}
                for n in range(count)
            ]
            connection.execute(insert(webhook), copies)
    finally:
        database.dispose()


@dataclass(slots=True)
class Neighbours:
    """Callers of another integration that want its answers and its replies, and how long both take, in seconds."""

    crowd: Crowd
    path: str
    pause_seconds: float = 0.02
    waits: list[tuple[float, float]] = field(default_factory=list)
    """When a call was made, and how long its answer took."""
    asked: dict[int, float] = field(default_factory=dict)

    async def call_until(self, ended: asyncio.Event) -> None:
        number = 0
        async with aiohttp.ClientSession() as session:
            while not ended.is_set():
                number, began = number + 1, time.monotonic()
                self.asked[number] = began
                url = f"{self.crowd.program.url}/hooks/default/{self.path}"
                async with session.post(url, json={"number": number}) as answer:
                    assert answer.status == 202
                self.waits.append((began, time.monotonic() - began))
                await asyncio.sleep(self.pause_seconds)

    def answer_times(self, start: float, end: float) -> list[float]:
        return [seconds for began, seconds in self.waits if start <= began < end]

    def reply_times(self, start: float, end: float) -> list[float]:
        """From a call to the arrival of its reply, for calls that were made in between."""
        replies = ((one.body["request"]["body"]["number"], one.at) for one in self.crowd.told("/reply"))
        return [at - self.asked[number] for number, at in replies if start <= self.asked[number] < end]


@dataclass(frozen=True, slots=True)
class FanOut:
    """One change, many webhooks: when the last one heard of it, and how others fared before and meanwhile (p99)."""

    webhooks: int
    messages: int
    told: int
    """Webhooks that heard of it."""
    first_seconds: float
    all_seconds: float
    answer_before: float
    answer_meanwhile: float
    reply_before: float
    reply_meanwhile: float
    replies_meanwhile: int


async def fan_out(crowd: Crowd, count: int, *, told_seconds: float = 0.0, calm_seconds: float = 3.0) -> FanOut:
    """Let one integration fail, while another one takes calls and replies to them."""
    crowd.told_seconds = told_seconds
    await crowd.add(failing_integration("failing", health=FLAPPING))
    reply = {"url": f"{crowd.sink.url}/reply", "method": "POST"}
    await crowd.add(failing_integration("neighbour", reply=reply, health={"window": 20}))
    await multiply_webhook(crowd, await crowd.add_webhook("many"), count)
    neighbours, ended = Neighbours(crowd, "neighbour"), asyncio.Event()
    calling = asyncio.create_task(neighbours.call_until(ended))
    try:
        calm = time.monotonic()
        await asyncio.sleep(calm_seconds)
        began = time.monotonic()
        await crowd.call("failing", {"fail": "all hear of this"})
        await until(lambda: _have_heard(crowd, count), LIMIT_SECONDS, f"{count} webhooks hear of one change")
        over = time.monotonic()
        await asyncio.sleep(max(1.0, told_seconds))
    finally:
        ended.set()
        await calling
    await until(lambda: _have_replied(crowd, neighbours), LIMIT_SECONDS, "every reply arrives")
    heard = crowd.told()
    return FanOut(
        webhooks=count,
        messages=len(heard),
        told=len({one.path for one in heard}),
        first_seconds=round(heard[0].at - began, 3),
        all_seconds=round(heard[-1].at - began, 3),
        answer_before=p99(neighbours.answer_times(calm, began)),
        answer_meanwhile=p99(neighbours.answer_times(began, over)),
        reply_before=p99(neighbours.reply_times(calm, began)),
        reply_meanwhile=p99(neighbours.reply_times(began, over)),
        replies_meanwhile=sum(1 for one in crowd.told("/reply") if began <= one.at < over),
    )


async def _have_heard(crowd: Crowd, count: int) -> bool:
    return len({one.path for one in crowd.told()}) >= count


async def _have_replied(crowd: Crowd, neighbours: Neighbours) -> bool:
    return len({one.id for one in crowd.told("/reply")}) >= len(neighbours.waits)


def p99(seconds: Sequence[float]) -> float:
    if len(seconds) < 2:
        return round(max(seconds, default=0.0), 4)
    return round(statistics.quantiles(seconds, n=100, method="inclusive")[-1], 4)


# --- how soon --------------------------------------------------------------------------------------------------------

SLACK = """{
  "text": "{{ data.name }} is in state {{ data.status }}: {{ data.issues[0].message if data.issues else 'well' }}"
}"""


async def seconds_to_a_message(crowd: Crowd, times: int, pause_seconds: float = 1.0) -> list[float]:
    """From the call of a run that fails to the arrival of a message about it, on a server with nothing else to do."""
    seconds = []
    await crowd.add_webhook("chat", body_template=SLACK, filters={"statuses": ["error"]})
    for number in range(times):
        path = f"breaks-{number}"
        await crowd.add(failing_integration(path, health=FLAPPING))
        await asyncio.sleep(pause_seconds)
        began, before = time.monotonic(), len(crowd.told("/told/chat"))
        await crowd.call(path, {"fail": "it broke"})

        async def is_told(known: int = before) -> bool:
            return len(crowd.told("/told/chat")) > known

        await until(is_told, LIMIT_SECONDS, "a message comes")
        seconds.append(crowd.told("/told/chat")[-1].at - began)
    return seconds
