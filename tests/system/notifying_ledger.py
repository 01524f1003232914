"""Three accounts of what became of health: what callers were promised, what arrived at webhooks, what is recorded.

The audit knows the promises of notification webhooks in its own words: it asks none of the program's rules.

- Callers: the ids of events that were acknowledged.
- Messages: what arrived at the webhooks, with the moment and the id of each.
- Record: runs, changes of health, and what was to be told of them, read while the program is dead and at the end.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

from tests.system.notifying_record import Change, NotifyingRecord, Told

TROUBLE = ("warning", "error")
BATCH_SECONDS = 1.0
"""So much later than the end of the run that caused it, a change may be dated: runs that end together share a date."""
EARLY_SECONDS = 0.05
MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Message:
    """What arrived at a webhook. `is_taken` when it was answered with success, `wrong` what is not as it should be."""

    id: str
    webhook: str
    at: int
    body: Any
    is_taken: bool = True
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Webhook:
    """What a webhook asks for. Empty `integrations` and `types` mean all; `show` reads its bodies."""

    name: str
    statuses: tuple[str, ...] = TROUBLE
    integrations: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    notify_recovery: bool = False
    is_active: bool = True
    is_digest: bool = False
    show: Callable[[Any], Any] | None = None
    expect: Callable[[Sequence[Change]], Any] | None = None
    """What `show` gives for a message about these changes."""

    def is_about(self, change: Change, type_of: Mapping[str, str]) -> bool:
        if not self.is_active or (self.integrations and change.integration not in self.integrations):
            return False
        return not self.types or type_of[change.integration] in self.types

    def asks_for(self, change: Change, known: str | None) -> bool:
        """Whether the change is to be told to a webhook that was told the state `known` last."""
        if change.status in self.statuses:
            return True
        if change.status != "active" or not self.notify_recovery:
            return False
        before = change.previous if known is None else known
        return before in TROUBLE and (known is not None or before in self.statuses)


@dataclass(slots=True)
class NotifyingFindings:
    """What does not agree; every list has to stay empty."""

    lost: list[str] = field(default_factory=list)
    """Acknowledged, but not recorded."""
    unfinished: list[str] = field(default_factory=list)
    miscounted: list[str] = field(default_factory=list)
    """Failures that were counted twice or not at all."""
    broken_chain: list[str] = field(default_factory=list)
    """A change that does not begin with the state that the one before it ended with."""
    unfounded: list[str] = field(default_factory=list)
    """A change or a final state that no run explains."""
    altered: list[str] = field(default_factory=list)
    """A change that was recorded at a kill, and is not any more, or not so."""
    untold: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    """A change that was told under two ids."""
    unasked: list[str] = field(default_factory=list)
    undamped: list[str] = field(default_factory=list)
    """The same state, told sooner again than the damping allows."""
    out_of_order: list[str] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)
    """A message that does not say what the change says, or lacks what its webhook wants."""
    repeated: list[str] = field(default_factory=list)
    """Sent again although it was recorded as delivered."""
    unexpected: list[str] = field(default_factory=list)

    def problems(self) -> dict[str, list[str]]:
        named = {name: getattr(self, name) for name in self.__slots__}
        return {name: found[:5] for name, found in named.items() if found}


@dataclass(frozen=True, slots=True)
class Rules:
    """The health rules of an integration whose runs end one after the other: its state follows from their order."""

    window: int
    warning: int
    error: int


@dataclass(slots=True)
class Setting:
    """What was set up. `rules` are those of ordered integrations; `counted` fails again and again with one error."""

    webhooks: tuple[Webhook, ...]
    types: Mapping[str, str]
    rules: Mapping[str, Rules] = field(default_factory=dict)
    counted: Mapping[str, str] = field(default_factory=dict)
    """By integration, the error kind whose failures its one issue counts from the first on."""
    damping: float = 0.0


class NotifyingAudit:
    """Compares the accounts at every kill and at the end. `messages` grows meanwhile."""

    def __init__(self, setting: Setting, messages: Sequence[Message]) -> None:
        self.findings = NotifyingFindings()
        self._setting = setting
        self._messages = messages
        self._kept: dict[str, Change] = {}
        self._delivered: list[tuple[int, frozenset[str]]] = []

    def after_kill(self, accepted: Iterable[str], messages: int, record: NotifyingRecord) -> None:
        """`accepted` are the ids that callers had been told, `messages` how many had arrived when it was read."""
        self._look_for_losses(accepted, record)
        self._delivered.append((messages, frozenset(t.id for t in record.told if t.state == "delivered")))

    def at_end(self, accepted: Iterable[str], record: NotifyingRecord) -> None:
        self._look_for_losses(accepted, record)
        found, messages = self.findings, list(self._messages)
        found.unfinished += [event for event, run in record.runs.items() if run.finished_at is None]
        found.unfinished += [f"{told.id} {told.state}" for told in record.told if told.state in ("queued", "sending")]
        found.unfinished += [f"held for {webhook} about {about}" for webhook, about in record.held]
        found.unfinished += [f"{record.outcomes} outcomes"] if record.outcomes else []
        for integration, changes in _by_integration(record.changes):
            found.broken_chain += broken_chain(integration, changes)
        for integration, rules in self._setting.rules.items():
            found.unfounded += unfounded(integration, rules, record)
        for integration, kind in self._setting.counted.items():
            found.miscounted += miscounted(integration, kind, record)
        for webhook in self._setting.webhooks:
            self._look_at_webhook(webhook, record, [m for m in messages if m.webhook == webhook.name])
        for before, delivered in self._delivered:
            found.repeated += [message.id for message in messages[before:] if message.id in delivered]

    def _look_for_losses(self, accepted: Iterable[str], record: NotifyingRecord) -> None:
        self.findings.lost += [event for event in accepted if event not in record.runs]
        present = {change.id: change for change in record.changes}
        self.findings.altered += [name for name, known in self._kept.items() if present.get(name) != known]
        self._kept = {**self._kept, **present}

    def _look_at_webhook(self, webhook: Webhook, record: NotifyingRecord, messages: list[Message]) -> None:
        found = self.findings
        mine = [told for told in record.told if told.webhook == webhook.name]
        known = {told.id: told for told in mine}
        found.unasked += [f"{webhook.name}: message {m.id} without a record" for m in messages if m.id not in known]
        times = Counter(change for told in mine for change in told.changes)
        found.twice += [f"{webhook.name}: {change}" for change, count in times.items() if count > 1]
        taken = {message.id for message in messages if message.is_taken}
        found.untold += [f"{webhook.name}: {told.id} {told.state}" for told in mine if told.id not in taken]
        by_id = {change.id: change for change in record.changes}
        found.unasked += [f"{webhook.name}: {c}" for t in mine for c in t.changes if c not in by_id]
        for integration, changes in _by_integration(record.changes):
            asked = Asked(webhook, self._setting, integration, changes, mine)
            asked.look(found)
            found.out_of_order += out_of_order(webhook, changes, known, messages)
        found.unfit += [f"{webhook.name}: {m.id} {m.wrong}" for m in messages if m.wrong]
        found.unfit += unfit(webhook, by_id, known, messages)


@dataclass(slots=True)
class Asked:
    """What of an integration's changes a webhook asks for, beside what was told it."""

    webhook: Webhook
    setting: Setting
    integration: str
    changes: list[Change]
    told: list[Told]

    def look(self, found: NotifyingFindings) -> None:
        told = {change for one in self.told for change in one.changes}
        mine = [change for change in self.changes if change.id in told]
        name = f"{self.webhook.name}: {self.integration}"
        if not self.changes or not self.webhook.is_about(self.changes[0], self.setting.types):
            found.unasked += [f"{name} {change.id}" for change in mine]
        elif self.setting.damping and not self.webhook.is_digest:
            found.unasked += [f"{name} {change.id} {change.status}" for change in mine if not self._may_be_told(change)]
            found.untold += self._missing_end(name, mine)
            found.undamped += self._undamped(name)
        else:
            asked = {change.id: change for change in asked_for(self.webhook, self.changes)}
            found.unasked += [f"{name} {change.id} {change.status}" for change in mine if change.id not in asked]
            found.untold += [f"{name} {one} {change.status}" for one, change in asked.items() if one not in told]

    def _may_be_told(self, change: Change) -> bool:
        is_recovery = change.status == "active" and self.webhook.notify_recovery
        return change.status in self.webhook.statuses or is_recovery

    def _missing_end(self, name: str, mine: list[Change]) -> list[str]:
        """With damping the last state that is asked for has to be the last that was told."""
        last, known = self.changes[-1], mine[-1].status if mine else None
        if self.webhook.asks_for(last, known) and known != last.status:
            return [f"{name} ended as {last.status}, and {known} was told last"]
        return []

    def _undamped(self, name: str) -> list[str]:
        by_id = {change.id: change for change in self.changes}
        wrong, times = [], defaultdict[str, int](int)
        for one in sorted(self.told, key=lambda told: told.made_at):
            for change in (by_id[c] for c in one.changes if c in by_id):
                pause = (one.made_at - times[change.status]) / MICRO
                if times[change.status] and pause < self.setting.damping - EARLY_SECONDS:
                    wrong.append(f"{name} {change.status} again after {pause:.2f} s")
                times[change.status] = one.made_at
        return wrong


def asked_for(webhook: Webhook, changes: Sequence[Change]) -> Iterator[Change]:
    """The changes of one integration that the webhook is to be told of, without damping."""
    known: str | None = None
    for change in changes:
        if webhook.asks_for(change, known):
            known = change.status
            yield change


def broken_chain(integration: str, changes: Sequence[Change]) -> list[str]:
    """Changes that do not go on from the one before; the first one of all begins with `initializing`."""
    wrong = [] if changes[0].previous == "initializing" else [f"{integration} begins with {changes[0].previous}"]
    for before, after in pairwise(changes):
        if after.previous != before.status or after.status == after.previous:
            wrong.append(f"{integration} {before.status}, then {after.previous} to {after.status}")
    return wrong


def out_of_order(
    webhook: Webhook, changes: Sequence[Change], known: Mapping[str, Told], messages: Sequence[Message]
) -> list[str]:
    """Changes of one integration whose message was first taken after that of a later one."""
    place = {change.id: number for number, change in enumerate(changes)}
    wrong, latest, seen = [], -1, set()
    for message in messages:
        told = known.get(message.id)
        places = [place[change] for change in (told.changes if told else ()) if change in place]
        if not message.is_taken or message.id in seen or not places:
            continue
        seen.add(message.id)
        if min(places) < latest or places != sorted(places):
            wrong.append(f"{webhook.name}: {message.id} tells change {min(places)} after {latest}")
        latest = max(latest, *places)
    return wrong


def unfit(
    webhook: Webhook, by_id: Mapping[str, Change], known: Mapping[str, Told], messages: Sequence[Message]
) -> list[str]:
    """Messages that do not say what the changes say."""
    if webhook.show is None or webhook.expect is None:
        return []
    wrong = []
    for message in messages:
        told = known.get(message.id)
        changes = [by_id[change] for change in (told.changes if told else ()) if change in by_id]
        shown = webhook.show(message.body)
        if changes and shown != webhook.expect(changes):
            wrong.append(f"{webhook.name}: {message.id} says {shown}, not {webhook.expect(changes)}")
    return wrong


def states_of(rules: Rules, failures: Sequence[bool]) -> list[str]:
    """The state after each run, by whether it failed."""
    states = []
    for end in range(1, len(failures) + 1):
        count = sum(failures[max(0, end - rules.window) : end])
        states.append("error" if count >= rules.error else "warning" if count >= rules.warning else "active")
    return states


def unfounded(integration: str, rules: Rules, record: NotifyingRecord) -> list[str]:
    """Changes, and the state in the end, that do not follow from the runs of an ordered integration."""
    runs = [run for run in record.in_order(integration) if run.finished_at is not None]
    states = states_of(rules, [run.state == "failed" for run in runs])
    begins = [
        next(group)[1:]
        for _, group in groupby(
            zip(states, states, (r.finished_at or 0 for r in runs), strict=True), key=lambda e: e[0]
        )
    ]
    changes = [change for change in record.changes if change.integration == integration]
    wrong, place = [], 0
    for change in changes:
        while place < len(begins) and not _explains(begins[place], change):
            place += 1
        if place == len(begins):
            wrong.append(f"{integration} {change.status} at {change.at}: no run explains it")
            break
        place += 1
    end, known = (states[-1] if states else "initializing"), record.states.get(integration, "initializing")
    return wrong if end == known else [*wrong, f"{integration} is {known}, its runs say {end}"]


def _explains(begin: tuple[str, int], change: Change) -> bool:
    status, at = begin
    return status == change.status and at <= change.at <= at + BATCH_SECONDS * MICRO


def miscounted(integration: str, kind: str, record: NotifyingRecord) -> list[str]:
    """The one issue of an integration has to count each failure once."""
    failed = sum(1 for run in record.runs.values() if run.integration == integration and run.error_kind == kind)
    counted = sum(
        count for about, key, count in record.issues if about == integration and key.startswith(f"run:{kind}:")
    )
    return [] if counted == failed else [f"{integration}: {failed} runs failed, {counted} were counted"]


def _by_integration(changes: Sequence[Change]) -> Iterator[tuple[str, list[Change]]]:
    for integration in sorted({change.integration for change in changes}):
        yield integration, [change for change in changes if change.integration == integration]
