"""The accounts of runs with steps of every kind: what callers were told, what the world saw, what is recorded.

A kill is a line through all accounts: what the journal has on one side of it must not be done again on the other.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import Connection, select

from crossdock.model.run import MAX_LOSSES, StepStatus
from crossdock.model.states import FINAL_RUN_STATES, DeliveryState, RunState
from crossdock.model.time import later
from crossdock.store import schema
from tests.support.sink import Received
from tests.system.every_step import DELAY_SECONDS, expected_effects, expected_result, previous
from tests.system.ledger import Promises, opened_copy, read_effects

Key: TypeAlias = tuple[str, str]
"""An event and the path of a step."""


@dataclass(frozen=True, slots=True)
class StepLine:
    """A finished step, or one that waits, as the journal has it."""

    status: str
    began_at: int
    """When it was first recorded to have started."""
    started_at: int
    until: int | None
    """When it was to go on, if it has waited."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The database at one moment."""

    states: dict[str, str]
    losses: dict[str, int]
    numbers: dict[str, int]
    """The number that each event of the integration with every step was called with."""
    steps: dict[str, dict[str, StepLine]]
    """The last line of each step, by event and path."""
    answered: frozenset[str]
    """Events whose result is decided."""
    children: dict[str, int]
    """How many events each event has emitted."""
    delivered: frozenset[str]
    unsent: frozenset[str]

    def finished(self) -> frozenset[Key]:
        return frozenset(
            (event, path)
            for event, lines in self.steps.items()
            for path, line in lines.items()
            if line.status == StepStatus.SUCCEEDED
        )

    def is_over(self) -> bool:
        return not self.unsent and all(state in FINAL_RUN_STATES for state in self.states.values())


def read_recorded(url: str, every_id: str) -> Recorded:
    """The record as it would be found after a crash."""
    with opened_copy(url) as database, database.reading() as connection:
        runs = connection.execute(select(schema.run.c.event_id, schema.run.c.state, schema.run.c.losses)).all()
        events = connection.execute(
            select(schema.event.c.id, schema.event.c.integration_id, schema.event.c.body, schema.event.c.emitted_by)
        ).all()
        sent = connection.execute(select(schema.delivery.c.id, schema.delivery.c.state, schema.delivery.c.finished_at))
        deliveries = sent.all()
        steps, answered = _read_journal(connection)
    return Recorded(
        states={row.event_id: row.state for row in runs},
        losses={row.event_id: row.losses for row in runs},
        numbers={row.id: json.loads(row.body)["number"] for row in events if row.integration_id == every_id},
        steps=steps,
        answered=frozenset(answered),
        children=Counter(row.emitted_by for row in events if row.emitted_by is not None),
        delivered=frozenset(row.id for row in deliveries if row.state == DeliveryState.DELIVERED),
        unsent=frozenset(row.id for row in deliveries if row.finished_at is None),
    )


def _read_journal(connection: Connection) -> tuple[dict[str, dict[str, StepLine]], set[str]]:
    steps: defaultdict[str, dict[str, StepLine]] = defaultdict(dict)
    answered = set()
    table = schema.journal.c
    query = select(table.event_id, table.steps, table.result_status).order_by(table.event_id, table.position)
    for event, text, status in connection.execute(query):
        for step in json.loads(text):
            before = steps[event].get(step["id"])
            until = step.get("until") or (before.until if before else None)
            began_at = before.began_at if before else step["started_at"]
            steps[event][step["id"]] = StepLine(step["status"], began_at, step["started_at"], until)
        if status is not None:
            answered.add(event)
    return dict(steps), answered


@dataclass(slots=True)
class StepFindings:
    """What does not agree; every list has to stay empty."""

    lost: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    """Done again although it was recorded as done before a kill."""
    repeated_without_cause: list[str] = field(default_factory=list)
    """Done twice between two kills."""
    unrecorded: list[str] = field(default_factory=list)
    """A step began although the one before it was not durable yet."""
    without_effect: list[str] = field(default_factory=list)
    wrong_children: list[str] = field(default_factory=list)
    wrong_rows: list[str] = field(default_factory=list)
    """Written by `sql` other than exactly once."""
    left_behind: list[str] = field(default_factory=list)
    """Processes that outlived the one that had started them."""
    too_early: list[str] = field(default_factory=list)
    """Behind a delay before its time."""
    wrong_result: list[str] = field(default_factory=list)
    without_reply: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    def problems(self) -> dict[str, list[str]]:
        named = {name: getattr(self, name) for name in self.__slots__}
        return {name: found[:5] for name, found in named.items() if found}


@dataclass(frozen=True, slots=True)
class _Line:
    """Where the accounts ended at a kill, and what was recorded then."""

    marks: int
    requests: int
    finished: frozenset[Key]
    delivered: frozenset[str]


class StepAudit:
    """Compares the accounts after every kill and at the end. `kinds` are those of the workflow's steps, by id."""

    def __init__(
        self, promises: Promises, effects_path: Path, requests: list[Received], kinds: Mapping[str, str]
    ) -> None:
        self.findings = StepFindings()
        self.interrupted: Counter[str] = Counter()
        """Kinds of the steps that runs were at when they were killed."""
        self._promises = promises
        self._effects_path = effects_path
        self._requests = requests
        self._kinds = kinds
        self._lines: list[_Line] = []

    def after_kill(self, accepted: Iterable[str], answered: Iterable[str], record: Recorded) -> None:
        """`accepted` and `answered` are what callers had been told when `record` was read."""
        found, finished = self.findings, record.finished()
        found.lost += [event for event in accepted if event not in record.states]
        found.lost += [f"{event} (its answer)" for event in answered if event not in record.answered]
        found.wrong_children += [
            f"{event} has none" for event, path in finished if path == "handed_on" and not record.children.get(event)
        ]
        self.interrupted.update(_interrupted(record, self._kinds))
        marks = self._read_marks()
        seen = {*marks, *filter(None, map(_key_of, self._requests))}
        found.unrecorded += [f"{event} {path}" for event, path in seen if _came_early(event, path, record, finished)]
        self._lines.append(_Line(len(marks), len(self._requests), finished, record.delivered))

    def at_end(self, record: Recorded, bookings: Mapping[str, Mapping[str, int]]) -> None:
        """Everything is over: each promise is kept, and nothing was done again. `bookings` are rows by event."""
        found = self.findings
        told = {**self._promises.accepted, **self._promises.answered}
        found.lost += [event for event in told if event not in record.states]
        found.unfinished += [event for event, state in record.states.items() if state not in FINAL_RUN_STATES]
        given_up = {event for event, losses in record.losses.items() if losses >= MAX_LOSSES}
        found.failed += [
            f"{event} {state}"
            for event, state in record.states.items()
            if state in FINAL_RUN_STATES and state != RunState.SUCCEEDED and event not in given_up
        ]
        marks = self._read_marks()
        steps = [_key_of(request) for request in self._requests]
        self._look_for_repetitions(marks, [line.marks for line in self._lines], "finished")
        self._look_for_repetitions(steps, [line.requests for line in self._lines], "finished")
        replies = [_reply_of(request) for request in self._requests]
        self._look_for_repetitions(replies, [line.requests for line in self._lines], "delivered")
        succeeded = {e: n for e, n in record.numbers.items() if record.states[e] == RunState.SUCCEEDED}
        self._look_for_what_is_missing(succeeded, {*marks, *steps})
        found.wrong_children += _not_once(succeeded, record.children)
        for connection, rows in bookings.items():
            found.wrong_rows += [f"{connection}: {wrong}" for wrong in _not_once(succeeded, rows)]
        found.too_early += [event for event in succeeded if _went_on_early(record.steps[event], list(self._kinds))]
        self._look_at_replies(record)
        found.unexpected += self._promises.unexpected

    def _read_marks(self) -> list[Key]:
        return [(effect.event, effect.step) for effect in read_effects(self._effects_path)]

    def _look_for_repetitions(self, seen: Sequence[Any], ends: Sequence[int], kept: str) -> None:
        for line, begin in zip(self._lines, ends, strict=True):
            done = getattr(line, kept)
            self.findings.repeated += [str(key) for key in seen[begin:] if key is not None and key in done]
        for begin, end in zip([0, *ends], [*ends, len(seen)], strict=True):
            times = Counter(key for key in seen[begin:end] if key is not None)
            self.findings.repeated_without_cause += [str(key) for key, count in times.items() if count > 1]

    def _look_for_what_is_missing(self, succeeded: dict[str, int], seen: set[Key | None]) -> None:
        for event, number in succeeded.items():
            missing = [path for path in expected_effects(number) if (event, path) not in seen]
            self.findings.without_effect += [f"{event} {path}" for path in missing]

    def _look_at_replies(self, record: Recorded) -> None:
        arrived = {}
        for request in self._requests:
            if _reply_of(request) is not None:
                arrived[_reply_of(request)] = request.json()
        self.findings.without_reply += sorted(record.delivered - arrived.keys()) + sorted(record.unsent)
        self.findings.wrong_result += [
            f"{told['id']}: {told['result']}"
            for told in arrived.values()
            if told["status"] == "succeeded" and told["result"]["body"] != expected_result(record.numbers[told["id"]])
        ]


def _not_once(succeeded: Iterable[str], counts: Mapping[str, int]) -> list[str]:
    """Events that succeeded without exactly one of something, or that have several whatever became of them."""
    return [f"{event} has {count}" for event, count in {**dict.fromkeys(succeeded, 0), **counts}.items() if count != 1]


def _key_of(request: Received) -> Key | None:
    """The event and step that a call of an `http` step belongs to; None for replies."""
    if request.path != "/steps":
        return None
    event, _, path = request.headers["idempotency-key"].partition(":")
    return event, path


def _reply_of(request: Received) -> str | None:
    return request.headers["webhook-id"] if request.path == "/replies" else None


def _came_early(event: str, path: str, record: Recorded, finished: frozenset[Key]) -> bool:
    """Whether a step had an effect before the one in front of it was recorded."""
    before = previous(path)
    return event in record.numbers and before is not None and (event, before) not in finished


def _went_on_early(lines: dict[str, StepLine], top_steps: Sequence[str]) -> bool:
    """Whether the step behind the delay began before the delay was over, or the delay was shorter than it should be."""
    pause, behind = lines["pause"], lines[top_steps[top_steps.index("pause") + 1]]
    if pause.until is None:
        return True
    return behind.began_at < pause.until or pause.until < later(pause.began_at, DELAY_SECONDS)


def _interrupted(record: Recorded, kinds: Mapping[str, str]) -> Iterator[str]:
    """Where each unfinished run was: at which step, and whether inside it."""
    for event in record.numbers:
        lines = record.steps.get(event, {})
        at = next((step for step in kinds if step not in lines or lines[step].status != StepStatus.SUCCEEDED), None)
        if at is None or record.states[event] in FINAL_RUN_STATES or not lines:
            continue
        if record.states[event] == RunState.WAITING:
            yield f"waiting in {kinds[at]}"
        elif any(path.startswith((f"{at}.", f"{at}[")) for path in lines):
            yield f"inside {kinds[at]}"
        else:
            yield f"at {kinds[at]}"
