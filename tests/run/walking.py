"""What the tests of the walk share: events, leased runs, and ports that remember."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from crossdock.model.advance import RunEnd
from crossdock.model.event import Event, Request
from crossdock.model.outcome import Result
from crossdock.model.run import JournalEntry, LeasedRun
from crossdock.run.compile import compile_workflow
from crossdock.run.functions import Functions
from crossdock.run.outside import Outside
from crossdock.run.walk import WalkPorts, walk
from tests.support.held import START, HeldClock
from tests.support.outside import outside_of


def event(body: Any = None, headers: Mapping[str, str] | None = None) -> Event:
    request = Request(
        "POST", "/orders", (), tuple((headers or {}).items()), "application/json", msgspec.json.encode(body)
    )
    return Event("evt_1", "int_1", START, request)


def leased(body: Any = None, *journal: JournalEntry, attempts: int = 1) -> LeasedRun:
    return LeasedRun(event(body), 1, attempts, 0, "token", None, journal)


@dataclass
class World:
    """Ports for a walk. `journal` is what became durable; `lose_after` checkpoints the lease is lost."""

    functions: Functions
    clock: HeldClock = field(default_factory=HeldClock)
    journal: list[JournalEntry] = field(default_factory=list)
    answers: list[Result] = field(default_factory=list)
    lose_after: int | None = None
    outside: Outside | None = None
    vars: dict[str, Any] = field(default_factory=dict)

    def ports(self) -> WalkPorts:
        return WalkPorts(
            self.clock,
            lambda: 0.0,
            self.outside or outside_of(self.functions),
            self._checkpoint,
            self._answered,
            lambda _: "Orders",
        )

    async def run(self, steps: list[Any], body: Any = None, *, attempts: int = 1) -> RunEnd:
        """Walk a run through the steps, with what is durable by now, and make its end durable."""
        workflow = compile_workflow({"vars": self.vars, "steps": steps}, 1, self.functions)
        run = replace(leased(body, attempts=attempts), journal=tuple(self.journal))
        end = await walk(run, workflow, self.ports())
        if end.entry is not None:
            self.journal.append(end.entry)
        return end

    async def _checkpoint(self, run: LeasedRun, entry: JournalEntry) -> bool:
        await asyncio.sleep(0)
        if self.lose_after is not None and len(self.journal) >= self.lose_after:
            return False
        self.journal.append(entry)
        return True

    def _answered(self, run: LeasedRun, result: Result) -> None:
        self.answers.append(result)

    def record(self, step_id: str) -> Any:
        """The last record of the step."""
        return [record for entry in self.journal for record in entry.steps if record.id == step_id][-1]


def write(folder: Path, name: str, source: str) -> Path:
    """A module in the workflows folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
    return path
