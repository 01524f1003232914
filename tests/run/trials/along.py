"""A run that is really walked to its end, and what comes of it along its record."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from crossdock.catalog import Catalog, LiveIntegration, Snapshot
from crossdock.model.advance import Broken, Ended, Paused
from crossdock.model.comparison import Comparison, Passage, compare
from crossdock.model.delivery import SendReport
from crossdock.model.history import ends_of_steps
from crossdock.model.integration import Integration
from crossdock.model.outcome import Failure
from crossdock.model.run import JournalEntry, StepRecord
from crossdock.model.trial import Told, Trial
from crossdock.model.trigger import Trigger
from crossdock.model.verdict import _with_result
from crossdock.model.workflow import lenient_steps
from crossdock.outbound.connection import SqlConnection
from crossdock.outbound.request import HttpRequest, SqlAnswer, SqlFailed, SqlQuery
from crossdock.run.compile import compile_workflow
from crossdock.run.functions import Functions
from crossdock.run.trials import TrialRunner
from crossdock.run.walk import LeaseLost
from crossdock.store.journal import entry_of, entry_row, first_result
from tests.run.generating import VARS
from tests.run.walking import World, event
from tests.support.held import START
from tests.support.outside import outside_of

STARTS = 4
TURNS = 200


@dataclass
class Past:
    """A run that is over, as it is read back from the store."""

    body: Any
    journal: tuple[JournalEntry, ...]
    starts: int
    failure: Failure | None = None
    lenient: frozenset[str] = frozenset()

    @property
    def records(self) -> Mapping[str, StepRecord]:
        records = [record for entry in self.journal for record in entry.steps]
        return ends_of_steps(records, self.lenient, self.starts)

    @property
    def passage(self) -> Passage:
        return Passage(self.failure is None, self.records, first_result(self.journal), self.failure)


async def live_through(world: World, steps: list[Any], body: Any, starts: int = STARTS) -> Past:
    """Start the run until it comes to its end: after waits, lost leases and failures that may pass."""
    attempt, failure = 1, None
    for _ in range(TURNS):
        try:
            end = await world.run(steps, body, attempts=attempt)
        except LeaseLost:
            world.lose_after = None
            attempt += 1
            continue
        if isinstance(end, Paused):
            world.clock.now = max(world.clock.now, end.until)
        elif isinstance(end, Ended):
            break
        elif not end.failure.permanent and attempt < starts:
            attempt += 1
        else:
            failure = end.failure
            _keep_result(world, end)
            break
    else:
        raise AssertionError("the run comes to no end")
    lenient = lenient_steps({"steps": steps})
    return Past(body, tuple(_read_back(entry) for entry in world.journal), attempt, failure, lenient)


def _keep_result(world: World, end: Broken) -> None:
    entry = _with_result(end.entry, end.result)
    if entry is not None:
        world.journal[-1] = entry


def _read_back(entry: JournalEntry) -> JournalEntry:
    _, position, steps, status, headers, body = entry_row("evt_1", entry)
    row = SimpleNamespace(
        position=position, steps=steps, result_status=status, result_headers=headers, result_body=body
    )
    return entry_of(row)


def runner_of(world: World) -> TrialRunner:
    """A runner of trials; `World` runs those of an integration called Orders."""
    integration = Integration("int_1", "yard", "Orders", "webhook-trigger", True, "orders", Trigger())
    catalog = Catalog(None, None)  # type: ignore[arg-type]
    catalog.snapshot = Snapshot(by_id={"int_1": LiveIntegration(integration, bytes(32))})
    return TrialRunner(world.outside or outside_of(world.functions), catalog, world.clock)


async def go_along(world: World, past: Past, steps: list[Any]) -> tuple[Trial, Comparison]:
    """The run once more through these steps, answered from its record."""
    workflow = compile_workflow({"vars": world.vars, "steps": steps}, 0, world.functions)
    trial = await runner_of(world).along(event(past.body), workflow, Told.by(past.journal, past.lenient, past.starts))
    return trial, compare(past.passage, trial)


DATABASE = SqlConnection("con_1", 1, "db", "sqlite://")


class Systems:
    """Stands for other systems: a call names its fate and how often it meets it."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()
        self.queries: list[SqlQuery] = []

    async def call(self, request: HttpRequest, connection: object) -> SendReport:
        step, fate, times = request.url.rsplit("/", 3)[1:]
        await self._be_slow(step)
        bad = self._calls[step] <= int(times) and {"again": 503, "stop": 400}.get(fate)
        body = b'{"call":%d}' % self._calls[step]
        return SendReport(START, START, (), bad or 200, (("content-type", "application/json"),), body)

    async def execute(self, query: SqlQuery, connection: SqlConnection) -> SqlAnswer:
        self.queries.append(query)
        step, fate = query.parameters["step"], query.parameters["fate"]
        await self._be_slow(step)
        if fate != "ok" and self._calls[step] <= query.parameters["times"]:
            raise SqlFailed("sql_failed", f"{step} fails", permanent=fate == "stop")
        return SqlAnswer([{"call": self._calls[step]}], 1)

    async def _be_slow(self, step: str) -> None:
        self._calls[step] += 1
        for _ in range(len(step) * 3 % 7):
            await asyncio.sleep(0)


def acting(functions: Functions) -> World:
    """A world with the integration `there`."""

    def find_target(integration_id: str, name: str) -> LiveIntegration:
        if name != "there":
            raise LookupError(f"there is no integration {name!r} in this workspace")
        there = Integration("int_there", "yard", "there", "webhook-trigger", enabled=True, path="t", trigger=Trigger())
        return LiveIntegration(there, bytes(32))

    systems = Systems()
    outside = outside_of(
        functions, http=systems, sql=systems, find_connection=lambda *_: DATABASE, find_target=find_target
    )
    return World(functions, outside=outside, vars=VARS)


def systems_of(world: World) -> Systems:
    assert world.outside is not None
    assert isinstance(world.outside.sql, Systems)
    return world.outside.sql
