"""The audit of clusters itself: each kind of broken promise is planted, and found."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

from tests.support.sink import Received
from tests.system.cluster_calling import ClusterPromises, Heard
from tests.system.cluster_faults import Loss, continued_after, first_work_of_next_epoch
from tests.system.cluster_ledger import (
    Accounts,
    Deed,
    Freeze,
    audit,
    calls_of,
    late_deeds,
    read_deeds,
    replies_of,
    times_repeated,
)
from tests.system.cluster_report import Statistics, summary
from tests.system.cluster_rounds import look_through_log
from tests.system.history import Change, History
from tests.system.ledger import Record, RecordedDelivery, RecordedRun

SECOND = 1_000_000

NODES = (
    Change(0, "node_1", "node", "epoch_1", state="added"),
    Change(0, "node_2", "node", "epoch_2", state="added"),
)


def run(state: str = "succeeded", sequence: int | None = None, losses: int = 0) -> RecordedRun:
    return RecordedRun(state, None if sequence is None else "lanes:L1", sequence, losses)


def change(seconds: float, place: str, key: str, state: str, **more: Any) -> Change:
    return Change(round(seconds * SECOND), place, "run", key, state=state, **more)


def claimed(seconds: float, key: str, node: str = "epoch_1", place: str = "node_1") -> Change:
    return change(seconds, place, key, "running", state_before="queued", node=node, transaction=round(seconds * 10))


def settled(seconds: float, key: str, node: str = "epoch_1", place: str = "node_1") -> Change:
    return change(
        seconds,
        place,
        key,
        "succeeded",
        state_before="running",
        node_before=node,
        transaction=round(seconds * 10),
    )


def rescued(seconds: float, key: str, node: str = "epoch_1", place: str = "node_2") -> Change:
    return change(seconds, place, key, "queued", state_before="running", node_before=node, losses=1)


def removed(seconds: float, node: str = "epoch_1", place: str = "node_2") -> Change:
    return Change(round(seconds * SECOND), place, "node", node, state="removed")


def journaled(seconds: float, key: str, *steps: str, place: str = "node_1") -> Change:
    return Change(round(seconds * SECOND), place, "journal", key, steps=steps, transaction=round(seconds * 10))


def deed(seconds: float, event: str, step: str = "first", place: str = "node_1", **more: Any) -> Deed:
    return Deed(event, step, place, round(seconds * SECOND), **more)


def accounts(*changes: Change, runs: dict[str, RecordedRun] | None = None, **more: Any) -> Accounts:
    """What happened as the history has it; callers were promised nothing unless it is said."""
    given: dict[str, Any] = {"promises": ClusterPromises(), "effects": (), "calls": (), "replies": (), **more}
    record = given.pop("record", None) or Record(runs or {}, frozenset(), {})
    return Accounts(record=record, history=History([*NODES, *changes]), **given)


def problems(seen: Accounts) -> dict[str, list[str]]:
    return audit(seen).problems()


def test_what_went_well_gives_no_finding():
    seen = accounts(
        claimed(1, "e1"),
        journaled(2, "e1", "first"),
        settled(2, "e1"),
        runs={"e1": run(sequence=1)},
        effects=[deed(1.5, "e1", lane="L1", number=1)],
        promises=ClusterPromises(accepted={"e1": 0}),
    )

    assert problems(seen) == {}


# --- promises --------------------------------------------------------------------------------------------------------


def test_missing_event_is_lost():
    assert problems(accounts(promises=ClusterPromises(accepted={"e1": 0}))) == {"lost": ["e1"]}


def test_answer_without_a_recorded_success_is_lost():
    seen = accounts(runs={"e1": run("failed", losses=3)}, promises=ClusterPromises(answered={"e1": 0}))

    assert problems(seen) == {"lost": ["e1 (its answer)"]}


def test_unfinished_and_failed_runs_are_found():
    seen = accounts(runs={"e1": run("queued"), "e2": run("failed"), "e3": run("failed", losses=3)})

    assert problems(seen) == {"unfinished": ["e1"], "failed": ["e2 failed"]}


def test_refusal_that_does_not_say_when_to_come_again_is_found():
    assert problems(accounts(promises=ClusterPromises(hasty=["node_1 lanes"]))) == {"hasty": ["node_1 lanes"]}


# --- order -----------------------------------------------------------------------------------------------------------


def test_effect_before_the_end_of_the_run_ahead_is_out_of_order():
    seen = accounts(
        claimed(1, "e1"),
        claimed(2, "e2"),
        settled(3, "e1"),
        settled(4, "e2"),
        runs={"e1": run(sequence=1), "e2": run(sequence=2)},
        effects=[deed(1.5, "e1", lane="L1", number=1), deed(2.5, "e2", lane="L1", number=2)],
    )

    assert problems(seen) == {"out_of_order": ["e2 first began before e1 had ended"]}


def test_lane_that_does_not_follow_its_caller_is_out_of_order():
    seen = accounts(
        claimed(1, "e1"),
        settled(2, "e1"),
        claimed(3, "e2"),
        settled(4, "e2"),
        runs={"e1": run(sequence=1), "e2": run(sequence=2)},
        effects=[deed(1.5, "e1", lane="L1", number=2), deed(3.5, "e2", lane="L1", number=1)],
    )

    assert problems(seen) == {"out_of_order": ["lanes:L1: 1 after 2"]}


def test_call_that_became_two_events_is_found():
    seen = accounts(
        claimed(1, "e1"),
        settled(2, "e1"),
        claimed(3, "e2"),
        settled(4, "e2"),
        runs={"e1": run(sequence=1), "e2": run(sequence=2)},
        effects=[deed(1.5, "e1", lane="L1", number=1), deed(3.5, "e2", lane="L1", number=1)],
    )

    assert audit(seen).recorded_twice == ["L1 1: ['e1', 'e2']"]


# --- once ------------------------------------------------------------------------------------------------------------


def test_effect_after_its_record_is_a_repetition():
    seen = accounts(
        claimed(1, "e1"),
        journaled(2, "e1", "first"),
        settled(4, "e1"),
        runs={"e1": run()},
        effects=[deed(1.5, "e1"), deed(3, "e1")],
    )

    assert problems(seen) == {"repeated": ["e1 first by node_1"]}


def test_effect_that_came_again_before_its_record_is_only_counted():
    seen = accounts(
        claimed(1, "e1"),
        journaled(2, "e1", "first"),
        settled(4, "e1"),
        runs={"e1": run()},
        effects=[deed(1.2, "e1"), deed(1.5, "e1")],
    )

    assert problems(seen) == {}
    assert times_repeated(seen.effects) == 1


def test_reply_after_its_record_is_a_repetition():
    sending = Change(SECOND, "node_1", "delivery", "d1", state="sending", node="epoch_1")
    delivered = replace(
        sending, at=2 * SECOND, state_before="sending", state="delivered", node_before="epoch_1", node=None
    )
    replies = [Deed("d1", "", "node_1", round(at * SECOND), key="k") for at in (1.5, 2.5)]
    record = Record({}, frozenset(), {"d1": RecordedDelivery("e1", "delivered")})

    found = audit(accounts(sending, delivered, record=record, replies=replies))

    assert found.repeated == ["reply d1 by node_1"]


def test_missing_reply_is_found():
    record = Record({}, frozenset(), {"d1": RecordedDelivery("e1", "delivered")})

    assert problems(accounts(record=record)) == {"without_reply": ["d1"]}


def test_changed_and_missing_idempotency_keys_are_found():
    calls = [deed(1, "e1", "call", key="a"), deed(1, "e1", "call", key="b"), deed(1, "e2", "call")]

    found = audit(accounts(claimed(0.5, "e1"), claimed(0.5, "e2"), calls=calls))

    assert found.changed_keys == ["e1 call: ['a', 'b']", "e2 call: ['']"]


def test_recorded_step_that_never_happened_is_found():
    seen = accounts(
        claimed(1, "e1"),
        journaled(2, "e1", "first"),
        settled(2, "e1"),
        claimed(1, "e2"),
        journaled(2, "e2", "first"),
        settled(2, "e2"),
        runs={"e1": run(), "e2": run()},
        effects=[deed(1.5, "e1")],
    )

    assert problems(seen) == {"without_effect": ["e2 first"]}


# --- leases ----------------------------------------------------------------------------------------------------------

TAKEN_OVER = (
    claimed(1, "e1"),
    removed(5),
    rescued(5, "e1"),
    claimed(6, "e1", "epoch_2", "node_2"),
    settled(8, "e1", "epoch_2", "node_2"),
)


def test_effect_of_a_node_whose_lease_was_taken_over_is_late():
    seen = accounts(
        *TAKEN_OVER,
        runs={"e1": run()},
        effects=[deed(7, "e1")],
        freezes=[Freeze("node_1", 2 * SECOND, round(6.5 * SECOND))],
    )

    held = "held by node_1 -6.000 s to -2.000 s, node_2 -1.000 s to +1.000 s"
    assert problems(seen) == {"late": [f"e1 first by node_1; {held}; frozen -5.000 s to -0.500 s"]}


def test_effect_that_began_before_the_take_over_is_not_late():
    seen = accounts(*TAKEN_OVER, runs={"e1": run()}, effects=[deed(1.5, "e1")])

    assert problems(seen) == {}


def test_message_that_leaves_a_node_as_it_goes_on_was_under_way():
    freeze = Freeze("node_1", 2 * SECOND, 7 * SECOND)
    seen = accounts(
        *TAKEN_OVER,
        runs={"e1": run()},
        calls=[deed(7.1, "e1", "call", key="k"), deed(7.9, "e1", "call", key="k")],
        freezes=[freeze],
    )

    assert len(late_deeds(seen)) == 2
    assert len(audit(seen).late) == 1


def test_effect_for_a_run_that_nobody_held_is_late():
    assert len(audit(accounts(runs={"e1": run()}, effects=[deed(1, "e1", place="")])).late) == 1


def test_end_written_by_another_than_the_holder_is_stale():
    seen = accounts(claimed(1, "e1"), settled(2, "e1", place="node_2"), runs={"e1": run()})

    assert problems(seen) == {"stale": ["e1 from running to succeeded by node_2"]}


def test_change_of_what_had_ended_is_stale():
    again = change(3, "node_1", "e1", "queued", state_before="succeeded")

    seen = accounts(claimed(1, "e1"), settled(2, "e1"), again, runs={"e1": run()})

    assert problems(seen) == {"stale": ["e1 from succeeded to queued by node_1"]}


def test_history_written_by_another_than_the_holder_is_stale():
    seen = accounts(*TAKEN_OVER, journaled(7, "e1", "answer"), runs={"e1": run()})

    assert problems(seen) == {"stale": ["journal of e1 by node_1"]}


def test_work_taken_from_a_node_that_nobody_buried_is_found():
    seen = accounts(claimed(1, "e1"), rescued(5, "e1"), runs={"e1": run()})

    assert problems(seen) == {"taken_from_living": ["e1 from epoch_1 by node_2"]}


def test_errors_that_no_fault_explains_are_found_in_logs():
    counts: Counter[str] = Counter()
    entries = [
        {"level": "error", "message": "store.lost"},
        {"level": "error", "message": "watch.failed", "turn": "measure", "exception": "Traceback\nValueError: no"},
        {"level": "warning", "message": "lane.mended"},
        {"level": "info", "message": "server.started"},
    ]
    log = "\n".join([*map(json.dumps, entries), "Traceback (most recent call last):"])

    found = look_through_log("node_1", log, counts)

    assert found == ["node_1: watch.failed measure ValueError: no", "node_1: a traceback beside the log"]
    assert counts == {"log store.lost": 1, "log watch.failed": 1, "log lane.mended": 1}


# --- figures ---------------------------------------------------------------------------------------------------------


def test_take_over_ends_when_another_node_goes_on():
    history = accounts(*TAKEN_OVER).history

    assert continued_after(Loss("epoch_1", 2 * SECOND), history) == [6 * SECOND]
    assert continued_after(Loss("epoch_2", 2 * SECOND), history) == []


def test_first_work_under_a_new_id_is_found():
    back = Change(9 * SECOND, "node_1", "node", "epoch_3", state="added")

    history = accounts(*TAKEN_OVER, back, claimed(10, "e2", "epoch_3")).history

    assert first_work_of_next_epoch("node_1", 8 * SECOND, history) == 10 * SECOND
    assert first_work_of_next_epoch("node_2", 8 * SECOND, history) is None


def test_only_calls_that_began_afterwards_count_as_the_first_one():
    heard = [Heard(1, 5, "node_1", 202), Heard(3, 6, "node_2", 503), Heard(3, 7, "node_2", 202)]

    promises = ClusterPromises(heard=heard)

    assert promises.first_after(2) == 7
    assert promises.first_after(2, "node_1") is None


def test_requests_and_lines_become_deeds(tmp_path):
    path = tmp_path / "effects"
    path.write_text("e1\tL1\t4\tfirst\tnode_2\t77\n")
    call = Received("POST", "/call", {}, {"idempotency-key": "k"}, b'{"event":"e1"}', 5, "node_1")
    reply = Received("POST", "/reply", {}, {"idempotency-key": "d1", "webhook-id": "d1"}, b"{}", 6, "node_2")

    assert read_deeds(path) == [Deed("e1", "first", "node_2", 77, "L1", 4)]
    assert calls_of([call, reply]) == [Deed("e1", "call", "node_1", 5, key="k")]
    assert replies_of([call, reply]) == [Deed("d1", "", "node_2", 6, key="d1")]


def test_figures_go_on_where_they_were_kept(tmp_path):
    kept = Statistics("kill", rounds=2, measured={"take-over PT3S": [1.0, 3.0]}, examples={"lost": ["e1"]})
    kept.sums["faults"] = 40

    kept.save(tmp_path / "kept")

    assert Statistics.load(tmp_path / "kept") == kept
    assert summary([1.0, 3.0]) == {"count": 2, "min": 1.0, "p50": 2.0, "p95": 2.9, "max": 3.0}
