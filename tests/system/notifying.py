"""Kill the program while integrations fail and recover, and audit what their webhooks were told."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.outbound.system import running
from tests.support.program import Program
from tests.support.sink import Sink
from tests.system.fault_mode import OnFault, go_on
from tests.system.killing import END_SECONDS, POLL_SECONDS, Plan, kill_and_restart, prepare, url_of
from tests.system.ledger import Promises
from tests.system.notifying_calling import COUNTED, FAILURE, RULES, FlappingCallers, add_integrations
from tests.system.notifying_ledger import (
    MICRO,
    Message,
    NotifyingAudit,
    NotifyingFindings,
    Setting,
    Webhook,
    asked_for,
)
from tests.system.notifying_record import NotifyingRecord, read_notifying_record
from tests.system.notifying_targets import Targets, add_webhooks

FOUND = ("lost", "untold", "twice", "unasked", "out_of_order", "repeated")
"""Findings whose number is shown even when it is 0: that is what the measurement is about."""


@dataclass(frozen=True, slots=True)
class NotifyingPlan:
    """How often to kill; `damping` in seconds; the share of messages that webhooks refuse at first."""

    kills: Plan
    damping: float = 0.0
    refused_share: float = 0.0
    with_digest: bool = False


@dataclass(slots=True)
class NotifyingReport:
    """Times in seconds, from the end of the run that changed the state to the arrival at the webhook."""

    kills: int = 0
    acknowledged: int = 0
    unclear: int = 0
    runs: int = 0
    failed_runs: int = 0
    changes: int = 0
    asked_for: int = 0
    """Changes that webhooks ask for, each counted for each webhook, before damping and digests."""
    told: int = 0
    """Of these, those that a delivery told."""
    notifications: int = 0
    refused_at_first: int = 0
    repeated_in_flight: int = 0
    """Messages that came again because the kill came before their record: what at-least-once means."""
    tokens: int = 0
    arrival: dict[str, float] = field(default_factory=dict)
    findings: NotifyingFindings = field(default_factory=NotifyingFindings)

    def document(self) -> dict[str, Any]:
        return {**asdict(self), **{name: len(getattr(self.findings, name)) for name in FOUND}}

    def problems(self) -> dict[str, list[str]]:
        return self.findings.problems()


@asynccontextmanager
async def open_targets(refused_share: float = 0.0, seed: int = 1) -> AsyncIterator[Targets]:
    """Receivers and their authorization server, as long as the context lasts."""
    sink = Sink()
    await sink.start()
    try:
        async with running() as tokens:
            targets = Targets(sink, tokens, refused_share, seed)
            targets.begin()
            yield targets
    finally:
        await sink.stop()


async def kill_while_notifying(
    folder: Path, plan: NotifyingPlan, *, database: str | None = None, on_kill: OnFault = go_on
) -> NotifyingReport:
    """Carry out the plan on one process. The report's findings are empty when nothing went wrong."""
    program = prepare(folder, database)
    program.environment["CROSSDOCK_NOTIFICATION_DAMPING"] = f"PT{plan.damping:g}S"
    url, promises, ended = url_of(program, database), Promises(), asyncio.Event()
    async with open_targets(plan.refused_share, plan.kills.seed) as targets:
        try:
            await asyncio.to_thread(program.start)
            setting = await asyncio.to_thread(set_up, program, targets, plan)
            audit = NotifyingAudit(setting, targets.messages)
            callers = FlappingCallers(program, promises, chance=random.Random(plan.kills.seed))
            calling = asyncio.create_task(callers.call_until(ended))

            async def compare() -> None:
                accepted, messages = set(promises.accepted), len(targets.messages)
                record = await asyncio.to_thread(read_notifying_record, url)
                audit.after_kill(accepted, messages, record)
                targets.authorization.revoke_all()

            def goes_on(number: int) -> bool:
                return on_kill(number, promises)

            kills = await kill_and_restart(program, plan.kills, compare, goes_on)
            ended.set()
            await calling
            record = await wait_until_told(url)
            await asyncio.to_thread(program.stop)
        finally:
            ended.set()
            program.kill()
        return conclude(kills, [promises], record, audit, setting, targets)


def set_up(program: Program, targets: Targets, plan: NotifyingPlan) -> Setting:
    """Integrations and webhooks, and what the audit knows of them."""
    integrations = add_integrations(program)
    webhooks = add_webhooks(program, targets, integrations, with_digest=plan.with_digest)
    return Setting(
        webhooks,
        types=dict.fromkeys(integrations.values(), "webhook-trigger"),
        rules={integrations[name]: rules for name, rules in RULES.items()},
        counted={integrations[COUNTED]: FAILURE},
        damping=plan.damping,
    )


async def wait_until_told(url: str, within: float = END_SECONDS) -> NotifyingRecord:
    """The record once nothing waits to be judged or told, or as it is when the limit is reached."""
    deadline = time.monotonic() + within
    while True:
        record = await asyncio.to_thread(read_notifying_record, url)
        if record.is_quiet or time.monotonic() > deadline:
            return record
        await asyncio.sleep(POLL_SECONDS)


def conclude(
    kills: int,
    promises: Sequence[Promises],
    record: NotifyingRecord,
    audit: NotifyingAudit,
    setting: Setting,
    targets: Targets,
) -> NotifyingReport:
    accepted = [event for told in promises for event in told.accepted]
    audit.at_end(accepted, record)
    audit.findings.unexpected += [what for told in promises for what in told.unexpected]
    messages = targets.messages
    times = Counter(message.id for message in messages if message.is_taken)
    return NotifyingReport(
        kills=kills,
        acknowledged=len(accepted),
        unclear=sum(told.unclear for told in promises),
        runs=len(record.runs),
        failed_runs=sum(1 for run in record.runs.values() if run.state == "failed"),
        changes=len(record.changes),
        asked_for=sum(times_asked_for(webhook, setting, record) for webhook in setting.webhooks),
        told=sum(len(told.changes) for told in record.told),
        notifications=len(record.told),
        refused_at_first=sum(1 for message in messages if not message.is_taken),
        repeated_in_flight=sum(count - 1 for count in times.values()),
        tokens=len(targets.authorization.granted),
        arrival=summary(seconds_until_arrival(setting, record, messages)),
        findings=audit.findings,
    )


def times_asked_for(webhook: Webhook, setting: Setting, record: NotifyingRecord) -> int:
    about = [change for change in record.changes if webhook.is_about(change, setting.types)]
    by_integration = {one.integration: [c for c in about if c.integration == one.integration] for one in about}
    return sum(len(list(asked_for(webhook, changes))) for changes in by_integration.values())


def seconds_until_arrival(setting: Setting, record: NotifyingRecord, messages: Sequence[Message]) -> list[float]:
    """For each notification that is no digest, from the change to the first time that its webhook took it."""
    at = {change.id: change.at for change in record.changes}
    digests = {webhook.name for webhook in setting.webhooks if webhook.is_digest}
    changed = {told.id: at[told.changes[-1]] for told in record.told if told.webhook not in digests}
    arrived: dict[str, int] = {}
    for message in messages:
        if message.is_taken:
            arrived.setdefault(message.id, message.at)
    return [(moment - changed[key]) / MICRO for key, moment in arrived.items() if key in changed]


def summary(seconds: Sequence[float]) -> dict[str, float]:
    if len(seconds) < 2:
        return {}
    parts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"p50": round(parts[49], 3), "p99": round(parts[98], 3), "max": round(max(seconds), 3)}
