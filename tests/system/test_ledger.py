"""The audit itself: each kind of broken promise is found."""

from __future__ import annotations

from pathlib import Path

from tests.support.sink import Received
from tests.system.ledger import Audit, Findings, Promises, Record, RecordedDelivery, RecordedRun

STEPS = ("first",)


def run(state: str = "succeeded", sequence: int | None = None, losses: int = 0) -> RecordedRun:
    return RecordedRun(state, None if sequence is None else "lane", sequence, losses)


def record(runs: dict[str, RecordedRun], deliveries: dict[str, RecordedDelivery] | None = None) -> Record:
    return Record(runs, frozenset(), deliveries or {})


def audit_at_end(folder: Path, lines: list[str], seen: Record, told: Promises | None = None) -> Findings:
    path = folder / "effects"
    path.write_text("".join(f"{line}\n" for line in lines))
    audit = Audit(told or Promises(), path, [])
    audit.at_end(seen, STEPS)
    return audit.findings


def test_kept_promises_give_no_finding(tmp_path: Path):
    findings = audit_at_end(tmp_path, ["e1\tL\t1\tfirst"], record({"e1": run()}), Promises(accepted={"e1": 0}))

    assert findings.problems() == {}


def test_missing_event_is_lost(tmp_path: Path):
    findings = audit_at_end(tmp_path, [], record({}), Promises(accepted={"e1": 0}))

    assert findings.problems() == {"lost": ["e1"]}


def test_unfinished_and_failed_runs_are_found(tmp_path: Path):
    findings = audit_at_end(tmp_path, [], record({"e1": run("queued"), "e2": run("failed")}))

    assert findings.problems() == {"unfinished": ["e1"], "failed": ["e2 failed"]}


def test_effect_after_one_of_a_later_run_is_out_of_order(tmp_path: Path):
    lines = ["e2\tlane\t2\tfirst", "e1\tlane\t1\tfirst"]

    findings = audit_at_end(tmp_path, lines, record({"e1": run(sequence=1), "e2": run(sequence=2)}))

    assert findings.problems() == {"out_of_order": ["e1 first of lane at 1 after 2"]}


def test_effect_after_its_record_is_a_repetition(tmp_path: Path):
    path = tmp_path / "effects"
    path.write_text("e1\tL\t1\tfirst\n")
    audit = Audit(Promises(), path, [])
    audit.after_kill(set(), set(), Record({}, frozenset({("e1", "first")}), {}))
    path.write_text("e1\tL\t1\tfirst\ne1\tL\t1\tfirst\n")

    audit.at_end(record({"e1": run()}), STEPS)

    assert audit.findings.problems() == {"repeated": ["e1 first"]}


def test_reply_after_its_record_is_a_repetition(tmp_path: Path):
    replies: list[Received] = []
    seen = record({}, {"dlv_1": RecordedDelivery("e1", "delivered")})
    audit = Audit(Promises(), tmp_path / "effects", replies)
    audit.after_kill(set(), set(), seen)
    replies.append(Received("POST", "/", {}, {"webhook-id": "dlv_1"}, b""))

    audit.at_end(seen, STEPS)

    assert audit.findings.problems() == {"repeated": ["reply dlv_1"]}


def test_answer_without_a_recorded_end_is_lost(tmp_path: Path):
    audit = Audit(Promises(), tmp_path / "effects", [])

    audit.after_kill({"e1"}, {"e1"}, record({"e1": run("running")}))

    assert audit.findings.problems() == {"lost": ["e1 (its answer)"]}


def test_success_without_effect_is_found(tmp_path: Path):
    findings = audit_at_end(tmp_path, [], record({"e1": run()}))

    assert findings.problems() == {"without_effect": ["e1 first"]}
