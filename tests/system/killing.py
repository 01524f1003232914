"""Kill the program under load, again and again, and audit what is left."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from crossdock.model.run import MAX_LOSSES
from tests.support.program import Program
from tests.support.sink import Sink
from tests.system.calling import STEPS, Callers, add_integrations
from tests.system.ledger import Audit, Effect, Findings, Promises, Record, read_effects, read_record

FUNCTIONS = Path(__file__).parent / "functions"
END_SECONDS = 120.0
POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Plan:
    """How often to kill, and how long the program may live between two kills: now and then hardly at all."""

    kills: int
    shortest_seconds: float = 0.6
    longest_seconds: float = 2.0
    hasty: float = 0.15
    """Share of kills that come right after the start, while recovery may be under way."""
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Report:
    kills: int
    accepted: int
    answered: int
    unclear: int
    runs: int
    effects: int
    repeated_in_flight: int
    """Effects that happened again because the kill came before their record: what at-least-once means."""
    replies: int
    given_up: int
    findings: Findings

    def problems(self) -> dict[str, list[str]]:
        return self.findings.problems()


OnKill: TypeAlias = Callable[[int, Promises], bool]
"""Hears of every kill; False ends the plan early."""


def prepare(folder: Path, database: str | None) -> Program:
    """A program whose workflow functions write the effect ledger `folder/effects`."""
    settings = {"allowed_targets": "127.0.0.1", "lease_ttl": "PT4S", "heartbeat": "PT1S"}
    program = Program(folder, database=database, settings=settings, arguments=["--workflows", str(FUNCTIONS)])
    program.environment["EFFECT_LEDGER"] = str(folder / "effects")
    return program


def url_of(program: Program, database: str | None) -> str:
    return database or f"sqlite:///{program.database_path}"


async def kill_repeatedly(
    folder: Path, plan: Plan, *, database: str | None = None, on_kill: OnKill | None = None
) -> Report:
    """Carry out the plan; `on_kill` hears of every kill. The report's findings are empty when nothing went wrong."""
    sink = Sink()
    await sink.start()
    program = prepare(folder, database)
    promises = Promises()
    audit = Audit(promises, folder / "effects", sink.requests)
    ended = asyncio.Event()
    try:
        await asyncio.to_thread(program.start)
        await asyncio.to_thread(add_integrations, program, f"{sink.url}/reply")
        calling = asyncio.create_task(Callers(program, promises).call_until(ended))

        async def compare() -> None:
            accepted, answered = set(promises.accepted), set(promises.answered)
            audit.after_kill(accepted, answered, await asyncio.to_thread(read_record, url_of(program, database)))

        kills = await kill_and_restart(
            program, plan, compare, lambda number: on_kill is None or on_kill(number, promises)
        )
        ended.set()
        await calling
        record = await wait_until_finished(url_of(program, database))
        await asyncio.to_thread(program.stop)
    finally:
        ended.set()
        program.kill()
        await sink.stop()
    audit.at_end(record, STEPS)
    return _report(kills, promises, record, read_effects(folder / "effects"), audit)


async def kill_and_restart(
    program: Program, plan: Plan, compare: Callable[[], Awaitable[None]], goes_on: Callable[[int], bool]
) -> int:
    """Carry out the kills of a plan, as long as it goes on; how many there were. `compare` finds the program dead."""
    chance = random.Random(plan.seed)
    for number in range(1, plan.kills + 1):
        hasty = chance.random() < plan.hasty and number > 1
        await asyncio.sleep(
            chance.uniform(0, 0.2 if hasty else plan.longest_seconds) + (not hasty) * plan.shortest_seconds
        )
        program.kill()
        await compare()
        await asyncio.to_thread(program.start)
        if not goes_on(number):
            return number
    return plan.kills


async def wait_until_finished(url: str) -> Record:
    """The record once no run and no delivery waits, or as it is when the limit is reached."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + END_SECONDS
    while True:
        record = await asyncio.to_thread(read_record, url)
        if (not record.unfinished() and not record.open_deliveries()) or loop.time() > deadline:
            return record
        await asyncio.sleep(POLL_SECONDS)


def _report(kills: int, promises: Promises, record: Record, effects: list[Effect], audit: Audit) -> Report:
    times = Counter((effect.event, effect.step) for effect in effects)
    return Report(
        kills=kills,
        accepted=len(promises.accepted),
        answered=len(promises.answered),
        unclear=promises.unclear,
        runs=len(record.runs),
        effects=len(effects),
        repeated_in_flight=sum(count - 1 for count in times.values()),
        replies=len(record.deliveries),
        given_up=sum(1 for run in record.runs.values() if run.losses >= MAX_LOSSES),
        findings=audit.findings,
    )
