"""The audit of notifications itself: each kind of broken promise is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.system.notifying_ledger import (
    Message,
    NotifyingAudit,
    NotifyingFindings,
    Rules,
    Setting,
    Webhook,
    asked_for,
    states_of,
)
from tests.system.notifying_record import Change, EndedRun, NotifyingRecord, Told

SECOND = 1_000_000
HOOK = Webhook("hook")
RULES = Rules(window=5, warning=1, error=2)


def change(name: str, status: str, previous: str, at: float = 0, about: str = "a") -> Change:
    return Change(name, about, round(at * SECOND), status, previous)


FIRST = change("c1", "warning", "initializing", 1)
SECOND_ONE = change("c2", "error", "warning", 2)
THIRD = change("c3", "active", "error", 3)
CHANGES = (FIRST, SECOND_ONE, THIRD)


def told(change_id: str, *more: str, webhook: str = "hook", state: str = "delivered", made_at: float = 0) -> Told:
    return Told(f"d-{change_id}", webhook, (change_id, *more), state, round(made_at * SECOND))


def messages_for(deliveries: tuple[Told, ...], **more: Any) -> list[Message]:
    return [Message(one.id, one.webhook, at, {}, **more) for at, one in enumerate(deliveries)]


def look(
    deliveries: tuple[Told, ...] = (),
    changes: tuple[Change, ...] = CHANGES,
    *,
    webhook: Webhook = HOOK,
    messages: list[Message] | None = None,
    damping: float = 0.0,
) -> dict[str, list[str]]:
    setting = Setting((webhook,), {"a": "webhook-trigger", "b": "webhook-trigger"}, damping=damping)
    arrived = messages_for(deliveries) if messages is None else messages
    audit = NotifyingAudit(setting, arrived)
    audit.at_end((), NotifyingRecord(changes=changes, told=deliveries))
    return audit.findings.problems()


def test_each_change_told_once_gives_no_finding():
    assert look((told("c1"), told("c2"))) == {}


def test_change_without_a_delivery_is_untold():
    assert look((told("c1"),)) == {"untold": ["hook: a c2 error"]}


def test_delivery_whose_message_never_came_is_untold():
    deliveries = (told("c1"), told("c2", state="failed"))

    assert look(deliveries, messages=messages_for(deliveries[:1])) == {"untold": ["hook: d-c2 failed"]}


def test_message_that_was_refused_every_time_is_untold():
    deliveries = (told("c1"), told("c2"))

    assert look(deliveries, messages=messages_for(deliveries, is_taken=False)) == {
        "untold": ["hook: d-c1 delivered", "hook: d-c2 delivered"]
    }


def test_change_under_two_ids_is_told_twice():
    again = replace(told("c2"), id="d-again")

    assert look((told("c1"), told("c2"), again)) == {"twice": ["hook: c2"]}


def test_what_filters_leave_out_is_unasked():
    assert look((told("c1"), told("c2"), told("c3"))) == {"unasked": ["hook: a c3 active"]}


def test_webhook_of_another_integration_is_told_nothing():
    webhook = Webhook("hook", integrations=("b",))

    assert look((told("c1"),), webhook=webhook) == {"unasked": ["hook: a c1"]}


def test_webhook_of_another_type_is_told_nothing():
    webhook = Webhook("hook", types=("event-webhook-sync",))

    assert look((told("c1"),), webhook=webhook) == {"unasked": ["hook: a c1"]}


def test_webhook_that_is_off_is_told_nothing():
    assert look((told("c1"),), webhook=Webhook("hook", is_active=False)) == {"unasked": ["hook: a c1"]}


def test_message_that_no_delivery_explains_is_unasked():
    stray = Message("d-x", "hook", 9, {})

    found = look((told("c1"), told("c2")), messages=[*messages_for((told("c1"), told("c2"))), stray])

    assert found == {"unasked": ["hook: message d-x without a record"]}


def test_later_change_that_came_first_is_out_of_order():
    deliveries = (told("c1"), told("c2"))

    found = look(deliveries, messages=messages_for(deliveries[::-1]))

    assert found == {"out_of_order": ["hook: d-c1 tells change 0 after 1"]}


def test_order_is_that_of_each_integration():
    other = change("c0", "warning", "initializing", 9, about="b")
    deliveries = (told("c0"), told("c1"), told("c2"))

    assert look(deliveries, (*CHANGES, other)) == {}


def test_recovery_is_asked_for_by_who_knows_of_trouble():
    webhook = Webhook("hook", ("error",), notify_recovery=True)
    again = (change("c4", "warning", "active", 4), change("c5", "active", "warning", 5))

    assert [one.id for one in asked_for(webhook, (*CHANGES, *again))] == ["c2", "c3"]


def test_gap_between_changes_breaks_the_chain():
    found = look((told("c1"),), (FIRST, change("c3", "active", "error", 3)))

    assert found == {"broken_chain": ["a warning, then error to active"]}


def test_first_change_goes_on_from_initializing():
    assert look((), (change("c1", "active", "warning"),)) == {"broken_chain": ["a begins with warning"]}


def test_message_that_says_something_else_is_unfit():
    webhook = Webhook("hook", show=lambda body: body["to"], expect=lambda changes: changes[0].status)
    deliveries = (told("c1"), told("c2"))
    messages = [Message("d-c1", "hook", 1, {"to": "warning"}), Message("d-c2", "hook", 2, {"to": "active"})]

    found = look(deliveries, webhook=webhook, messages=messages)

    assert found == {"unfit": ["hook: d-c2 says active, not error"]}


def test_message_without_its_credentials_is_unfit():
    deliveries = (told("c1"), told("c2"))
    messages = [Message("d-c1", "hook", 1, {}, wrong="has a wrong signature"), Message("d-c2", "hook", 2, {})]

    assert look(deliveries, messages=messages) == {"unfit": ["hook: d-c1 has a wrong signature"]}


# --- damping ---------------------------------------------------------------------------------------------------------

FLAPPING = (FIRST, SECOND_ONE, THIRD, change("c4", "warning", "active", 4), change("c5", "error", "warning", 5))


def test_damped_changes_may_stay_untold_when_the_end_is_told():
    assert look((told("c1", made_at=1), told("c2", made_at=2)), FLAPPING, damping=60.0) == {}


def test_end_that_was_never_told_is_untold():
    found = look((told("c2", made_at=2), told("c4", made_at=4)), FLAPPING, damping=60.0)

    assert found == {"untold": ["hook: a ended as error, and warning was told last"]}


def test_recovery_at_the_end_is_told_whatever_the_damping():
    webhook = Webhook("hook", notify_recovery=True)

    found = look((told("c1"), told("c2")), CHANGES, webhook=webhook, damping=60.0)

    assert found == {"untold": ["hook: a ended as active, and error was told last"]}


def test_same_state_within_the_damping_is_undamped():
    deliveries = tuple(told(f"c{number}", made_at=number) for number in (1, 2, 4, 5))

    found = look(deliveries, FLAPPING, damping=60.0)

    assert found == {"undamped": ["hook: a warning again after 3.00 s", "hook: a error again after 3.00 s"]}


# --- digests ---------------------------------------------------------------------------------------------------------

DIGEST = Webhook("hook", is_digest=True)


def test_digest_tells_every_change_that_is_asked_for():
    assert look((told("c1", "c2"),), webhook=DIGEST, damping=60.0) == {}


def test_change_missing_in_the_digest_is_untold():
    assert look((told("c2"),), webhook=DIGEST, damping=60.0) == {"untold": ["hook: a c1 warning"]}


# --- runs and kills --------------------------------------------------------------------------------------------------


def run(number: int, fails: bool, about: str = "a") -> EndedRun:
    kind = "told" if fails else None
    return EndedRun(about, "failed" if fails else "succeeded", number, number * SECOND, kind)


def look_at_runs(changes: tuple[Change, ...], state: str, fails: list[bool], counted: int = 2) -> dict[str, list[str]]:
    setting = Setting((), {"a": "webhook-trigger"}, rules={"a": RULES}, counted={"a": "told"})
    audit = NotifyingAudit(setting, [])
    runs = {f"e{number}": run(number, failed) for number, failed in enumerate(fails, 1)}
    issues = (("a", "run:told:check", counted),)
    audit.at_end((), NotifyingRecord(runs=runs, changes=changes, states={"a": state}, issues=issues))
    return audit.findings.problems()


def test_states_follow_from_the_last_runs():
    assert states_of(RULES, [False, True, True, False, False, False, False]) == [
        *("active", "warning", "error", "error", "error", "error", "warning")
    ]


def test_changes_that_runs_explain_give_no_finding():
    assert look_at_runs((FIRST, SECOND_ONE), "error", [True, True]) == {}


def test_change_that_no_run_explains_is_unfounded():
    found = look_at_runs((FIRST, change("c2", "active", "warning", 2)), "error", [True, True])

    assert found == {"unfounded": [f"a active at {2 * SECOND}: no run explains it"]}


def test_final_state_that_runs_do_not_say_is_unfounded():
    found = look_at_runs((FIRST,), "warning", [True, True])

    assert found == {"unfounded": ["a is warning, its runs say error"]}


def test_failure_that_was_counted_twice_is_found():
    found = look_at_runs((FIRST, SECOND_ONE), "error", [True, True], counted=3)

    assert found == {"miscounted": ["a: 2 runs failed, 3 were counted"]}


def findings_after(kill: NotifyingRecord, end: NotifyingRecord, messages: list[Message]) -> NotifyingFindings:
    audit = NotifyingAudit(Setting((HOOK,), {"a": "webhook-trigger"}), messages)
    audit.after_kill({"e1"}, 0, kill)
    audit.at_end({"e1"}, end)
    return audit.findings


def test_acknowledged_event_that_is_not_recorded_is_lost():
    findings = findings_after(NotifyingRecord(), NotifyingRecord(runs={"e1": run(1, False)}), [])

    assert findings.problems() == {"lost": ["e1"]}


def test_message_after_its_record_is_repeated():
    record = NotifyingRecord(runs={"e1": run(1, True)}, changes=(FIRST,), told=(told("c1"),))

    findings = findings_after(record, record, messages_for((told("c1"),)))

    assert findings.problems() == {"repeated": ["d-c1"]}


def test_change_that_was_written_over_is_altered():
    before = NotifyingRecord(runs={"e1": run(1, True)}, changes=(replace(FIRST, at=5),), told=(told("c1"),))
    after = replace(before, changes=(FIRST,))
    audit = NotifyingAudit(Setting((), {}), [])

    audit.after_kill((), 0, before)
    audit.after_kill((), 0, after)

    assert audit.findings.problems() == {"altered": ["c1"]}


def test_whatever_still_waits_is_unfinished():
    waits = NotifyingRecord(
        runs={"e1": EndedRun("a", "queued")},
        changes=(FIRST,),
        told=(told("c1", state="queued"),),
        held=(("nwh_1", "a"),),
        outcomes=2,
    )
    audit = NotifyingAudit(Setting((), {}), [])

    audit.at_end((), waits)

    assert audit.findings.unfinished == ["e1", "d-c1 queued", "held for nwh_1 about a", "2 outcomes"]
    assert not waits.is_quiet
