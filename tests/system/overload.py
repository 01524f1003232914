"""More calls than can be worked off, for a while: what is refused, what is taken, and whether all of it gets done.

First the capacity is measured: how many calls a second 64 callers get answered who wait for the result. Then three
times as many are made, at fixed moments, whether or not earlier ones have been answered. A fifth of them goes to an
integration with a rate limit of a tenth of the capacity.

Two things may bound the capacity. `work`: runs take their time in a function, few at once, and the door has power to
spare; what is too much is refused when `queue_limit` runs wait. `machine`: runs cost nothing but processor time, and
the door needs as much of it; then callers wait for their answers, too, and the connections bound what comes in.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from bench.load import Answers, Calls, make_calls
from bench.measure import HEADERS
from bench.record import Recorded, read_record
from bench.scenarios import KEY, WORKFLOW, order
from tests.support.program import Program
from tests.system.killing import prepare, url_of

Bound: TypeAlias = Literal["work", "machine"]

ALLOWED = frozenset({"200", "202", "429", "503"})
LEAST_SHARE = 0.8
"""Of the capacity: so much has to be worked off, and accepted, while three times as much is asked for."""
MEMORY_MB = 256.0
"""How much more memory than before may be needed for a moment: what waits lies in the database."""
DRAIN_SECONDS = 120.0
CAPACITY, OVERLOADED, LIMITED = "capacity", "overloaded", "limited"


@dataclass(frozen=True, slots=True)
class OverloadPlan:
    seconds: float = 20.0
    capacity_seconds: float = 5.0
    times: float = 3.0
    connections: int = 512
    queue_seconds: float = 4.0
    """`queue_limit` is the work of so many seconds."""
    bound: Bound = "work"


@dataclass(slots=True)
class OverloadReport:
    """Rates are per second, memory is in MB."""

    bound: Bound = "work"
    capacity: float = 0.0
    queue_limit: int = 0
    offered: float = 0.0
    accepted: float = 0.0
    worked_off: float = 0.0
    acknowledged: int = 0
    lost: int = 0
    unfinished: int = 0
    drain_seconds: float = 0.0
    answer_p50_ms: float = 0.0
    answer_p99_ms: float = 0.0
    answers: dict[str, int] = field(default_factory=dict)
    broken: int = 0
    unsent: int = 0
    without_advice: int = 0
    memory_before: float = 0.0
    memory_highest: float = 0.0

    def document(self) -> dict[str, Any]:
        return {"fault": "overload", **{name: getattr(self, name) for name in self.__slots__}}

    def problems(self) -> dict[str, list[str]]:
        """Everything but the rates, which another load on the machine may spoil: `shortfalls` judges those."""
        strange = sorted(self.answers.keys() - ALLOWED)
        wrong = {
            "lost": [f"{self.lost} of {self.acknowledged}"] if self.lost else [],
            "unfinished": [f"{self.unfinished} after {DRAIN_SECONDS:g} s"] if self.unfinished else [],
            "unexpected": [f"{self.answers[status]} calls were answered {status}" for status in strange],
            "broken": [f"{self.broken} calls got no answer"] if self.broken else [],
            "without_advice": [f"{self.without_advice} refusals without Retry-After"] if self.without_advice else [],
            "unmeasured": [] if self.capacity else ["no call was answered while the capacity was measured"],
            "no_overload": ["there was room for all calls"] if self._had_room() else [],
            "memory": self._memory(),
        }
        return {name: found for name, found in wrong.items() if found}

    def shortfalls(self) -> dict[str, list[str]]:
        """Rates that are lower than they should be. Where the machine is the bound, accepting takes from working."""
        least = self.capacity * LEAST_SHARE
        rates = {"accepted": self.accepted, **({"worked_off": self.worked_off} if self.bound == "work" else {})}
        return {
            f"{name}_collapsed": [f"{rate:.0f}/s of {self.capacity:.0f}/s"]
            for name, rate in rates.items()
            if rate < least
        }

    def _had_room(self) -> bool:
        return self.capacity > 0 and not self.answers.get("503") and not self.unsent

    def _memory(self) -> list[str]:
        more = self.memory_highest - self.memory_before
        return [f"{more:.0f} MB more than before"] if more > MEMORY_MB else []


async def overload(folder: Path, plan: OverloadPlan, *, database: str | None = None) -> OverloadReport:
    """Carry out the plan on SQLite, or on a PostgreSQL database."""
    program = prepare(folder, database)
    program.environment["PLACE"] = "here"
    report = OverloadReport(bound=plan.bound)
    try:
        await asyncio.to_thread(program.start)
        report.capacity = await asyncio.to_thread(_measure_capacity, program, plan)
        if report.capacity == 0:
            return report  # there is nothing to take three times of: `problems` says so
        report.queue_limit = max(1, round(report.capacity * plan.queue_seconds))
        await asyncio.to_thread(program.stop)
        program.environment["CROSSDOCK_QUEUE_LIMIT"] = str(report.queue_limit)
        await asyncio.to_thread(program.start)
        made = await asyncio.to_thread(_add_integrations, program, plan, report.capacity)
        report.memory_before = round(program.memory()[0], 1)
        answers = await asyncio.to_thread(make_calls, _overloading(program, plan, report.capacity))
        url = url_of(program, database)
        recorded = [await asyncio.to_thread(read_record, url, each, wait_seconds=DRAIN_SECONDS) for each in made]
        report.memory_highest = round(program.memory()[1], 1)
        await asyncio.to_thread(program.stop)
    finally:
        program.kill()
    _fill_in(report, plan, answers, recorded)
    return report


def _measure_capacity(program: Program, plan: OverloadPlan) -> float:
    """Answered calls a second; what the first second takes, in which workers start, does not count."""
    program.add_integration(_document(CAPACITY, plan.bound, response_mode="sync"), KEY)
    for seconds in (1.0, plan.capacity_seconds):
        answers = make_calls(Calls(program.port, f"/hooks/default/{CAPACITY}", HEADERS, [order(0)], 64, seconds))
    return answers.per_second


def _add_integrations(program: Program, plan: OverloadPlan, capacity: float) -> list[str]:
    limit = {"requests": max(1, round(capacity / 10)), "per": "PT1S"}
    return [
        program.add_integration(_document(OVERLOADED, plan.bound, response_mode="async"), KEY),
        program.add_integration(_document(LIMITED, plan.bound, response_mode="async", rate_limit=limit), KEY),
    ]


def _document(name: str, bound: Bound, **trigger: Any) -> dict[str, Any]:
    given = {"methods": ["POST"], "authentication": {"mode": "api_keys"}, "concurrency": 2, **trigger}
    arguments = {"event": "{{ event.id }}", "lane": "", "number": 0, "step": "worked"}
    working = {"id": "worked", "python": {"function": "witnessed:witness", "arguments": arguments}}
    workflow = WORKFLOW if bound == "machine" else {"steps": [working]}
    return {"name": name, "type": "webhook-trigger", "path": name, "trigger": given, "workflow": workflow}


def _overloading(program: Program, plan: OverloadPlan, capacity: float) -> Calls:
    paths = [f"/hooks/default/{OVERLOADED}"] * 4 + [f"/hooks/default/{LIMITED}"]
    return Calls(
        port=program.port,
        path=paths[0],
        headers=HEADERS,
        bodies=[order(0)],
        connections=plan.connections,
        seconds=plan.seconds,
        rate=capacity * plan.times,
        more_paths=tuple(paths[1:]),
    )


def _fill_in(report: OverloadReport, plan: OverloadPlan, answers: Answers, recorded: list[Recorded]) -> None:
    longest = max(each.seconds for each in recorded)
    report.offered = round(report.capacity * plan.times, 1)
    report.accepted = round(answers.good / answers.seconds, 1)
    report.worked_off = round(sum(each.succeeded for each in recorded) / longest, 1)
    report.acknowledged = answers.good
    report.unfinished = sum(each.unfinished for each in recorded)
    report.lost = max(0, answers.good - sum(min(each.events, each.runs) for each in recorded))
    report.drain_seconds = round(max(0.0, longest - answers.seconds), 2)
    report.answer_p50_ms, report.answer_p99_ms = round(answers.p50_ms, 1), round(answers.p99_ms, 1)
    report.answers = answers.statuses
    report.broken, report.unsent, report.without_advice = answers.broken, answers.unsent, answers.without_advice
    report.capacity = round(report.capacity, 1)
