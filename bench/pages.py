"""How long pages take with a million events stored: what is behind them alone, then whole over HTTP."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import platform
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.page_past import fill
from bench.page_visits import paths, visiting
from crossdock import __version__
from crossdock.clock import system_now
from crossdock.compose import COLLECT_AFTER
from crossdock.manage.actor import Actor
from crossdock.manage.events import EventQuery
from crossdock.manage.use_cases import UseCases
from crossdock.model.time import format_instant, later
from crossdock.store import Store, open_store
from crossdock.store.configuration import ensure_workspace
from crossdock.watch.traffic import TrafficCount
from tests.support.cases import make_cases
from tests.support.held import HeldClock
from tests.support.postgres import OwnServer
from tests.support.trials import Silent

INTEGRATIONS = 200
TIMES = 20


@dataclass(frozen=True, slots=True)
class PageTime:
    """Milliseconds of one use case. `cpu` is what this process computed, on a machine that has other things to do."""

    name: str
    p50: float
    p95: float
    most: float
    cpu: float
    said: str


def measure_pages(database: str, events: int, console: Console, path: Path | None) -> int:
    """Fill a database, ask everything that pages ask, show and write the times; 1 when one is over 100 ms."""
    with _database(database) as url:
        times = asyncio.run(_measure(url, events, console))
    table = Table("page", "p50 ms", "p95 ms", "most ms", "cpu ms", "said", title=_title(events, database))
    for time in times:
        table.add_row(time.name, f"{time.p50:.1f}", f"{time.p95:.1f}", f"{time.most:.1f}", f"{time.cpu:.1f}", time.said)
    console.print(table)
    if path is not None:
        written = {
            "version": __version__,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": platform.platform(),
            "database": database.partition(":")[0],
            "events": events,
            "load_of_machine": os.getloadavg(),
            "pages": [asdict(time) for time in times],
        }
        path.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    return 1 if any(time.p95 > 100 for time in times) else 0


def _title(events: int, database: str) -> str:
    """A wall clock tells little on a machine that has other things to do: how much it has stands beside it."""
    return f"{events:,} events, {database.partition(':')[0]}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


@contextmanager
def _database(kind: str) -> Iterator[str]:
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/crossdock.db"
    elif kind == "postgresql":
        server = OwnServer()
        try:
            yield server.url(server.create_database())
        finally:
            server.remove()
    else:
        yield kind


async def _measure(url: str, events: int, console: Console) -> list[PageTime]:
    async with open_store(url) as store:
        clock = HeldClock(system_now())
        workspace_id = await store.write(ensure_workspace, "wsp_bench", "default", clock())
        cases = make_cases(store, clock, Silent())
        actor = Actor("bench", workspace_id, "default", "admin")
        began = perf_counter()
        ids = await _fill(store, cases, actor, events, clock)
        console.print(f"{events:,} events made in {perf_counter() - began:.0f} s")
        began = perf_counter()
        await TrafficCount(store, clock).count()
        console.print(f"their traffic counted in {perf_counter() - began:.0f} s, with pauses")
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER, 20, 50)  # as in the program
        times = [await _time(name, ask) for name, ask in _pages(cases, actor, ids, clock)]
        async with visiting(store, cases, workspace_id, clock) as visitor:
            for name, path in (await paths(cases, actor, ids[3])).items():
                times.append(await _time(f"page /w/default{name}", partial(visitor.open, path)))
        return times


async def _fill(store: Store, cases: UseCases, actor: Actor, events: int, clock: HeldClock) -> list[str]:
    known = (await cases.integrations.page(actor, limit=200)).items
    if known:  # a database of an earlier time
        return [one["id"] for one in known]
    document = {"type": "webhook-trigger", "status": "enabled"}
    ids = [
        str((await cases.integrations.create(actor, {**document, "name": f"Flow {n:03}"}))["id"])
        for n in range(INTEGRATIONS)
    ]
    with store.database.direct.connect() as connection:
        await asyncio.to_thread(fill, connection, ids, events, clock())
    return ids


Ask = Callable[[], Awaitable[str]]


async def _time(name: str, ask: Ask) -> PageTime:
    said = await ask()
    taken, computed = [], process_time()
    for _ in range(TIMES):
        began = perf_counter()
        await ask()
        taken.append((perf_counter() - began) * 1_000)
    taken.sort()
    cpu = (process_time() - computed) * 1_000 / TIMES
    return PageTime(name, taken[TIMES // 2], taken[TIMES * 95 // 100], taken[-1], cpu, said)


def _pages(cases: UseCases, actor: Actor, ids: list[str], clock: HeldClock) -> Iterator[tuple[str, Ask]]:
    """What each page asks, as it asks it."""
    yield "overview", partial(_overview, cases, actor)
    yield "overview, nothing remembered", partial(_forgetful_overview, cases, actor)
    yield "integrations, 200 of them", partial(_integrations, cases, actor)
    for span in ("PT1H", "PT24H", "P7D", "P30D"):
        yield f"traffic of one, {span}", partial(_traffic, cases, actor, ids[3], span)
        yield f"traffic of all, {span}", partial(_traffic, cases, actor, None, span)
    day_ago = format_instant(later(clock(), -86_400.0))
    filters = {
        "all": EventQuery(),
        "of one integration": EventQuery(integration=ids[5]),
        "failed": EventQuery(status="failed"),
        "failed, of one": EventQuery(status="failed", integration=ids[0]),
        "failed, of one without": EventQuery(status="failed", integration=ids[7]),
        "canceled": EventQuery(status="canceled"),
        "waiting": EventQuery(status="queued,waiting,retrying"),
        "before yesterday": EventQuery(received_before=day_ago),
        "search, frequent": EventQuery(q="Customer number"),
        "search, rare": EventQuery(q="nobody has written this"),
        "search, rare, of one": EventQuery(q="nobody has written this", integration=ids[5]),
        "search, rare, failed": EventQuery(q="nobody has written this", status="failed"),
        "failed replies": EventQuery(has_failed_reply=True),
        "failed replies, of one": EventQuery(has_failed_reply=True, integration=ids[1]),
        "key without calls": EventQuery(key="nobody"),
        "method": EventQuery(method="PUT"),
        "method without calls": EventQuery(method="DELETE"),
    }
    for name, query in filters.items():
        yield f"events: {name}", partial(_events, cases, actor, query)
        yield f"count: {name}", partial(_count, cases, actor, query)
    yield "histogram of all", partial(_histogram, cases, actor, EventQuery())
    yield "histogram of one", partial(_histogram, cases, actor, EventQuery(integration=ids[5]))
    yield "look of live pages", partial(_look, cases)


async def _overview(cases: UseCases, actor: Actor) -> str:
    cases.traffic.open.expire()
    shown = await cases.overview.show(actor)
    return f"{shown['traffic']['total']['accepted']:,} calls in 24 h"


async def _forgetful_overview(cases: UseCases, actor: Actor) -> str:
    """As the first who looks in a minute sees it."""
    cases.traffic.past.expire()
    cases.overview.rankings.expire()
    return await _overview(cases, actor)


async def _integrations(cases: UseCases, actor: Actor) -> str:
    cases.traffic.open.expire()
    page = await cases.overview.integrations(actor, limit=200)
    return f"{len(page.items)} lines"


async def _traffic(cases: UseCases, actor: Actor, integration_id: str | None, span: str) -> str:
    cases.traffic.open.expire()
    if integration_id is None:
        shown = await cases.traffic.of_workspace(actor, span)
    else:
        shown = await cases.traffic.of_integration(actor, integration_id, span)
    return f"{shown['total']['accepted']:,} calls"


async def _events(cases: UseCases, actor: Actor, query: EventQuery) -> str:
    page = await cases.events.look(actor, query)
    return f"{len(page.items)} events of {page.looked_at:,}"


async def _count(cases: UseCases, actor: Actor, query: EventQuery) -> str:
    counted: Any = await cases.events.count(actor, query)
    return f"{counted['count']:,}{'' if counted['is_exact'] else ' at least'}"


async def _histogram(cases: UseCases, actor: Actor, query: EventQuery) -> str:
    shown: Any = await cases.traffic.histogram(actor, query)
    return f"{shown['total']['accepted']:,} calls"


async def _look(cases: UseCases) -> str:
    cases.traffic.open.expire()
    await cases.traffic.open.look()
    return f"{len(cases.traffic.open.chunks):,} chunks"
