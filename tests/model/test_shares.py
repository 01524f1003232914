"""What nodes may have in work together, whatever each of them has seen of the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.model.epoch import Epoch, Member, Stance
from crossdock.model.shares import Shares, share_of

RUN = frozenset({"run"})
LIMITS = {"int_a": 5, "int_b": 1}
NAMES = st.sets(st.text("abcdef", min_size=1, max_size=4), min_size=1, max_size=9)


# --- dividing --------------------------------------------------------------------------------------------------------


@given(limit=st.integers(1, 1_000), node_ids=NAMES, name=st.text(max_size=5))
def test_shares_add_up_to_exactly_the_limit(limit: int, node_ids: set[str], name: str) -> None:
    shares = [share_of(limit, name, node_id, node_ids - {node_id}) for node_id in node_ids]

    assert sum(shares) == limit
    assert max(shares) - min(shares) <= 1


@given(limit=st.integers(1, 50), node_ids=NAMES, newcomers=NAMES, name=st.text(max_size=5))
def test_nobody_s_share_grows_with_more_nodes(limit: int, node_ids: set[str], newcomers: set[str], name: str) -> None:
    for node_id in node_ids:
        others = node_ids - {node_id}

        assert share_of(limit, name, node_id, others | newcomers - {node_id}) <= share_of(limit, name, node_id, others)


def test_what_can_not_be_divided_goes_to_other_nodes_for_other_integrations() -> None:
    node_ids = {"node_1", "node_2", "node_3"}

    holders = Counter(
        node_id
        for n in range(300)
        for node_id in node_ids
        if share_of(1, f"int_{n}", node_id, node_ids - {node_id}) == 1
    )

    assert sum(holders.values()) == 300
    assert min(holders.values()) > 50


# --- coming and going ------------------------------------------------------------------------------------------------


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Node:
    """One node as the cluster sees it: what it has in work, and how far its heartbeat has come."""

    def __init__(self, node_id: str) -> None:
        self.seconds = Seconds()
        self.epoch = Epoch(node_id, self.seconds)
        self.epoch.confirm(0.0, 10.0)
        self.shares = Shares(self.epoch)
        self.in_work: Counter[str] = Counter()
        self.has_stopped = False
        self.told: Stance | None = None
        self.seen: tuple[Member, ...] = ()

    def share(self, name: str) -> int:
        return 0 if self.has_stopped else self.shares.share(name, LIMITS[name])


@dataclass
class Cluster:
    """The rows of nodes, and the nodes. A heartbeat has four parts, between which anything may happen."""

    nodes: dict[str, Node] = field(default_factory=dict)
    rows: dict[str, Stance | None] = field(default_factory=dict)
    came: int = 0

    def come(self, *_: str) -> None:
        if len(self.rows) < 5:
            self.came += 1
            node_id = f"node_{self.came}"
            self.nodes[node_id], self.rows[node_id] = Node(node_id), None
            self.read(node_id)

    def begin(self, node_id: str, _: str = "") -> None:
        node = self.nodes[node_id]
        node.told = node.shares.stance(node.in_work, LIMITS.get, node.has_stopped)

    def land(self, node_id: str, _: str = "") -> None:
        if node_id in self.rows:
            self.rows[node_id] = self.nodes[node_id].told

    def read(self, node_id: str, _: str = "") -> None:
        if node_id in self.rows:
            self.nodes[node_id].seen = tuple(Member(other, RUN, stance=stance) for other, stance in self.rows.items())

    def hear(self, node_id: str, _: str = "") -> None:
        self.nodes[node_id].epoch.members = self.nodes[node_id].seen

    def beat(self, node_id: str, _: str = "") -> None:
        for part in (self.begin, self.land, self.read, self.hear):
            part(node_id)

    def take(self, node_id: str, name: str) -> None:
        node = self.nodes[node_id]
        if node.in_work[name] < node.share(name):
            node.in_work[name] += 1

    def fill(self, node_id: str, name: str) -> None:
        for _ in range(LIMITS[name]):
            self.take(node_id, name)

    def end(self, node_id: str, name: str) -> None:
        node = self.nodes[node_id]
        node.in_work[name] = max(0, node.in_work[name] - 1)

    def stop(self, node_id: str, _: str = "") -> None:
        self.nodes[node_id].has_stopped = True

    def leave(self, node_id: str, _: str = "") -> None:
        node = self.nodes[node_id]
        if node_id in self.rows and node.has_stopped and not node.in_work.total():
            del self.nodes[node_id], self.rows[node_id]

    def fall_silent(self, node_id: str, _: str = "") -> None:
        self.nodes[node_id].seconds.now = 100.0

    def bury(self, node_id: str, _: str = "") -> None:
        """What it had in work is others' now; the node itself knows nothing of that."""
        if node_id in self.rows and not self.nodes[node_id].epoch.may_act():
            del self.rows[node_id]
            self.nodes[node_id].in_work.clear()

    def in_work(self, name: str) -> int:
        return sum(node.in_work[name] for node in self.nodes.values())

    def settle(self) -> None:
        """Everybody hears of everybody."""
        for _ in range(4):
            for node_id in self.nodes:
                self.beat(node_id)


STEPS = {
    "beat": 12, "fill": 8, "take": 4, "end": 8, "begin": 3, "land": 3, "read": 3, "hear": 3,
    "come": 3, "stop": 1, "leave": 2, "fall_silent": 1, "bury": 2,
}  # fmt: skip
"""What may happen, and how often it does."""


def walk(cluster: Cluster, chance: Random, length: int) -> int:
    """Go through a history; the most that was in work above a limit on the way."""
    most = 0
    for step in chance.choices(list(STEPS), list(STEPS.values()), k=length):
        if step == "come" or cluster.nodes:
            getattr(cluster, step)(chance.choice(sorted(cluster.nodes) or [""]), chance.choice(sorted(LIMITS)))
        most = max(most, *(cluster.in_work(name) - limit for name, limit in LIMITS.items()))
    return most


@pytest.mark.parametrize("seed", range(8))
def test_together_nodes_never_have_more_in_work_than_the_limit(seed: int) -> None:
    assert [walk(Cluster(), Random(seed * 1_000 + n), 250) for n in range(50)] == [0] * 50


def test_once_all_have_heard_of_one_another_nothing_of_the_limit_is_wasted() -> None:
    for seed in range(50):
        cluster = Cluster()
        walk(cluster, Random(seed), 250)
        for node_id, node in list(cluster.nodes.items()):
            node.in_work.clear()
            if node.has_stopped:
                cluster.leave(node_id)
            elif not node.epoch.may_act():
                cluster.bury(node_id)
        cluster.come()

        cluster.settle()

        for name, limit in LIMITS.items():
            assert sum(node.share(name) for node in cluster.nodes.values()) == limit


# --- one by one ------------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster()
    made.come()
    made.hear("node_1")
    return made


def join(cluster: Cluster) -> None:
    cluster.come()
    cluster.hear("node_2")


def test_who_is_alone_has_all_at_once(cluster: Cluster) -> None:
    assert cluster.nodes["node_1"].share("int_a") == 5


def test_a_newcomer_waits_until_the_others_have_made_room(cluster: Cluster) -> None:
    join(cluster)
    old, new = cluster.nodes.values()

    before = new.share("int_a")
    cluster.beat("node_1")  # it sees the newcomer
    cluster.beat("node_2")
    seen = new.share("int_a")
    cluster.beat("node_1")  # and tells so
    cluster.beat("node_2")

    assert (before, seen) == (0, 0)
    assert sorted((old.share("int_a"), new.share("int_a"))) == [2, 3]


def test_a_newcomer_waits_for_runs_above_the_new_share_of_their_integration_alone(cluster: Cluster) -> None:
    cluster.fill("node_1", "int_a")
    join(cluster)
    cluster.settle()
    new = cluster.nodes["node_2"]

    before = new.share("int_a")
    other = new.share("int_b") + cluster.nodes["node_1"].share("int_b")
    for _ in range(3):
        cluster.end("node_1", "int_a")
    cluster.settle()

    assert (before, other) == (0, 1)
    assert new.share("int_a") >= 2


def test_who_may_not_act_has_no_share(cluster: Cluster) -> None:
    cluster.fall_silent("node_1")

    assert cluster.nodes["node_1"].share("int_a") == 0


def test_a_silent_node_holds_its_share_until_it_is_buried(cluster: Cluster) -> None:
    join(cluster)
    cluster.settle()
    cluster.fall_silent("node_2")

    cluster.beat("node_1")
    held = cluster.nodes["node_1"].share("int_a")
    cluster.bury("node_2")
    cluster.beat("node_1")

    assert held < 5
    assert cluster.nodes["node_1"].share("int_a") == 5


def test_a_node_that_stops_leaves_what_it_has_not_in_work(cluster: Cluster) -> None:
    join(cluster)
    cluster.settle()
    cluster.take("node_2", "int_a")

    cluster.stop("node_2")
    cluster.beat("node_2")
    cluster.beat("node_1")

    assert cluster.nodes["node_1"].share("int_a") < 5
    assert cluster.nodes["node_1"].share("int_b") == 1


def test_nodes_that_run_nothing_have_no_share(cluster: Cluster) -> None:
    cluster.nodes["node_1"].epoch.members += (Member("node_web", frozenset({"web"})),)

    assert cluster.nodes["node_1"].share("int_a") == 5


def test_a_new_epoch_begins_without_a_share(cluster: Cluster) -> None:
    node = cluster.nodes["node_1"]
    node.share("int_a")

    node.epoch.renew("node_9")
    node.epoch.confirm(0.0, 10.0)
    unknown = node.share("int_a")
    node.epoch.members = (Member("node_1", RUN), Member("node_9", RUN))

    assert (unknown, node.share("int_a")) == (0, 0)
