"""Integrations whose workflows have a step of every kind, and what each of their runs has to leave behind.

Every step with a side effect leaves a mark outside: `http` at the sink, under its idempotency key; `python`, in a
thread or in a process, as a line of the effect ledger, under its path; `sql` as a row; `emit` as an event.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from sqlalchemy import create_engine, text

from tests.support.program import Program
from tests.system.calling import AWAY_SECONDS
from tests.system.ledger import Promises

LINES = 5
PAUSE_SECONDS = 0.15
DELAY_SECONDS = 0.3
FILE, SERVER = "file", "server"
"""Connections of `sql` steps: a SQLite file of its own, and the PostgreSQL that Crossdock itself works on."""
TABLE = "booked"
EVERY, CHILDREN, ASKED = "every", "children", "asked"


def call(step_id: str, sink_url: str) -> dict[str, Any]:
    return {
        "id": step_id,
        "http": {"method": "POST", "url": f"{sink_url}/steps", "json": {"number": "{{ body.number }}"}},
    }


def mark(step_id: str, **more: Any) -> dict[str, Any]:
    return {"id": step_id, "python": {"function": "effects:mark", **more}}


def book(connection: str) -> dict[str, Any]:
    sql = {
        "connection": connection,
        "statement": f"INSERT INTO {TABLE} (event) VALUES (:event)",
        "parameters": {"event": "{{ event.id }}"},
    }
    return {"id": f"booked_in_{connection}", "sql": sql}


def every_step(sink_url: str, databases: Sequence[str] = (FILE,)) -> list[dict[str, Any]]:
    """What is before and behind each block has a side effect too, so that kills fall between and inside."""
    even = {"when": "{{ body.number % 2 == 0 }}", "steps": [call("even", sink_url), mark("even_too")]}
    branches = {
        "left": [call("left", sink_url), mark("left_too")],
        "right": [mark("right"), call("right_too", sink_url)],
    }
    lines = {
        "over": f"{{{{ range({LINES}) }}}}",
        "concurrency": 2,
        "steps": [call("sent", sink_url), mark("noted"), {"id": "n", "transform": "{{ item }}"}],
    }
    return [
        {"id": "given", "transform": {"number": "{{ body.number }}"}},
        call("called", sink_url),
        mark("marked"),
        mark("marked_apart", isolation="process"),
        *(book(connection) for connection in databases),
        {"id": "route", "switch": {"cases": [even], "default": [mark("odd")]}},
        {"id": "both", "parallel": {"branches": branches}},
        {"id": "lines", "for_each": lines},
        {"id": "answer", "respond": {"json": {"number": "{{ steps.given.number }}", "lines": "{{ steps.lines }}"}}},
        {"id": "pause", "delay": {"for": f"PT{DELAY_SECONDS}S"}},
        mark("rested"),
        {"id": "handed_on", "emit": {"integration": CHILDREN, "json": {"number": "{{ body.number }}"}}},
        mark("last"),
    ]


def kinds_of(steps: list[dict[str, Any]]) -> dict[str, str]:
    """The steps' kinds by their ids, in their order."""
    return {step["id"]: next(name for name in step if name != "id") for step in steps}


def expected_effects(number: int) -> set[str]:
    """The paths of the steps that leave a mark, for the call with this number."""
    lines = {f"lines[{line}].{step}" for line in range(LINES) for step in ("sent", "noted")}
    route = {"route.even", "route.even_too"} if number % 2 == 0 else {"route.odd"}
    both = {f"both.{name}" for name in ("left", "left_too", "right", "right_too")}
    return {"called", "marked", "marked_apart", "rested", "last"} | lines | route | both


def previous(path: str) -> str | None:
    """The step that has to be recorded before the one at this path may begin; None for those that come first."""
    block, _, step = path.rpartition(".")
    if block:
        before = {"even_too": "even", "left_too": "left", "right_too": "right", "noted": "sent"}.get(step)
        first = f"{block}.{before}" if before else None
        return first or previous(block.partition("[")[0])
    return {
        "marked": "called",
        "marked_apart": "marked",
        "route": f"booked_in_{FILE}",
        "both": "route",
        "lines": "both",
        "rested": "answer",
        "last": "handed_on",
    }.get(path)


def expected_result(number: int) -> Any:
    return {"number": number, "lines": list(range(LINES))}


def add_databases(program: Program, database: str | None) -> tuple[str, ...]:
    """Tables for `sql` steps and the connections that reach them; the connections' names."""
    folder = program.data / "databases"
    folder.mkdir(parents=True, exist_ok=True)
    urls = {FILE: f"sqlite:///{folder / 'booked.db'}"}
    if database is not None:
        urls[SERVER] = database
    for name, url in urls.items():
        engine = create_engine(_with_driver(url))
        with engine.begin() as connection:
            connection.execute(text(f"CREATE TABLE {TABLE} (event TEXT NOT NULL)"))
        engine.dispose()
        reached = "sqlite:///booked.db" if name == FILE else url  # below the folder that steps may reach
        program.admin("POST", "/connections", {"name": name, "kind": "sql", "url": reached})
    return tuple(urls)


def read_bookings(program: Program, database: str | None) -> dict[str, Counter[str]]:
    """How many rows each event has, by connection."""
    urls = {FILE: f"sqlite:///{program.data / 'databases' / 'booked.db'}", SERVER: database}
    found = {}
    for name, url in urls.items():
        if url is not None:
            engine = create_engine(_with_driver(url))
            with engine.connect() as connection:
                found[name] = Counter(connection.execute(text(f"SELECT event FROM {TABLE}")).scalars())
            engine.dispose()
    return found


def _with_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def add_integrations(program: Program, sink_url: str, databases: Sequence[str]) -> dict[str, str]:
    """One with every step and a reply, one for its children, one that answers in the middle; their ids by name."""
    answer = {"id": "answer", "respond": {"json": {"number": "{{ body.number }}"}}}
    workflows = {
        CHILDREN: [mark("child")],
        EVERY: every_step(sink_url, databases),
        ASKED: [call("called", sink_url), answer, mark("last")],
    }
    replies = {EVERY: {"reply": {"url": f"{sink_url}/replies", "method": "POST"}}}
    return {
        name: program.add_integration(_document(name, steps) | replies.get(name, {}))
        for name, steps in workflows.items()
    }


def _document(name: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
    trigger = {
        "methods": ["POST"],
        "authentication": {"mode": "none"},
        "response_mode": "sync" if name == ASKED else "async",
        "concurrency": 8,
    }
    return {"name": name, "type": "webhook-trigger", "path": name, "trigger": trigger, "workflow": {"steps": steps}}


@dataclass(slots=True)
class StepCallers:
    """They go on through crashes, and write down what they were promised."""

    program: Program
    promises: Promises
    callers: int = 3
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    async def call_until(self, ended: asyncio.Event) -> None:
        limits = aiohttp.ClientTimeout(total=15)
        async with aiohttp.ClientSession(timeout=limits) as session, asyncio.TaskGroup() as tasks:
            for path in (*[EVERY] * self.callers, ASKED):
                tasks.create_task(self._call(session, ended, path))

    async def _call(self, session: aiohttp.ClientSession, ended: asyncio.Event, path: str) -> None:
        while not ended.is_set():
            try:
                await self._call_once(session, path)
                await asyncio.sleep(PAUSE_SECONDS)
            except (aiohttp.ClientError, TimeoutError):
                self.promises.unclear += 1
                await asyncio.sleep(AWAY_SECONDS)

    async def _call_once(self, session: aiohttp.ClientSession, path: str) -> None:
        body = {"number": next(self._numbers)}
        async with session.post(f"{self.program.url}/hooks/default/{path}", json=body) as answer:
            if answer.status == 202:
                self.promises.accept((await answer.json())["id"])
            elif answer.status == 200:
                await answer.read()
                self.promises.answer(answer.headers["X-Crossdock-Event"])
            elif answer.status == 503:
                await asyncio.sleep(AWAY_SECONDS)
            else:
                self.promises.unexpected.append(f"{path}: {answer.status} {await answer.text()}")
