"""Health in the record: what came of runs is taken in once, whoever judges, and changes land with what they tell."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest
from sqlalchemy import Connection, insert, select, update

from crossdock.clock import new_id
from crossdock.model.health import Facts, Health, HealthStatus, Issue, Watched
from crossdock.model.integration import HealthRules, RejectedCalls
from crossdock.model.outcome import Failure
from crossdock.model.states import RunMove
from crossdock.model.time import later
from crossdock.store import Store, open_store, schema
from crossdock.store.health import (
    OUTCOMES_AT_ONCE,
    Deed,
    Evaluated,
    Means,
    acknowledge_issue,
    effective_status,
    evaluate,
    health_of_many,
    history_page,
    issues_of,
    read_health,
    resolve_issue,
    snooze_issue,
)
from crossdock.store.health_rows import lock_kept, read_changes
from tests.support.held import HeldClock
from tests.support.postgres import ForeignServer
from tests.support.runs import REFUSED, Runs, add_integration, count

INITIALIZING, ACTIVE, WARNING, ERROR, DISABLED = HealthStatus
MEANS = Means(new_id)
WATCHED = Watched("int_a", HealthRules())


class Judge:
    """Lets runs of an integration end, and judges."""

    def __init__(self, store: Store, clock: HeldClock) -> None:
        self.store = store
        self.clock = clock
        self.runs = Runs(store, clock.now)

    async def end(self, *failures: Failure | None, integration_id: str = "int_a") -> None:
        """Runs end one commit after the other: None for one that goes well."""
        await self.store.write(add_missing, integration_id)
        for failure in failures:
            run = await self.runs.leased(integration_id)
            await self.runs.settle(run, RunMove.FAIL if failure else RunMove.SUCCEED, failure=failure)

    async def judge(self, *watched: Watched, facts: Mapping[str, Facts] | None = None) -> Evaluated:
        return await self.store.write(evaluate, watched or [WATCHED], facts or {}, self.clock.now, MEANS)

    async def health(self, integration_id: str = "int_a") -> Health:
        known = await self.store.read(read_health, integration_id)
        assert known is not None
        return known

    async def open_issue(self) -> Issue:
        (issue,) = (await self.health()).issues
        return issue

    def deed(self, note: str | None = None) -> Deed:
        return Deed("ada", note, self.clock.now)


def add_missing(connection: Connection, integration_id: str) -> None:
    if not connection.execute(select(schema.integration).where(schema.integration.c.id == integration_id)).first():
        add_integration(connection, integration_id)


@pytest.fixture
def yard(store: Store, clock: HeldClock) -> Judge:
    return Judge(store, clock)


# --- judging ---------------------------------------------------------------------------------------------------------


async def test_ends_of_runs_become_health_issue_and_history(yard: Judge) -> None:
    await yard.end(None, REFUSED)

    done = await yard.judge()

    assert [(change.previous_status, change.status) for change in done.changes] == [
        (INITIALIZING, ACTIVE),
        (ACTIVE, WARNING),
    ]
    assert await yard.store.read(history_page, "int_a") == list(reversed(done.changes))
    assert await yard.store.read(read_changes, [c.id for c in done.changes]) == {c.id: c for c in done.changes}
    issue = await yard.open_issue()
    assert issue.message == "1 of the last 2 runs failed: assert at step check: the order has no lines"
    assert await yard.store.read(issues_of, "int_a", are_open=True) == [issue]
    assert await yard.store.read(count, "outcome") == 0


async def test_what_is_known_is_read_back_as_it_was_written(yard: Judge) -> None:
    rules = HealthRules(silence=60.0, rejected_calls=RejectedCalls(5, 60.0))
    watched = Watched("int_a", rules)
    await yard.end(None, None, REFUSED, None, Failure("\u2603", 'it\'s "that"\n\ufffd', None))
    facts = Facts(last_event_at=yard.clock.now, refused={"unauthorized": 3}, blocked=(2, "evt_1"))

    await yard.judge(watched, facts={"int_a": facts})
    first = await yard.health()
    again = await yard.judge(watched, facts={"int_a": facts})

    assert (again.changes, await yard.health()) == ((), first)
    assert [issue.key for issue in first.issues] == ["blocked", "run:assert:check", "run:\u2603:"]
    assert first.marks.refusals[0].totals == {"unauthorized": 3}


async def test_an_evaluation_that_fails_takes_nothing_in_and_counts_nothing_twice(yard: Judge) -> None:
    await yard.end(REFUSED)

    def cut(connection: Connection) -> None:
        evaluate(connection, [WATCHED], {}, yard.clock.now, MEANS)
        raise KeyboardInterrupt("the process is killed before the commit")

    with pytest.raises(RuntimeError, match="killed"):
        await yard.store.write(_as_error, cut)
    assert await yard.store.read(read_health, "int_a") is None
    await yard.judge()

    assert (await yard.open_issue()).count == 1
    assert await yard.store.read(count, "health_change") == 1


def _as_error(connection: Connection, cut: object) -> None:
    try:
        cut(connection)  # type: ignore[operator]
    except KeyboardInterrupt as error:
        raise RuntimeError(str(error)) from error


async def test_an_issue_that_is_over_is_kept_and_a_new_one_has_the_key(yard: Judge) -> None:
    watched = Watched("int_a", HealthRules(window=2))
    await yard.end(None, REFUSED)
    await yard.judge(watched)
    first = await yard.open_issue()

    yard.clock.advance(5)
    yard.runs.now = yard.clock.now
    await yard.end(None, None)
    await yard.judge(watched)
    await yard.end(REFUSED)
    await yard.judge(watched)

    (ended,) = await yard.store.read(issues_of, "int_a", are_open=False)
    assert (ended.id, ended.resolved_at, ended.resolved_by) == (first.id, yard.clock.now, None)
    assert (await yard.open_issue()).id != first.id


async def test_many_integrations_are_judged_in_one_transaction(yard: Judge) -> None:
    names = [f"int_{n}" for n in range(30)]
    for name in names:
        await yard.end(REFUSED, integration_id=name)

    done = await yard.judge(*(Watched(name, HealthRules()) for name in reversed(names)))

    assert sorted(change.integration_id for change in done.changes) == sorted(names)
    states = await yard.store.read(health_of_many, [*names, "int_unknown"])
    assert {state.status for state in states.values()} == {WARNING}
    assert {state.open_issues for state in states.values()} == {1}
    assert sorted(states) == sorted(names)


async def test_a_long_queue_of_outcomes_is_taken_in_bit_by_bit(yard: Judge) -> None:
    rows = [
        {"integration_id": "int_a", "token": f"{n:06}", "kind": "run", "at": n, "content": "[3]"}
        for n in range(OUTCOMES_AT_ONCE + 1)
    ]
    await yard.store.write(add_missing, "int_a")
    await yard.store.write(lambda connection: connection.execute(insert(schema.outcome), rows) and None)

    first = await yard.judge()
    second = await yard.judge()

    assert (first.has_more, second.has_more) == (True, False)
    assert await yard.store.read(count, "outcome") == 0


async def test_integrations_with_outcomes_that_are_not_asked_about_are_left_alone(yard: Judge) -> None:
    await yard.end(REFUSED, integration_id="int_b")

    await yard.judge()

    assert await yard.store.read(count, "outcome") == 1


@pytest.fixture
async def pg_pair(
    postgres: ForeignServer, postgres_template: str, anyio_backend: str
) -> AsyncIterator[tuple[Store, Store]]:
    """Two nodes on one PostgreSQL."""
    name = postgres.create_database(postgres_template)
    async with open_store(postgres.url(name)) as here, open_store(postgres.url(name)) as there:
        yield here, there
    postgres.drop_database(name)


async def test_who_knows_other_settings_than_the_record_leaves_an_integration_alone(yard: Judge) -> None:
    await yard.end(REFUSED)
    newer = replace(WATCHED, revision=2)
    await yard.store.write(lambda c: c.execute(update(schema.integration).values(revision=2)) and None)

    old = await yard.judge(WATCHED)
    gone = await yard.judge(Watched("int_gone", HealthRules()))
    new = await yard.judge(newer)

    assert old.passed_over == {"int_a"}
    assert gone.passed_over == {"int_gone"}
    assert [change.status for change in new.changes] == [WARNING]
    assert await yard.store.read(count, "health") == 1


# --- several nodes ---------------------------------------------------------------------------------------------------


async def test_what_another_node_is_judging_is_passed_over_and_counted_once(pg_pair: tuple[Store, Store]) -> None:
    here, there = pg_pair
    clock = HeldClock()
    yard = Judge(here, clock)
    await yard.end(None)
    await yard.judge()
    await yard.end(REFUSED)
    go_on, is_held = threading.Event(), threading.Event()

    def hold(connection: Connection) -> Evaluated:
        done = evaluate(connection, [WATCHED], {}, clock.now, MEANS)
        is_held.set()
        go_on.wait(20)
        return done

    first = asyncio.ensure_future(there.write(hold))
    await asyncio.to_thread(is_held.wait, 20)
    passed = await yard.judge()
    go_on.set()

    assert passed.passed_over == {"int_a"}
    assert passed.changes == ()
    assert [change.status for change in (await first).changes] == [WARNING]
    assert (await yard.judge()).changes == ()
    assert (await yard.open_issue()).count == 1


async def test_nodes_that_judge_at_once_lose_nothing_and_count_nothing_twice(pg_pair: tuple[Store, Store]) -> None:
    watched = [Watched(f"int_{n}", HealthRules(window=1_000, error_failures=1_000)) for n in range(4)]
    clock = HeldClock()
    judges = [Judge(store, clock) for store in pg_pair]
    for one in watched:
        await judges[0].store.write(add_missing, one.integration_id)

    async def work(judge: Judge) -> None:
        for number in range(40):
            await judge.end(REFUSED, integration_id=f"int_{number % 4}")
            await judge.judge(*watched)

    await asyncio.gather(*map(work, judges))
    await judges[0].judge(*watched)

    for one in watched:
        health = await judges[0].health(one.integration_id)
        assert [issue.count for issue in health.issues] == [20]
        history = await judges[0].store.read(history_page, one.integration_id)
        assert [change.status for change in history] == [WARNING]


# --- what people do --------------------------------------------------------------------------------------------------


async def test_somebody_acknowledges_an_issue(yard: Judge) -> None:
    await yard.end(REFUSED)
    await yard.judge()
    issue = await yard.open_issue()

    seen = await yard.store.write(acknowledge_issue, "int_a", issue.id, yard.deed("looking at it"))

    assert seen == await yard.open_issue()
    assert (seen.acknowledged_by, seen.acknowledged_at, seen.note) == ("ada", yard.clock.now, "looking at it")
    assert await yard.store.write(acknowledge_issue, "int_a", "iss_other", yard.deed()) is None
    assert await yard.store.write(acknowledge_issue, "int_b", issue.id, yard.deed()) is None


async def test_a_snooze_makes_its_change_and_its_end_another(yard: Judge) -> None:
    await yard.end(None, REFUSED)
    await yard.judge()
    issue = await yard.open_issue()
    until = later(yard.clock.now, 60)

    acted = await yard.store.write(snooze_issue, WATCHED, issue.id, until, yard.deed("moving"), MEANS)

    assert [change.status for change in acted.changes] == [ACTIVE]
    assert acted.issue == await yard.open_issue()
    assert (acted.issue.snoozed_until, acted.issue.snoozed_by, acted.issue.snooze_note) == (until, "ada", "moving")
    yard.clock.advance(60)
    assert [change.status for change in (await yard.judge()).changes] == [WARNING]


async def test_a_snooze_can_be_taken_back(yard: Judge) -> None:
    await yard.end(None, REFUSED)
    await yard.judge()
    issue = await yard.open_issue()
    await yard.store.write(snooze_issue, WATCHED, issue.id, later(yard.clock.now, 60), yard.deed(), MEANS)

    acted = await yard.store.write(snooze_issue, WATCHED, issue.id, None, yard.deed(), MEANS)

    assert [change.status for change in acted.changes] == [WARNING]


async def test_resolving_takes_in_what_has_happened_before_it(yard: Judge) -> None:
    await yard.end(None, REFUSED)
    await yard.judge()
    issue = await yard.open_issue()
    await yard.end(REFUSED, REFUSED)

    acted = await yard.store.write(resolve_issue, WATCHED, issue.id, yard.deed("restarted"), MEANS)

    assert [change.status for change in acted.changes] == [ACTIVE]
    (ended,) = await yard.store.read(issues_of, "int_a", are_open=False)
    assert (ended.count, ended.resolved_by, ended.resolve_note) == (3, "ada", "restarted")
    assert acted.issue == ended
    assert (await yard.judge()).changes == ()


async def test_an_issue_that_is_over_by_itself_can_not_be_acted_on(yard: Judge) -> None:
    watched = Watched("int_a", HealthRules(window=1))
    await yard.end(REFUSED)
    await yard.judge(watched)
    issue = await yard.open_issue()
    await yard.end(None)

    acted = await yard.store.write(resolve_issue, watched, issue.id, yard.deed(), MEANS)

    assert acted.issue is None
    assert [change.status for change in acted.changes] == [ACTIVE]


# --- what people ask -------------------------------------------------------------------------------------------------


async def test_lists_know_the_state_that_counts(yard: Judge) -> None:
    await yard.store.write(_add_integrations, ["int_a", "int_new", "int_off", "int_on"])
    await yard.end(REFUSED)
    await yard.judge(WATCHED, Watched("int_on", HealthRules(), enabled=False))

    def states(connection: Connection) -> dict[str, str]:
        rows = connection.execute(select(schema.integration.c.id, effective_status().label("state")))
        return {row.id: row.state for row in rows}

    assert await yard.store.read(states) == {
        "int_a": "warning",
        "int_new": "initializing",
        "int_off": "disabled",
        "int_on": "initializing",
    }


def _add_integrations(connection: Connection, names: list[str]) -> None:
    for name in names:
        add_missing(connection, name)
    off = update(schema.integration).where(schema.integration.c.id == "int_off")
    connection.execute(off.values(enabled=False))


async def test_history_and_issues_are_read_page_by_page(yard: Judge) -> None:
    watched = Watched("int_a", HealthRules(window=1))
    for failure in itertools.islice(itertools.cycle([REFUSED, None]), 6):
        await yard.end(failure)
        await yard.judge(watched)

    first = await yard.store.read(history_page, "int_a", limit=4)
    rest = await yard.store.read(history_page, "int_a", before=first[-1].id, limit=4)
    issues = await yard.store.read(issues_of, "int_a", are_open=False, limit=2)
    older = await yard.store.read(issues_of, "int_a", are_open=False, before=issues[-1].id, limit=2)

    states = [change.status for change in (*first, *rest)]
    assert states == [ACTIVE, WARNING] * 3
    assert (len(issues), len(older)) == (2, 1)


async def test_a_health_that_was_never_judged_is_not_known(store: Store) -> None:
    assert await store.read(read_health, "int_a") is None
    assert await store.read(issues_of, "int_a", are_open=True) == []


async def test_a_new_health_begins_when_it_is_first_judged(yard: Judge) -> None:
    await yard.store.write(lambda c: lock_kept(c, ["int_a"], yard.clock.now, skips_locked=False) and None)

    known = await yard.health()

    assert (known.status, known.since) == (INITIALIZING, yard.clock.now)
