"""The store beside a pure model of it: whatever is done in whatever order, both say the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, delete, select

from crossdock.model.run import MAX_LOSSES
from crossdock.model.states import FINAL_RUN_STATES, RUN_MOVES, RunMove, RunState, WaitingFor, run_after
from crossdock.model.time import SECOND, Instant
from crossdock.store import schema
from crossdock.store.accept import Accept, Accepted, Lease
from crossdock.store.claims import Claim, cancel_run, cancel_waiting, claim_quarantined, end_delays, rescue_runs
from crossdock.store.database import open_database
from crossdock.store.lanes import (
    LaneBurst,
    LaneClaim,
    LaneRelease,
    LaneTurn,
    acquire_lanes,
    park_run,
    release_run,
    skip_run,
)
from crossdock.store.settle import Checkpoint, Settle
from tests.support.held import START
from tests.support.runs import NODE, OTHER_NODE, a_step, add_integration, an_entry, an_event

NODES = st.sampled_from([NODE, OTHER_NODE])
LANES = st.sampled_from([None, None, "a", "b"])
ENDS = st.sampled_from(
    [RunMove.SUCCEED, RunMove.FAIL, RunMove.RETRY, RunMove.DELAY, RunMove.BLOCK, RunMove.HAND_BACK, RunMove.CANCEL]
)
WAITS = {RunMove.DELAY: WaitingFor.DELAY, RunMove.BLOCK: WaitingFor.OPERATOR, RunMove.PARK: WaitingFor.PARKED}
CLAIMABLE = (RunState.QUEUED, RunState.RETRYING)


@dataclass(frozen=True)
class Expected:
    """A run as the model has it."""

    state: RunState
    due_at: Instant
    order: int
    """Of acceptance."""
    lane: str | None = None
    place: int | None = None
    attempts: int = 0
    losses: int = 0
    node: str | None = None
    token: str | None = None
    waiting_for: str | None = None
    is_to_stop: bool = False
    """Somebody asked the node that works on it to stop it."""

    def moved(self, move: RunMove, **more: Any) -> Expected:
        """After a move that the table allows: free of its lease and of what it waited for, unless said otherwise."""
        target = run_after(move, self.state)
        waiting_for = WAITS[move].value if move in WAITS else None
        return replace(self, **{"state": target, "node": None, "token": None, "waiting_for": waiting_for, **more})

    def is_claimable(self, now: Instant) -> bool:
        """What is queued waits for nobody, whatever clock stamped it."""
        return self.state is RunState.QUEUED or (self.state is RunState.RETRYING and self.due_at <= now)

    def can(self, move: RunMove) -> bool:
        return self.state in RUN_MOVES[move][0]


@dataclass(frozen=True)
class ExpectedLane:
    """A lane as the model has it."""

    owner: str | None = None
    token: str | None = None
    last: int = 0
    """The last place given."""
    dormant: bool = False

    @property
    def is_free(self) -> bool:
        return self.owner is None and not self.dormant


class StoreMachine(RuleBasedStateMachine):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.database = open_database(url)
        self.connection = self.database.writer.connect()
        self.now = START
        self.runs: dict[str, Expected] = {}
        self.histories: dict[str, int] = {}
        self.lanes: dict[str, ExpectedLane] = {}
        self.tokens = 0

    def teardown(self) -> None:
        self.connection.close()
        self.database.dispose()

    def act(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Carry out a change in a transaction, as the recorder does."""
        begin = "BEGIN IMMEDIATE" if self.database.dialect == "sqlite" else "BEGIN"
        self.connection.exec_driver_sql(begin)
        answer = work(self.connection, *arguments)
        self.connection.exec_driver_sql("COMMIT")
        return answer

    def record(self, change: Any) -> Any:
        return self.act(type(change).record, [change])[0]

    def token(self) -> str:
        self.tokens += 1
        return f"token-{self.tokens}"

    def pick(self, data: st.DataObject, *states: RunState) -> str:
        wanted = [i for i, run in self.runs.items() if not states or run.state in states]
        return data.draw(st.sampled_from(wanted or list(self.runs)))

    def head_of(self, lane: str) -> str | None:
        waiting = [
            (run.place, i) for i, run in self.runs.items() if run.lane == lane and run.state not in FINAL_RUN_STATES
        ]
        return min(waiting)[1] if waiting else None

    @initialize()
    def empty(self) -> None:
        self.act(_empty)

    # --- what comes in ---

    @rule(lane=LANES, node=NODES, offers=st.booleans(), count=st.integers(1, 3))
    def accept(self, lane: str | None, node: str, offers: bool, count: int) -> None:
        leases = [Lease(node, self.token()) if offers else None for _ in range(count)]
        changes = [Accept(an_event(self.now), 1, lease=lease, lane_key=lane) for lease in leases]
        answers = self.act(Accept.record, changes)
        for change, answer in zip(changes, answers, strict=True):
            assert isinstance(answer, Accepted)
            self._expect_accepted(change, answer, leases[-1])

    def _expect_accepted(self, change: Accept, answer: Accepted, offered: Lease | None) -> None:
        run = Expected(RunState.QUEUED, self.now, len(self.runs))
        if change.lane_key is not None:
            name = f"int_a:{change.lane_key}"
            lane = self.lanes.get(name, ExpectedLane())
            if lane.owner is None and offered is not None:
                lane = replace(lane, owner=offered.node_id, token=offered.token)
            self.lanes[name] = lane = replace(lane, last=lane.last + 1, dormant=False)
            run = replace(run, lane=name, place=lane.last)
            is_ours = change.lease is not None and lane.owner == change.lease.node_id
            assert answer.lane_token == (lane.token if is_ours else None)
        elif change.lease is not None:
            run = replace(run, state=RunState.RUNNING, attempts=1, node=change.lease.node_id, token=change.lease.token)
        assert (answer.run is not None) == (run.state is RunState.RUNNING)
        self.runs[change.event.id] = run

    # --- what is taken ---

    @rule(node=NODES, slots=st.integers(1, 3))
    def claim(self, node: str, slots: int) -> None:
        tokens = tuple(self.token() for _ in range(slots))
        claimed = self.record(Claim("int_a", node, tokens, self.now))
        due = sorted(
            (run.due_at, event_id)
            for event_id, run in self.runs.items()
            if run.lane is None and run.is_claimable(self.now) and run.losses == 0
        )
        assert [run.event.id for run in claimed] == [event_id for _, event_id in due[:slots]]
        for run in claimed:
            self._expect_taken(run.event.id, node, run.lease_token)

    @rule(node=NODES)
    def claim_one_that_was_lost(self, node: str) -> None:
        token = self.token()
        claimed = self.act(claim_quarantined, node, token, self.now)
        due = sorted(
            (run.due_at, event_id)
            for event_id, run in self.runs.items()
            if run.lane is None and run.is_claimable(self.now) and run.losses > 0
        )
        assert (claimed.event.id if claimed else None) == (due[0][1] if due else None)
        if claimed:
            self._expect_taken(claimed.event.id, node, token)

    def _expect_taken(self, event_id: str, node: str, token: str) -> None:
        run = self.runs[event_id]
        self.runs[event_id] = run.moved(RunMove.CLAIM, node=node, token=token, attempts=run.attempts + 1)

    @precondition(lambda self: self.lanes)
    @rule(data=st.data(), is_owner=st.booleans(), end=ENDS, burst=st.booleans())
    def take_head_of_lane(self, data: st.DataObject, is_owner: bool, end: RunMove, burst: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.lanes)))
        event_id = self.head_of(name)
        if event_id is None:
            return
        lane = self.lanes[name]
        is_owner = is_owner and lane.owner is not None
        node, token = lane.owner or NODE, self.token()
        claim = LaneClaim(event_id, token, node, self.now, str(lane.token) if is_owner else "stale")
        lands = is_owner and self.runs[event_id].state in CLAIMABLE
        if burst:
            settle = self._settle(event_id, token, end)
            assert self.record(LaneBurst(((claim, settle),))) == (lands,)
        else:
            assert self.record(LaneTurn(None, claim)) == (True, lands)
        if lands:
            self._expect_taken(event_id, node, token)
            if burst:
                self._expect_settled(event_id, end)

    # --- what ends ---

    def _settle(self, event_id: str, token: str, move: RunMove) -> Settle:
        position = self.histories.get(event_id, 0)
        return Settle(event_id, "int_a", token, move, self.now, self.now + SECOND, entry=an_entry(position, a_step()))

    def _expect_settled(self, event_id: str, move: RunMove) -> None:
        run = self.runs[event_id]
        uncounted = 1 if move in (RunMove.HAND_BACK, RunMove.DELAY) else 0
        is_stopped = run.is_to_stop and move in (RunMove.RETRY, RunMove.DELAY, RunMove.HAND_BACK)
        made = RunMove.CANCEL if is_stopped else move
        moved = run.moved(made, attempts=run.attempts - uncounted, due_at=self.now + SECOND)
        self.runs[event_id] = moved
        self.histories[event_id] = self.histories.get(event_id, 0) + 1

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), move=ENDS, is_stale=st.booleans())
    def settle(self, data: st.DataObject, move: RunMove, is_stale: bool) -> None:
        event_id = self.pick(data, RunState.RUNNING)
        run = self.runs[event_id]
        token = "stale" if is_stale or run.token is None else run.token

        landed = self.record(self._settle(event_id, token, move))

        assert landed == (run.state is RunState.RUNNING and token == run.token)
        if landed:
            self._expect_settled(event_id, move)

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), is_stale=st.booleans())
    def checkpoint(self, data: st.DataObject, is_stale: bool) -> None:
        event_id = self.pick(data, RunState.RUNNING)
        run = self.runs[event_id]
        token = "stale" if is_stale or run.token is None else run.token
        position = self.histories.get(event_id, 0)

        landed = self.record(Checkpoint(event_id, token, an_entry(position, a_step())))

        assert landed == (run.state is RunState.RUNNING and token == run.token)
        if landed:
            self.histories[event_id] = position + 1

    # --- nodes that die ---

    @rule(dead=NODES)
    def rescue(self, dead: str) -> None:
        token = self.token()
        rescued = self.act(rescue_runs, [dead], "node_rescuer", self.now, token)
        lost, queued = set(), 0
        for event_id, run in self.runs.items():
            if run.node != dead:
                continue
            losses = run.losses + 1
            if run.is_to_stop:
                self.runs[event_id] = run.moved(RunMove.CANCEL)
            elif losses >= MAX_LOSSES:
                self.runs[event_id] = replace(run, losses=losses, node="node_rescuer", token=token)
                lost.add(event_id)
            else:
                self.runs[event_id] = run.moved(RunMove.RESCUE, losses=losses, due_at=self.now)
                queued += 1
        for name, lane in self.lanes.items():
            if lane.owner == dead:
                self.lanes[name] = replace(lane, owner=None, token=None)
        assert (rescued.queued, {run.event.id for run in rescued.lost}) == (queued, lost)

    @rule(node=NODES)
    def adopt_lanes(self, node: str) -> None:
        adopted = self.act(acquire_lanes, node, [self.token() for _ in range(5)])
        assert {name for name, _, _ in adopted} == {name for name, lane in self.lanes.items() if lane.is_free}
        for name, _, token in adopted:
            self.lanes[name] = replace(self.lanes[name], owner=node, token=token)

    @precondition(lambda self: self.lanes)
    @rule(data=st.data(), is_stale=st.booleans())
    def let_lane_sleep(self, data: st.DataObject, is_stale: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.lanes)))
        lane, head = self.lanes[name], self.head_of(name)
        can_go_on = head is not None and self.runs[head].waiting_for != WaitingFor.OPERATOR

        landed = self.record(LaneRelease(name, "stale" if is_stale else str(lane.token)))

        assert landed == (lane.owner is not None and not is_stale and not can_go_on)
        if landed:
            self.lanes[name] = replace(lane, owner=None, token=None, dormant=True)

    # --- operators ---

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), move=st.sampled_from([RunMove.RELEASE, RunMove.SKIP, RunMove.PARK, RunMove.CANCEL]))
    def operate(self, data: st.DataObject, move: RunMove) -> None:
        event_id = self.pick(data)
        run = self.runs[event_id]
        changes: dict[RunMove, tuple[Any, ...]] = {
            RunMove.RELEASE: (release_run, event_id, self.now),
            RunMove.SKIP: (skip_run, event_id, self.now, ""),
            RunMove.PARK: (park_run, event_id),
            RunMove.CANCEL: (cancel_waiting, event_id, self.now),
        }

        landed = self.act(*changes[move])

        if run.lane is not None:
            self.lanes[run.lane] = replace(self.lanes[run.lane], dormant=False)
        assert landed == (run.can(move) and run.state is not RunState.RUNNING)
        if landed:
            more: dict[RunMove, dict[str, Any]] = {
                RunMove.RELEASE: {"due_at": self.now, "attempts": 0, "is_to_stop": False},
                RunMove.PARK: {"lane": None, "place": None},
            }
            self.runs[event_id] = run.moved(move, **more.get(move, {}))

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        event_id = self.pick(data, RunState.RUNNING)
        run = self.runs[event_id]

        became = self.act(cancel_run, event_id, self.now)

        if run.lane is not None:
            self.lanes[run.lane] = replace(self.lanes[run.lane], dormant=False)
        if run.state in FINAL_RUN_STATES:
            assert became is None
        elif run.state is RunState.RUNNING:
            assert became is RunState.RUNNING
            self.runs[event_id] = replace(run, is_to_stop=True)
        else:
            assert became is RunState.CANCELED
            self.runs[event_id] = run.moved(RunMove.CANCEL)

    # --- time ---

    @rule(seconds=st.sampled_from([0.5, 1, 5]))
    def time_passes(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)

    @rule()
    def delays_end(self) -> None:
        lanes = self.act(end_delays, self.now)
        over = [i for i, run in self.runs.items() if run.waiting_for == WaitingFor.DELAY and run.due_at <= self.now]
        assert sorted(lanes) == sorted(run.lane for i in over if (run := self.runs[i]).lane is not None)
        for event_id in over:
            self.runs[event_id] = self.runs[event_id].moved(RunMove.RELEASE)

    # --- what always holds ---

    @invariant()
    def both_say_the_same(self) -> None:
        found = {row.event_id: row for row in self.connection.execute(select(schema.run))}
        assert found.keys() == self.runs.keys()
        for event_id, run in self.runs.items():
            row = found[event_id]
            stored = (
                row.state,
                row.lane_id,
                row.lane_sequence,
                row.attempts,
                row.losses,
                row.lease_node,
                row.lease_token,
            )
            assert stored == (run.state, run.lane, run.place, run.attempts, run.losses, run.node, run.token)
            assert row.waiting_for == run.waiting_for
            assert row.cancel_requested == run.is_to_stop
            assert (row.finished_at is not None) == (run.state in FINAL_RUN_STATES)
            if run.state in CLAIMABLE:
                assert row.due_at == run.due_at

    @invariant()
    def a_lane_in_which_something_may_start_is_owned_or_free(self) -> None:
        found = {
            row.id: ExpectedLane(row.lease_node, row.lease_token, row.last_sequence, row.dormant)
            for row in self.connection.execute(select(schema.lane))
        }
        assert found == self.lanes
        for name, lane in self.lanes.items():
            head = self.head_of(name)
            assert not lane.dormant or head is None or self.runs[head].waiting_for == WaitingFor.OPERATOR

    @invariant()
    def histories_hold_what_landed(self) -> None:
        entries: dict[str, int] = {}
        for row in self.connection.execute(select(schema.journal.c.event_id)):
            entries[row.event_id] = entries.get(row.event_id, 0) + 1
        assert entries == self.histories

    @invariant()
    def a_lane_has_one_run_in_work_at_most(self) -> None:
        running = [run.lane for run in self.runs.values() if run.lane and run.state is RunState.RUNNING]
        assert len(running) == len(set(running))


def _empty(connection: Connection) -> None:
    for table in (
        schema.journal,
        schema.delivery,
        schema.run,
        schema.event,
        schema.lane,
        schema.dedupe,
        schema.integration,
    ):
        connection.execute(delete(table))
    add_integration(connection, "int_a")


QUICK = settings(
    deadline=None, report_multiple_bugs=False, stateful_step_count=40, suppress_health_check=list(HealthCheck)
)


def run(url: str, examples: int) -> None:
    class Machine(StoreMachine):
        def __init__(self) -> None:
            super().__init__(url)

    run_state_machine_as_test(Machine, settings=settings(QUICK, max_examples=examples))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_sqlite_does_what_the_model_says(database_url: str) -> None:
    run(database_url, examples=60)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_postgresql_does_what_the_model_says(database_url: str) -> None:
    run(database_url, examples=15)
