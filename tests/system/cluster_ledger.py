"""The accounts of a cluster, and whether they agree: callers, effects with who began them and when, database, history.

Everything rests on one rule, which holds for every fault: **who does something for a run or a delivery holds its lease
at that moment.** An effect outside of every lease of its node is `late`: a node that was frozen, or cut off, went on
with what was not its own any more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from crossdock.model.run import MAX_LOSSES
from crossdock.model.states import RunState
from tests.support.sink import Received
from tests.system.cluster_calling import CALL, ClusterPromises
from tests.system.history import FINAL, Change, History
from tests.system.ledger import Record

TOLERANCE = 2_000
"""Microseconds by which wall clock and moments may have been seen apart."""


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that a node began to do for a run (`step` names what) or a delivery (`step` is empty)."""

    subject: str
    """The event, or the delivery."""
    step: str
    place: str
    """Where it was done; empty when nobody could tell."""
    at: int
    lane: str = ""
    number: int = 0
    key: str = ""
    """The idempotency key that it carried."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """`place` stood still from `start` to `end`."""

    place: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Accounts:
    promises: ClusterPromises
    effects: Sequence[Deed]
    """What functions did."""
    calls: Sequence[Deed]
    """What `http` steps sent, as it arrived."""
    replies: Sequence[Deed]
    record: Record
    history: History
    freezes: Sequence[Freeze] = ()


@dataclass(slots=True)
class ClusterFindings:
    """What does not agree; every list has to stay empty."""

    lost: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    recorded_twice: list[str] = field(default_factory=list)
    """One call of a caller that insists became two events."""
    repeated: list[str] = field(default_factory=list)
    """Done again although it was recorded as done."""
    late: list[str] = field(default_factory=list)
    """Begun by a node that did not hold the lease."""
    stale: list[str] = field(default_factory=list)
    """Written by a node that did not hold the lease, or on what had ended."""
    taken_from_living: list[str] = field(default_factory=list)
    """Work that was taken from a node which nobody had declared dead."""
    changed_keys: list[str] = field(default_factory=list)
    without_effect: list[str] = field(default_factory=list)
    without_reply: list[str] = field(default_factory=list)
    hasty: list[str] = field(default_factory=list)
    """503 without Retry-After."""
    ended: list[str] = field(default_factory=list)
    """Nodes whose process ended although nobody killed it."""
    not_recovered: list[str] = field(default_factory=list)
    """Faults that the cluster did not come back from in time."""
    stumbled: list[str] = field(default_factory=list)
    """Errors in the nodes' logs that no fault explains."""
    unexpected: list[str] = field(default_factory=list)

    def problems(self) -> dict[str, list[str]]:
        named = {name: getattr(self, name) for name in self.__slots__}
        return {name: found[:5] for name, found in named.items() if found}


def audit(accounts: Accounts) -> ClusterFindings:
    """Everything is over: what does not agree."""
    found = ClusterFindings()
    promises, record = accounts.promises, accounts.record
    found.lost = [event for event in {**promises.accepted, **promises.answered} if event not in record.runs]
    found.lost += [f"{event} (its answer)" for event in promises.answered if not _has_succeeded(record, event)]
    found.unfinished = [*record.unfinished(), *record.open_deliveries()]
    found.failed = [
        f"{event} {run.state}"
        for event, run in record.runs.items()
        if run.state in FINAL and run.state != RunState.SUCCEEDED and run.losses < MAX_LOSSES
    ]
    found.out_of_order = [*out_of_turn(accounts), *numbers_out_of_order(accounts)]
    found.recorded_twice = recorded_twice(accounts)
    found.repeated = repeated(accounts)
    found.late = [describe(deed, accounts) for deed in late_deeds(accounts) if not was_under_way(deed, accounts)]
    found.stale, found.taken_from_living = foreign_changes(accounts.history)
    found.changed_keys = changed_keys([*accounts.calls, *accounts.replies])
    found.without_effect = without_effect(accounts)
    arrived = {reply.subject for reply in accounts.replies}
    found.without_reply = [key for key in record.deliveries if key not in arrived & record.delivered()]
    found.hasty, found.unexpected = list(promises.hasty), list(promises.unexpected)
    return found


# --- order -----------------------------------------------------------------------------------------------------------


def out_of_turn(accounts: Accounts) -> list[str]:
    """Deeds of a lane's run that began before the run ahead of it had ended."""
    ahead: dict[str, str] = {}
    lanes: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for event, run in accounts.record.runs.items():
        if run.lane is not None and run.sequence is not None:
            lanes[run.lane].append((run.sequence, event))
    for runs in lanes.values():
        order = [event for _, event in sorted(runs)]
        ahead |= {later: earlier for earlier, later in pairwise(order)}
    finished = accounts.history.finished
    return [
        f"{deed.subject} {deed.step} began before {ahead[deed.subject]} had ended"
        for deed in accounts.effects
        if deed.subject in ahead and deed.at + TOLERANCE < finished.get(ahead[deed.subject], 2**62)
    ]


def numbers_out_of_order(accounts: Accounts) -> list[str]:
    """Events of a lane whose order is not the one in which they were acknowledged to their one caller."""
    numbers: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for deed in accounts.effects:
        run = accounts.record.runs.get(deed.subject)
        if run is not None and run.lane is not None and run.sequence is not None:
            numbers[run.lane][run.sequence] = deed.number
    wrong = []
    for lane, by_sequence in numbers.items():
        order = [by_sequence[sequence] for sequence in sorted(by_sequence)]
        wrong += [f"{lane}: {b} after {a}" for a, b in pairwise(order) if b <= a]
    return wrong


def recorded_twice(accounts: Accounts) -> list[str]:
    """Numbers of callers with a lane that stand for more than one event."""
    events: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
    for deed in accounts.effects:
        run = accounts.record.runs.get(deed.subject)
        if run is not None and run.lane is not None:
            events[deed.lane, deed.number].add(deed.subject)
    return [f"{lane} {number}: {sorted(found)}" for (lane, number), found in events.items() if len(found) > 1]


# --- once ------------------------------------------------------------------------------------------------------------


def repeated(accounts: Accounts) -> list[str]:
    """Deeds that began after they had been recorded as done."""
    history = accounts.history
    steps = [
        f"{deed.subject} {deed.step} by {deed.place}"
        for deed in [*accounts.effects, *accounts.calls]
        if deed.at - TOLERANCE > history.recorded.get((deed.subject, deed.step), 2**62)
        and not was_under_way(deed, accounts)
    ]
    delivered = accounts.record.delivered()
    replies = [
        f"reply {deed.subject} by {deed.place}"
        for deed in accounts.replies
        if deed.subject in delivered
        and deed.at - TOLERANCE > history.finished.get(deed.subject, 2**62)
        and not was_under_way(deed, accounts)
    ]
    return steps + replies


def times_repeated(deeds: Iterable[Deed]) -> int:
    """How often something was done again, recorded or not: what at-least-once means."""
    seen = [(deed.subject, deed.step) for deed in deeds]
    return len(seen) - len(set(seen))


def changed_keys(deeds: Iterable[Deed]) -> list[str]:
    """Deeds that were done again under another idempotency key, or that have none."""
    keys: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for deed in deeds:
        keys[deed.subject, deed.step].add(deed.key)
    return [
        f"{subject} {step}: {sorted(used)}" for (subject, step), used in keys.items() if len(used) > 1 or "" in used
    ]


def without_effect(accounts: Accounts) -> list[str]:
    """Steps that were recorded as done and never were."""
    seen = {(deed.subject, deed.step) for deed in [*accounts.effects, *accounts.calls]}
    known = {deed.step for deed in accounts.effects} | {CALL}
    return [
        f"{event} {step}" for event, step in accounts.history.recorded if step in known and (event, step) not in seen
    ]


# --- leases ----------------------------------------------------------------------------------------------------------


def late_deeds(accounts: Accounts) -> list[Deed]:
    """Deeds that began while their node did not hold the lease."""
    holds = accounts.history.holds

    def is_held(deed: Deed) -> bool:
        return any(
            hold.start - TOLERANCE <= deed.at <= hold.end + TOLERANCE
            for hold in holds.get(deed.subject, ())
            if deed.place in ("", hold.place)
        )

    return [deed for deed in [*accounts.effects, *accounts.calls, *accounts.replies] if not is_held(deed)]


UNDER_WAY = 250_000
"""Microseconds after it goes on in which a frozen node ends what it was in the middle of."""


def was_under_way(deed: Deed, accounts: Accounts) -> bool:
    """Whether it is a message that a frozen node was in the middle of sending when it was stopped.

    A function notes itself when it begins. A message is seen only when it arrives: what arrives right after its node
    goes on had been decided on before.
    """
    if not deed.key:
        return False
    return any(f.place == deed.place and f.end <= deed.at <= f.end + UNDER_WAY for f in accounts.freezes)


def describe(deed: Deed, accounts: Accounts) -> str:
    """The deed, and what its node and its run went through around it."""
    holds = accounts.history.holds.get(deed.subject, [])
    told = ", ".join(f"{hold.place} {_ago(hold.start, deed)} to {_ago(hold.end, deed)}" for hold in holds)
    frozen = [f for f in accounts.freezes if f.place == deed.place and f.start <= deed.at]
    since = f"; frozen {_ago(frozen[-1].start, deed)} to {_ago(frozen[-1].end, deed)}" if frozen else ""
    return f"{deed.subject} {deed.step or 'reply'} by {deed.place or 'nobody known'}; held by {told or 'nobody'}{since}"


def _ago(at: int, deed: Deed) -> str:
    return "the end" if at >= 2**61 else f"{(at - deed.at) / 1e6:+.3f} s"


def foreign_changes(history: History) -> tuple[list[str], list[str]]:
    """Changes by others than the holder of the lease: stale ones, and takings from nodes that were not dead."""
    stale, taken = [], []
    changed = {(c.key, c.transaction, c.place) for c in history.changes if c.table == "run"}
    for change in history.changes:
        if change.table == "journal":
            with_the_run = (change.key, change.transaction, change.place) in changed
            if not with_the_run and not _is_holder(change, history):
                stale.append(f"journal of {change.key} by {change.place}")
        elif change.table in ("run", "delivery"):
            told = f"{change.key} from {change.state_before} to {change.state} by {change.place}"
            if change.state_before in FINAL and change.state != change.state_before:
                stale.append(told)
            elif change.node_before is None or change.place == history.place_of(change.node_before):
                continue
            elif not change.is_rescue:
                stale.append(told)
            elif _lived(change.node_before, change.at, history):
                taken.append(f"{change.key} from {change.node_before} by {change.place}")
    return stale, taken


def _is_holder(change: Change, history: History) -> bool:
    holds = history.holds.get(change.key, ())
    return any(hold.place == change.place and hold.start <= change.at <= hold.end for hold in holds)


def _lived(node: str, at: int, history: History) -> bool:
    epoch = history.epochs.get(node)
    return epoch is not None and epoch.start <= at < epoch.end


# --- reading ---------------------------------------------------------------------------------------------------------


def read_deeds(path: Path) -> list[Deed]:
    """The lines of `witnessed.witness`."""
    if not path.exists():
        return []
    rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    return [
        Deed(event, step, place, int(began_at), lane, int(number))
        for event, lane, number, step, place, began_at in rows
    ]


def calls_of(requests: Iterable[Received]) -> list[Deed]:
    return _sent(requests, "/call", CALL, lambda request: request.json()["event"])


def replies_of(requests: Iterable[Received]) -> list[Deed]:
    return _sent(requests, "/reply", "", lambda request: request.headers["webhook-id"])


def _sent(requests: Iterable[Received], path: str, step: str, subject: Callable[[Received], str]) -> list[Deed]:
    return [
        Deed(subject(each), step, each.sender, each.arrived_at, key=each.headers.get("idempotency-key", ""))
        for each in requests
        if each.path == path
    ]


def _has_succeeded(record: Record, event: str) -> bool:
    run = record.runs.get(event)
    return run is not None and run.state == RunState.SUCCEEDED
