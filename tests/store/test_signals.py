"""Signals between nodes: what is told arrives gathered, at those it is for; and what happens when it can't."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.model.epoch import Epoch, Member
from crossdock.store.database import open_database
from crossdock.store.notices import PAYLOAD_BYTES, WORDS_AT_MOST, PostgresSignals, read_payload, write_payloads
from crossdock.store.signals import Signals, Topic
from tests.support import pgbouncer
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import ForeignServer, OwnServer
from tests.system.proxy import Conditions, Flow, Proxy

LIMIT_SECONDS = 30.0
EVERYTHING: tuple[str, ...] = ()


@dataclass
class Counts:
    """What becomes of signals."""

    sent: int = 0
    dropped: int = 0
    heard: int = 0
    is_hearing: bool = False
    echoes: list[float] = field(default_factory=list)

    def signals_sent(self, count: int, /) -> None:
        self.sent += count

    def signals_dropped(self, count: int, /) -> None:
        self.dropped += count

    def signals_heard(self, count: int, /) -> None:
        self.heard += count

    def set_hearing(self, is_hearing: bool, /) -> None:
        self.is_hearing = is_hearing

    def echoed(self, seconds: float, /) -> None:
        self.echoes.append(seconds)


@dataclass
class Node:
    """A process among others, and what it has heard."""

    signals: PostgresSignals
    epoch: Epoch
    counts: Counts
    heard: list[tuple[Topic, tuple[str, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for topic in Topic:
            self.signals.on(topic, lambda words, topic=topic: self.heard.append((topic, tuple(words))))  # type: ignore[misc]

    async def until(self, topic: Topic, words: Sequence[str], times: int = 1) -> None:
        await until(lambda: self.heard.count((topic, tuple(words))) >= times)

    async def until_healthy(self, is_healthy: bool = True) -> None:
        await until(lambda: self.signals.is_healthy is is_healthy)


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not claim():  # noqa: ASYNC110 - what is waited for has no signal of its own
            await asyncio.sleep(0.002)


@asynccontextmanager
async def a_node(
    url: str, name: str, *, direct: str | None = None, probe: float = 10.0, echo: float = 4.0
) -> AsyncIterator[Node]:
    """A started one that knows of others."""
    epoch, counts = Epoch(name, lambda: 0.0), Counts()
    epoch.members = tuple(Member(other, frozenset()) for other in ("node_1", "node_2", "node_3"))
    database = open_database(url, direct)
    signals = PostgresSignals(database, epoch, counts, probe_seconds=probe, echo_seconds=echo)
    node = Node(signals, epoch, counts)
    await signals.start()
    try:
        yield node
    finally:
        await signals.stop()
        database.dispose()


@asynccontextmanager
async def nodes(url: str, *names: str) -> AsyncIterator[list[Node]]:
    """Started ones that hear one another, and have forgotten what they heard until then."""
    async with a_node(url, names[0]) as first:
        if len(names) == 1:
            await first.until_healthy()
            yield [first]
            return
        async with nodes(url, *names[1:]) as rest:
            await first.until_healthy()
            for node in (first, *rest):
                node.heard.clear()
            yield [first, *rest]


@pytest.fixture
def url(postgres: ForeignServer) -> Iterator[str]:
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


# --- telling ---------------------------------------------------------------------------------------------------------


async def test_what_is_told_arrives_gathered_and_once(url: str) -> None:
    async with nodes(url, "node_1", "node_2") as (one, two):
        for word in ("int_a", "int_b", "int_a"):
            one.signals.tell(Topic.RUNS, word)
        one.signals.tell(Topic.LANES)
        await two.until(Topic.LANES, EVERYTHING)

        assert two.heard == [(Topic.RUNS, ("int_a", "int_b")), (Topic.LANES, EVERYTHING)]
        await until(lambda: (one.counts.sent, two.counts.heard) == (3, 3))  # it may be heard before it is counted


async def test_what_is_for_one_node_reaches_no_other(url: str) -> None:
    async with nodes(url, "node_1", "node_2", "node_3") as (one, two, three):
        one.signals.tell(Topic.ANSWER, "evt_1", node="node_2")
        one.signals.tell(Topic.BULK)
        await two.until(Topic.BULK, EVERYTHING)
        await three.until(Topic.BULK, EVERYTHING)

        assert (Topic.ANSWER, ("evt_1",)) in two.heard
        assert three.heard == [(Topic.BULK, EVERYTHING)]


async def test_nobody_hears_itself(url: str) -> None:
    async with nodes(url, "node_1", "node_2") as (one, two):
        one.signals.tell(Topic.RUNS, "int_a")
        await two.until(Topic.RUNS, ["int_a"])
        two.signals.tell(Topic.BULK)
        await one.until(Topic.BULK, EVERYTHING)

        assert one.heard == [(Topic.BULK, EVERYTHING)]


async def test_what_is_spread_is_heard_here_at_once_and_elsewhere(url: str) -> None:
    async with nodes(url, "node_1", "node_2") as (one, two):
        one.signals.spread(Topic.CANCEL, "evt_1")

        assert one.heard == [(Topic.CANCEL, ("evt_1",))]
        await two.until(Topic.CANCEL, ["evt_1"])


async def test_a_node_that_began_anew_hears_what_is_for_who_it_was(url: str) -> None:
    async with nodes(url, "node_1", "node_2") as (one, two):
        two.epoch.renew("node_2_anew")
        for name in ("node_2", "node_2_anew"):
            one.signals.tell(Topic.ANSWER, name, node=name)

        await two.until(Topic.ANSWER, ["node_2"])
        await two.until(Topic.ANSWER, ["node_2_anew"])


async def test_a_listener_that_fails_keeps_nobody_from_hearing(url: str) -> None:
    def fail(_: Sequence[str]) -> None:
        raise RuntimeError("a fault")

    async with nodes(url, "node_1", "node_2") as (one, two):
        two.signals.on(Topic.RUNS, fail)
        one.signals.tell(Topic.RUNS, "int_a")
        await two.until(Topic.RUNS, ["int_a"])
        one.signals.tell(Topic.BULK)
        await two.until(Topic.BULK, EVERYTHING)

        assert two.signals.is_healthy


async def test_nothing_is_sent_where_nobody_is(url: str) -> None:
    async with nodes(url, "node_1") as (alone,):
        alone.epoch.members = (Member("node_1", frozenset()),)
        alone.signals.tell(Topic.RUNS, "int_a")
        async with a_node(url, "node_2") as newcomer:
            await newcomer.until_healthy()
            newcomer.heard.clear()
            await until(lambda: _tells(alone))  # it has heard the newcomer before a heartbeat could see it
            await newcomer.until(Topic.RUNS, ["int_b"])

            assert (Topic.RUNS, ("int_a",)) not in newcomer.heard


def _tells(node: Node) -> bool:
    node.signals.tell(Topic.RUNS, "int_b")
    return node.counts.sent > 0


# --- what is too much ------------------------------------------------------------------------------------------------


async def test_a_thousand_words_arrive(url: str) -> None:
    words = [f"evt_{number:032}" for number in range(WORDS_AT_MOST)]
    async with nodes(url, "node_1", "node_2") as (one, two):
        for word in words:
            one.signals.tell(Topic.ANSWER, word)
        await until(lambda: two.counts.heard == len(words))

        assert [word for _, some in two.heard for word in some] == words


async def test_more_words_than_that_mean_everything(url: str) -> None:
    async with nodes(url, "node_1", "node_2") as (one, two):
        for number in range(WORDS_AT_MOST + 1):
            one.signals.tell(Topic.ANSWER, str(number))
        one.signals.tell(Topic.BULK)
        await two.until(Topic.BULK, EVERYTHING)

        assert two.heard == [(Topic.ANSWER, EVERYTHING), (Topic.BULK, EVERYTHING)]


async def test_a_word_that_is_too_long_means_everything(url: str) -> None:
    async with nodes(url, "node_1", "node_2") as (one, two):
        one.signals.tell(Topic.LANE, "short")
        one.signals.tell(Topic.LANE, "int_a:" + "ä" * 2_000)
        await two.until(Topic.LANE, EVERYTHING)

        assert two.heard == [(Topic.LANE, EVERYTHING)]


@given(st.lists(st.text(max_size=300), unique=True), st.none() | st.text(max_size=60))
def test_payloads_keep_all_words_and_fit(words: list[str], node: str | None) -> None:
    payloads = list(write_payloads("me", {("lane", node): words}))

    read = [read_payload(payload) for payload in payloads]
    assert [word for found in read if found for word in found[3]] == [word for word in words if word]
    assert {found[:3] for found in read if found} == {("me", node, "lane")}
    assert max(len(payload.encode()) for payload in payloads) <= PAYLOAD_BYTES


@pytest.mark.parametrize("payload", ["", "{", "null", "[]", '["me", 7, "runs", []]', '["me", null, "runs", {}]'])
def test_what_no_node_has_told_is_not_heard(payload: str) -> None:
    assert read_payload(payload) is None


async def test_what_others_send_on_the_channel_does_no_harm(url: str) -> None:
    async with nodes(url, "node_1", "node_2") as (one, two):
        with psycopg.connect(url, autocommit=True) as stranger:
            for payload in (
                "nonsense",
                '["x", null, "a topic of tomorrow", ["w"]]',
                '["x", null, "runs", [7, "int_a"]]',
            ):
                stranger.execute("SELECT pg_notify('crossdock', %s)", (payload,))
        await two.until(Topic.RUNS, ["int_a"])

        assert two.heard == one.heard == [(Topic.RUNS, ("int_a",))]


# --- connections that are lost ---------------------------------------------------------------------------------------


async def test_everything_is_looked_at_when_hearing_begins(url: str) -> None:
    async with a_node(url, "node_1") as node:
        assert node.signals.poll_seconds == Signals().poll_seconds
        await node.until_healthy()

        assert node.heard == [(topic, EVERYTHING) for topic in Topic]
        assert node.signals.poll_seconds > Signals().poll_seconds


async def test_a_lost_listener_comes_back_and_everything_is_looked_at(url: str) -> None:
    async with nodes(url, "node_1", "node_2") as (one, two):
        _terminate(url, "crossdock signals")
        for node in (one, two):
            for topic in Topic:  # once because nothing is heard any more, once because it is again
                await node.until(topic, EVERYTHING, times=2)
            await node.until_healthy()

        one.signals.tell(Topic.RUNS, "int_a")
        await two.until(Topic.RUNS, ["int_a"])


async def test_a_lost_sender_comes_back(url: str) -> None:
    async with nodes(url, "node_1", "node_2") as (one, two):
        _terminate(url, "crossdock writer")
        await until(lambda: _is_told(one, two))

        assert one.signals.is_healthy


def _is_told(teller: Node, other: Node) -> bool:
    teller.signals.tell(Topic.BULK)
    return (Topic.BULK, EVERYTHING) in other.heard


def _terminate(url: str, name: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = %s AND datname = current_database()",
            (name,),
        )


async def test_signals_are_dropped_while_the_database_is_away(own_postgres: OwnServer) -> None:
    url = own_postgres.url("postgres")
    async with nodes(url, "node_1", "node_2") as (one, two):
        await asyncio.to_thread(own_postgres.kill)
        await one.until_healthy(False)
        one.signals.tell(Topic.RUNS, "int_lost")
        await until(lambda: one.counts.dropped > 0)
        assert (one.counts.is_hearing, one.signals.poll_seconds) == (False, Signals().poll_seconds)

        await asyncio.to_thread(own_postgres.start)
        await one.until_healthy()
        await two.until_healthy()
        await until(lambda: _is_told(one, two))

        assert (Topic.RUNS, ("int_lost",)) not in two.heard


async def test_a_connection_that_falls_silent_is_found_out(url: str) -> None:
    there = urlsplit(url)
    proxy = Proxy(str(there.hostname), int(there.port or 0))
    await proxy.start()
    direct = there._replace(netloc=f"postgres@127.0.0.1:{proxy.port}").geturl()
    async with a_node(url, "node_1", direct=direct, probe=0.6, echo=0.5) as node:
        await node.until_healthy()
        await proxy.set(Conditions(Flow.CUT_OFF))
        await node.until_healthy(False)
        await proxy.heal()

        await node.until_healthy()
    await proxy.stop()


# --- behind a pooler -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bouncer(postgres: ForeignServer) -> Iterator[PgBouncer]:
    pgbouncer.expect()
    running = PgBouncer(postgres.url("postgres"), sessions=4)
    yield running
    running.remove()


async def test_behind_a_pooler_one_is_heard_and_hears_nothing(
    bouncer: PgBouncer, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    pooled = bouncer.url(url.rpartition("/")[2])
    async with a_node(url, "node_1") as one, a_node(pooled, "node_2") as two:
        await one.until_healthy()
        await until(lambda: "store.pooler_found" in caplog.messages)
        two.signals.tell(Topic.RUNS, "int_a")
        await one.until(Topic.RUNS, ["int_a"])

        assert caplog.messages.count("store.pooler_found") == 1
        assert (two.signals.is_healthy, two.signals.poll_seconds) == (False, Signals().poll_seconds)


async def test_a_way_past_the_pooler_is_taken(bouncer: PgBouncer, url: str) -> None:
    pooled = bouncer.url(url.rpartition("/")[2])
    async with a_node(url, "node_1") as one, a_node(pooled, "node_2", direct=url) as two:
        await one.until_healthy()
        await two.until_healthy()
        one.signals.tell(Topic.RUNS, "int_a")

        await two.until(Topic.RUNS, ["int_a"])
