"""A round: a fresh cluster under load, faults of one kind one after the other, and an audit of all that happened.

Long measurements are many short rounds, so that memory and the audit stay small, and that what was measured is kept
when a measurement is broken off.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol, TypeAlias

from tests.support.moments import WallClock, look_at_clocks, moment
from tests.support.postgres import ForeignServer
from tests.support.program import LAUNCHER
from tests.system.cluster import SHORT_LEASE, Cluster, Route, a_cluster, direct
from tests.system.cluster_calling import ClusterCallers, ClusterPromises, Load, add_integrations
from tests.system.cluster_ledger import (
    Accounts,
    ClusterFindings,
    Freeze,
    audit,
    calls_of,
    late_deeds,
    read_deeds,
    replies_of,
    times_repeated,
)
from tests.system.history import ALWAYS, read_history
from tests.system.killing import wait_until_finished

WARM_SECONDS = 1.0
STOP_LIMIT = 40.0

Measured: TypeAlias = dict[str, list[float]]
"""Figures by name: durations in seconds, or shares."""


@dataclass(slots=True)
class Field:
    """What a fault may hurt, and where it notes what it did."""

    cluster: Cluster
    promises: ClusterPromises
    chance: random.Random
    measured: Measured = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    freezes: list[Freeze] = field(default_factory=list)
    not_recovered: list[str] = field(default_factory=list)
    expected_ends: int = 0
    """Lives of nodes that a fault has ended, on purpose."""

    def measure(self, name: str, value: float) -> None:
        self.measured.setdefault(name, []).append(value)


class Fault(Protocol):
    """One kind of fault. `strike` does it once and waits until the cluster has come back."""

    name: ClassVar[str]
    settings: ClassVar[Mapping[str, str]]
    """What nodes are started with, so that the fault meets what it is meant to meet."""

    async def strike(self, field: Field, number: int) -> None: ...

    def measure_later(self, field: Field, accounts: Accounts) -> None:
        """Take figures that only the whole history shows."""


@dataclass(frozen=True, slots=True)
class RoundPlan:
    faults: int
    seed: int = 1
    nodes: int = 3
    settings: Mapping[str, str] = field(default_factory=lambda: dict(SHORT_LEASE))
    calm_seconds: float = 0.0
    """Undisturbed load before the first fault."""
    load: Load = field(default_factory=Load)
    route: Route = direct
    launcher: Sequence[str] = LAUNCHER
    prepare: Callable[[Cluster], None] = lambda _cluster: None
    """Is shown the cluster before its nodes start."""


@dataclass(frozen=True, slots=True)
class RoundReport:
    faults: int
    acknowledged: int
    refused: int
    """Calls that were told to come again later."""
    unclear: int
    runs: int
    effects: int
    repeated_in_flight: int
    """Effects that happened again because the fault came before their record: what at-least-once means."""
    late_under_way: int
    """Messages that a frozen node was in the middle of sending, and that left it when it went on."""
    fenced: int
    """Nodes that were taken for dead although their process went on: they go on as another node."""
    counts: Mapping[str, int]
    measured: Measured
    findings: ClusterFindings

    def problems(self) -> dict[str, list[str]]:
        return self.findings.problems()


OnFault: TypeAlias = Callable[[int, ClusterPromises], bool]
"""Hears of every fault that is over; False ends the round early."""


def go_on(_number: int, _promises: ClusterPromises) -> bool:
    return True


async def play_round(
    folder: Path, server: ForeignServer, fault: Fault, plan: RoundPlan, on_fault: OnFault = go_on
) -> RoundReport:
    """Carry out the plan. The report's findings are empty when nothing went wrong."""
    settings = {**plan.settings, **fault.settings}
    async with a_cluster(
        folder, server, nodes=plan.nodes, settings=settings, route=plan.route, launcher=plan.launcher
    ) as cluster:
        plan.prepare(cluster)
        await cluster.start()
        await asyncio.to_thread(add_integrations, cluster)
        promises = ClusterPromises(stamp=moment)
        there = Field(cluster, promises, random.Random(plan.seed))
        ended = asyncio.Event()
        calling = asyncio.create_task(ClusterCallers(cluster.places, promises, plan.load).call_until(ended))
        try:
            await asyncio.sleep(WARM_SECONDS + plan.calm_seconds)
            faults = await _strike(fault, there, plan, on_fault)
        finally:
            ended.set()
            await calling
        record = await wait_until_finished(cluster.url)
        ends = [place.name for place in cluster.places if place.has_ended()]
        wall = WallClock(cluster.clocks[0], look_at_clocks())
        history = await asyncio.to_thread(read_history, cluster.url, wall)
        await cluster.stop()
        accounts = Accounts(
            promises=promises,
            effects=read_deeds(cluster.effects_path),
            calls=calls_of(cluster.sink.requests),
            replies=replies_of(cluster.sink.requests),
            record=record,
            history=history,
            freezes=there.freezes,
        )
    findings = await asyncio.to_thread(audit, accounts)
    findings.ended, findings.not_recovered = ends, there.not_recovered
    for place in cluster.places:
        findings.stumbled += look_through_log(place.name, place.program.log, there.counts)
    measure_lag(there, accounts)
    fault.measure_later(there, accounts)
    return _report(faults, there, accounts, findings)


async def _strike(fault: Fault, there: Field, plan: RoundPlan, on_fault: OnFault) -> int:
    for number in range(1, plan.faults + 1):
        try:
            await fault.strike(there, number)
        except TimeoutError as error:
            there.not_recovered.append(f"{fault.name} {number}: {error}")
            return number
        if not on_fault(number, there.promises):
            return number
    return plan.faults


def _report(faults: int, there: Field, accounts: Accounts, findings: ClusterFindings) -> RoundReport:
    promises = accounts.promises
    deeds = [*accounts.effects, *accounts.calls, *accounts.replies]
    removed = [epoch for epoch in accounts.history.epochs.values() if epoch.end < ALWAYS]
    return RoundReport(
        faults=faults,
        acknowledged=len({**promises.accepted, **promises.answered}),
        refused=sum(1 for heard in promises.heard if heard.status == 503),
        unclear=promises.unclear,
        runs=len(accounts.record.runs),
        effects=len(deeds),
        repeated_in_flight=times_repeated(deeds),
        late_under_way=len(late_deeds(accounts)) - len(findings.late),
        fenced=len(removed) - there.expected_ends,
        counts=dict(there.counts),
        measured=there.measured,
        findings=findings,
    )


EXPECTED_ERRORS = ("store.lost", "node.fenced", "node.heartbeat_failed")
"""What a node says loudly when its database is away, or when it was taken for dead: no fault of its own."""


def look_through_log(place: str, log: str, counts: Counter[str]) -> list[str]:
    """Errors that no fault explains; what else was out of the ordinary is counted."""
    stumbled = []
    for line in log.splitlines():
        entry = json.loads(line) if line.startswith("{") else {}
        level, message = entry.get("level"), entry.get("message")
        if level in ("warning", "error", "critical"):
            counts[f"log {message}"] += 1
        if level in ("error", "critical") and message not in EXPECTED_ERRORS:
            raised = [line for line in entry.get("exception", "").splitlines() if re.match(r"[\w.]+: ", line)]
            stumbled.append(" ".join(filter(None, (f"{place}: {message}", entry.get("turn"), *raised[-1:]))))
        elif "Traceback" in line and not entry:
            stumbled.append(f"{place}: a traceback beside the log")
    return stumbled


def measure_lag(there: Field, accounts: Accounts) -> None:
    """How long events were on their way, from their record to their end: what a fault costs them."""
    history = accounts.history
    accepted = {change.key: change.at for change in history.changes if change.table == "run" and change.is_new}
    lags = sorted((history.finished[key] - at) / 1e6 for key, at in accepted.items() if key in history.finished)
    if lags:
        there.measure("lag of events, p50", lags[len(lags) // 2])
        there.measure("lag of events, max", lags[-1])
