"""Three accounts of the same events that must agree: what callers were promised, what happened, what is recorded.

- Promises: the ids that callers got with a 202, and those of sync calls that were answered 200.
- Effects: the lines that workflow functions wrote, and the replies that arrived.
- Record: the rows of the database, read from outside while the program is dead and at the end.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.engine import make_url

from crossdock.model.run import MAX_LOSSES
from crossdock.model.states import FINAL_DELIVERY_STATES, FINAL_RUN_STATES, DeliveryState, RunState
from crossdock.store import schema
from crossdock.store.database import Database, open_database
from tests.support.sink import Received


@dataclass(frozen=True, slots=True)
class Effect:
    """One line of the effect ledger: a step of an event began to act."""

    event: str
    lane: str
    number: int
    step: str


@dataclass(slots=True)
class Promises:
    """What callers were told. `accepted` holds the ids of 202s, `answered` those of sync calls answered 200.

    `stamp` tells the moment; each id is kept with the moment at which its caller heard of it.
    """

    stamp: Callable[[], int] = int
    accepted: dict[str, int] = field(default_factory=dict)
    answered: dict[str, int] = field(default_factory=dict)
    unclear: int = 0
    """Calls whose connection broke: nobody knows whether they were recorded, and both is right."""
    unexpected: list[str] = field(default_factory=list)

    def accept(self, event: str) -> None:
        self.accepted[event] = self.stamp()

    def answer(self, event: str) -> None:
        self.answered[event] = self.stamp()


@dataclass(frozen=True, slots=True)
class RecordedRun:
    state: str
    lane: str | None
    sequence: int | None
    losses: int


@dataclass(frozen=True, slots=True)
class RecordedDelivery:
    event: str
    state: str


@dataclass(frozen=True, slots=True)
class Record:
    """The database at one moment."""

    runs: dict[str, RecordedRun]
    finished_steps: frozenset[tuple[str, str]]
    """(event, step) pairs that the journal holds."""
    deliveries: dict[str, RecordedDelivery]

    def delivered(self) -> frozenset[str]:
        return frozenset(key for key, each in self.deliveries.items() if each.state == DeliveryState.DELIVERED)

    def open_deliveries(self) -> list[str]:
        return [key for key, each in self.deliveries.items() if each.state not in FINAL_DELIVERY_STATES]

    def unfinished(self) -> list[str]:
        return [event for event, run in self.runs.items() if run.state not in FINAL_RUN_STATES]


@dataclass(slots=True)
class Findings:
    """What does not agree; every list has to stay empty."""

    lost: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    without_effect: list[str] = field(default_factory=list)
    without_reply: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    def problems(self) -> dict[str, list[str]]:
        named = {name: getattr(self, name) for name in self.__slots__}
        return {name: found[:5] for name, found in named.items() if found}


def read_effects(path: Path) -> list[Effect]:
    """All lines, in the order in which they were written."""
    if not path.exists():
        return []
    rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    return [Effect(event, lane, int(number), step) for event, lane, number, step in rows]


def read_record(url: str) -> Record:
    """The record as it would be found after a crash: SQLite is read from a copy, so that looking changes nothing."""
    with opened_copy(url) as database, database.reading() as connection:
        runs = connection.execute(
            select(
                schema.run.c.event_id,
                schema.run.c.state,
                schema.run.c.lane_id,
                schema.run.c.lane_sequence,
                schema.run.c.losses,
            )
        )
        by_event = {row[0]: RecordedRun(*row[1:]) for row in runs}
        steps = connection.execute(select(schema.journal.c.event_id, schema.journal.c.steps))
        finished = {(event, step["id"]) for event, text in steps for step in json.loads(text)}
        rows = connection.execute(select(schema.delivery.c.id, schema.delivery.c.event_id, schema.delivery.c.state))
        deliveries = {key: RecordedDelivery(event, state) for key, event, state in rows}
        return Record(by_event, frozenset(finished), deliveries)


@contextmanager
def opened_copy(url: str) -> Iterator[Database]:
    """The database as it lies there; of SQLite a copy, so that looking changes nothing."""
    with tempfile.TemporaryDirectory(prefix="crossdock-record-") as folder:
        source = make_url(url)
        if source.get_backend_name() == "sqlite" and source.database:
            copy = Path(folder) / "copy.db"
            for suffix in ("", "-wal"):
                if Path(source.database + suffix).exists():
                    shutil.copy(source.database + suffix, f"{copy}{suffix}")
            url = f"sqlite:///{copy}"
        database = open_database(url)
        try:
            yield database
        finally:
            database.dispose()


@dataclass(frozen=True, slots=True)
class _Done:
    """What was recorded at a kill, and how many effects and replies there had been."""

    effects: int
    steps: frozenset[tuple[str, str]]
    replies: int
    delivered: frozenset[str]


class Audit:
    """Compares the accounts after every kill and at the end."""

    def __init__(self, promises: Promises, effects_path: Path, replies: list[Received]) -> None:
        self.findings = Findings()
        self._promises = promises
        self._effects_path = effects_path
        self._replies = replies
        self._done_before: list[_Done] = []

    def after_kill(self, accepted: set[str], answered: set[str], record: Record) -> None:
        """`accepted` and `answered` are what callers had been told when `record` was read."""
        self.findings.lost += [event for event in accepted if event not in record.runs]
        self.findings.lost += [f"{event} (its answer)" for event in answered if not _succeeded(record, event)]
        effects = len(read_effects(self._effects_path))
        self._done_before.append(_Done(effects, record.finished_steps, len(self._replies), record.delivered()))

    def at_end(self, record: Record, steps: tuple[str, ...]) -> None:
        """Everything is over: each promise is kept, each order, and nothing was done again."""
        found, promises = self.findings, self._promises
        effects = read_effects(self._effects_path)
        found.lost += [event for event in {**promises.accepted, **promises.answered} if event not in record.runs]
        found.unfinished += record.unfinished()
        found.failed += [
            f"{event} {run.state}"
            for event, run in record.runs.items()
            if run.state != RunState.SUCCEEDED and run.state in FINAL_RUN_STATES and run.losses < MAX_LOSSES
        ]
        found.out_of_order += out_of_order(effects, record)
        self._look_for_repetitions(effects)
        seen = {(effect.event, effect.step) for effect in effects}
        found.without_effect += [
            f"{event} {step}"
            for event, run in record.runs.items()
            for step in steps
            if run.state == RunState.SUCCEEDED and (event, step) not in seen
        ]
        arrived = {reply.headers["webhook-id"] for reply in self._replies}
        found.without_reply += [key for key in record.deliveries if key not in arrived & record.delivered()]
        found.unexpected += promises.unexpected

    def _look_for_repetitions(self, effects: list[Effect]) -> None:
        """What was durably finished at a kill must not happen again after it."""
        for done in self._done_before:
            self.findings.repeated += [
                f"{effect.event} {effect.step}"
                for effect in effects[done.effects :]
                if (effect.event, effect.step) in done.steps
            ]
            later = (reply.headers["webhook-id"] for reply in self._replies[done.replies :])
            self.findings.repeated += [f"reply {key}" for key in later if key in done.delivered]


def out_of_order(effects: list[Effect], record: Record) -> list[str]:
    """Effects of a lane that came after one of a later run: the line order is the order of what was done."""
    latest: dict[str, int] = defaultdict(int)
    wrong = []
    for effect in effects:
        run = record.runs.get(effect.event)
        if run is None or run.lane is None or run.sequence is None:
            continue
        if run.sequence < latest[run.lane]:
            wrong.append(f"{effect.event} {effect.step} of {run.lane} at {run.sequence} after {latest[run.lane]}")
        latest[run.lane] = max(latest[run.lane], run.sequence)
    return wrong


def _succeeded(record: Record, event: str) -> bool:
    run = record.runs.get(event)
    return run is not None and run.state == RunState.SUCCEEDED
