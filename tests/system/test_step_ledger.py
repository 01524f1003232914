"""The audit of runs with steps of every kind: each kind of broken promise is found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.sink import Received
from tests.system.every_step import every_step, expected_effects, expected_result, kinds_of
from tests.system.ledger import Promises
from tests.system.step_ledger import Recorded, StepAudit, StepFindings, StepLine

KINDS = kinds_of(every_step("http://sink.invalid"))
CALLED = ("called", "even", "left", "right_too", "sent")
NUMBER = 4
TIME = 1_000_000


def is_call(path: str) -> bool:
    return path.rpartition(".")[2] in CALLED


PATHS = sorted(expected_effects(NUMBER))
LINES = [path for path in PATHS if not is_call(path)]
CALLS = [path for path in PATHS if is_call(path)]


def step_call(path: str) -> Received:
    return Received("POST", "/steps", {}, {"idempotency-key": f"e1:{path}"}, b"{}")


def reply(**more: Any) -> Received:
    told = {"id": "e1", "status": "succeeded", "result": {"body": expected_result(NUMBER)}, **more}
    return Received("POST", "/replies", {}, {"webhook-id": "dlv_1"}, json.dumps(told).encode())


def lines(*paths: str, until: int | None = TIME, rested_at: int = TIME) -> dict[str, StepLine]:
    times = {path: rested_at if path == "rested" else 0 for path in paths}
    return {path: StepLine("succeeded", at, at, until if path == "pause" else None) for path, at in times.items()}


RECORD = Recorded(
    states={"e1": "succeeded"},
    losses={"e1": 0},
    numbers={"e1": NUMBER},
    steps={"e1": lines(*PATHS, *KINDS)},
    answered=frozenset({"e1"}),
    children={"e1": 1},
    delivered=frozenset({"dlv_1"}),
    unsent=frozenset(),
)


class Accounts:
    """A run that was carried out as it should be, until a test changes one of the accounts."""

    def __init__(self, folder: Path) -> None:
        self.promises = Promises(accepted={"e1": 0})
        self.path = folder / "effects"
        self.requests = [*(step_call(path) for path in CALLS), reply()]
        self.audit = StepAudit(self.promises, self.path, self.requests, KINDS)
        self.add(*LINES)

    def add(self, *paths: str) -> None:
        with self.path.open("a") as file:
            file.writelines(f"e1\t\t1\t{path}\n" for path in paths)

    def kill(self, record: Recorded = RECORD) -> None:
        self.audit.after_kill(self.promises.accepted, self.promises.answered, record)

    def end(self, rows: int = 1, **changes: Any) -> StepFindings:
        self.audit.at_end(replace(RECORD, **changes), {"file": {"e1": rows}})
        return self.audit.findings


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    return Accounts(tmp_path)


def test_kept_promises_give_no_finding(accounts: Accounts):
    accounts.kill()

    assert accounts.end().problems() == {}


def test_effect_of_a_recorded_step_after_a_kill_is_a_repetition(accounts: Accounts):
    accounts.kill()
    accounts.add("lines[3].noted")
    accounts.requests.append(step_call("both.left"))

    assert accounts.end().repeated == ["('e1', 'lines[3].noted')", "('e1', 'both.left')"]


def test_effect_that_was_not_recorded_at_the_kill_may_come_again(accounts: Accounts):
    begun = lines(*PATHS, *KINDS)
    del begun["last"]
    accounts.kill(replace(RECORD, states={"e1": "running"}, steps={"e1": begun}))
    accounts.add("last")

    assert accounts.end().problems() == {}


def test_step_that_began_before_the_last_one_was_recorded_is_found(accounts: Accounts):
    noted = lines(*PATHS, *KINDS)
    del noted["lines[3].sent"]

    accounts.kill(replace(RECORD, states={"e1": "running"}, steps={"e1": noted}))

    assert accounts.audit.findings.problems() == {"unrecorded": ["e1 lines[3].noted"]}


def test_effect_that_comes_twice_between_kills_has_no_excuse(accounts: Accounts):
    accounts.requests.append(step_call("called"))

    assert accounts.end().repeated_without_cause == ["('e1', 'called')"]


def test_reply_after_its_record_is_a_repetition(accounts: Accounts):
    accounts.kill()
    accounts.requests.append(reply())

    assert accounts.end().repeated == ["dlv_1"]


def test_success_without_one_of_its_effects_is_found(accounts: Accounts):
    accounts.requests.remove(step_call("lines[2].sent"))

    assert accounts.end().problems() == {"without_effect": ["e1 lines[2].sent"]}


@pytest.mark.parametrize("count", [0, 2])
def test_parent_without_exactly_one_child_is_found(accounts: Accounts, count: int):
    assert accounts.end(children={"e1": count}).problems() == {"wrong_children": [f"e1 has {count}"]}


@pytest.mark.parametrize("rows", [0, 2])
def test_row_that_is_not_written_exactly_once_is_found(accounts: Accounts, rows: int):
    assert accounts.end(rows).problems() == {"wrong_rows": [f"file: e1 has {rows}"]}


def test_recorded_emit_without_its_event_is_found(accounts: Accounts):
    accounts.kill(replace(RECORD, children={}))

    assert accounts.audit.findings.problems() == {"wrong_children": ["e1 has none"]}


@pytest.mark.parametrize(("until", "rested_at"), [(TIME, TIME - 1), (200_000, TIME), (None, TIME)])
def test_delay_that_was_cut_short_is_found(accounts: Accounts, until: int | None, rested_at: int):
    early = lines(*PATHS, *KINDS, until=until, rested_at=rested_at)

    assert accounts.end(steps={"e1": early}).problems() == {"too_early": ["e1"]}


def test_result_that_a_resumed_run_got_wrong_is_found(accounts: Accounts):
    accounts.requests[-1] = reply(result={"body": {"number": NUMBER, "lines": [0, 1, 2]}})

    assert list(accounts.end().problems()) == ["wrong_result"]


def test_missing_unfinished_and_failed_runs_are_found(accounts: Accounts):
    accounts.promises.accept("e0")

    found = accounts.end(states={"e1": "failed", "e2": "queued"}, children={"e1": 1})

    assert (found.lost, found.failed, found.unfinished) == (["e0"], ["e1 failed"], ["e2"])


def test_answer_that_was_not_recorded_is_lost(accounts: Accounts):
    accounts.promises.answer("e1")

    accounts.kill(replace(RECORD, answered=frozenset()))

    assert accounts.audit.findings.problems() == {"lost": ["e1 (its answer)"]}


def test_kill_tells_where_a_run_was(accounts: Accounts):
    before = list(KINDS)[: list(KINDS).index("lines")]
    begun = lines(*before, "lines[0].sent")

    accounts.kill(replace(RECORD, states={"e1": "running"}, steps={"e1": begun}))

    assert accounts.audit.interrupted == {"inside for_each": 1}
