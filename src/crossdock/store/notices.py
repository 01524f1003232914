"""Signals between the nodes of one PostgreSQL, by NOTIFY and LISTEN.

A NOTIFY makes commits wait for one another, so none is part of a transaction that records something: what was told
since the last time goes out as one statement on a connection apart, at most every GATHER_SECONDS. While the database is
away signals are dropped: what they are about is found by looking, once it is back.

Whoever listens must know that it hears. This process tells itself something every PROBE_SECONDS by the way that all
signals take; when that does not come back, the connection is made anew. Each time that it begins to hear, everything is
looked at once, because nobody knows what was told before.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, Protocol, TypeAlias

import psycopg
from sqlalchemy import Connection

from crossdock import observe
from crossdock.clock import new_token
from crossdock.model.epoch import Epoch
from crossdock.model.errors import StoreUnavailable
from crossdock.store.apart import Apart
from crossdock.store.database import Database
from crossdock.store.postgresql import connect_arguments
from crossdock.store.signals import Signals, Topic

CHANNEL = "crossdock"
GATHER_SECONDS = 0.005
PAYLOAD_BYTES = 7_900
"""PostgreSQL takes payloads of less than 8000 bytes."""
WORDS_AT_MOST = 1_000
"""Words of one topic in one statement; beyond it, it is told without words."""
WORD_BYTES = 2_000
"""As JSON; a topic with a longer word is told without words."""

QUIET_POLL_SECONDS = 5.0
"""How often to look for what is told of while everything is heard."""
PROBE_SECONDS = 10.0
ECHO_SECONDS = 4.0
"""How long a probe may take."""
CONNECT_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
COMPANY_SECONDS = 30.0
"""How long somebody who was heard is taken to be there before the heartbeat has seen them."""
LAST_WORDS_SECONDS = 2.0

_PROBE = "probe"

Told: TypeAlias = dict[tuple[str, str | None], dict[str, None]]
"""Words by topic and by the node that they are for (None: all). The empty word means everything."""


class SignalObserver(Protocol):
    """Counts what becomes of signals."""

    def signals_sent(self, count: int, /) -> None: ...
    def signals_dropped(self, count: int, /) -> None: ...
    def signals_heard(self, count: int, /) -> None: ...
    def set_hearing(self, is_hearing: bool, /) -> None: ...
    def echoed(self, seconds: float, /) -> None: ...


class _Deaf(Exception):
    """The connection lives, and what this process tells itself does not come back."""


class _PoolerInTheWay(Exception):
    """The connection is lent out by a pooler: what one transaction listens for, another one hears."""


class PostgresSignals(Signals):
    """This process among the nodes of its database. `start` and `stop` are called once each."""

    def __init__(
        self,
        database: Database,
        epoch: Epoch,
        observer: SignalObserver,
        *,
        probe_seconds: float = PROBE_SECONDS,
        echo_seconds: float = ECHO_SECONDS,
    ) -> None:
        super().__init__()
        self._probe_seconds = probe_seconds
        self._echo_seconds = echo_seconds
        self._database = database
        self._epoch = epoch
        self._observer = observer
        self._me = new_token()
        """Who tells: this process, whatever node it is at the moment."""
        self._names: set[str] = set()
        """All nodes that this process has been: what is meant for one of them is meant for it."""
        self._told: Told = {}
        self._has_told = asyncio.Event()
        self._sender = Apart(database)
        self._tasks: list[asyncio.Task[None]] = []
        self._is_open = False
        self._is_healthy = False
        self._probe = ""
        self._probed_at = 0.0
        self._failures = 0
        self._company_until = 0.0

    @property
    def is_healthy(self) -> bool:
        return self._is_healthy

    @property
    def poll_seconds(self) -> float:
        return QUIET_POLL_SECONDS if self._is_healthy else super().poll_seconds

    async def start(self) -> None:
        self._is_open = True
        self._observer.set_hearing(False)
        self._tasks = [
            asyncio.create_task(self._send_forever(), name="sending signals"),
            asyncio.create_task(self._hear_forever(), name="hearing signals"),
        ]

    async def stop(self) -> None:
        self._is_open = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._told:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_SECONDS):
                    await self._send()
        await self._sender.close()

    # --- telling ---------------------------------------------------------------------------------------------------

    def tell(self, topic: Topic, word: str = "", *, node: str | None = None) -> None:
        if self._is_open and self._has_company():
            self._gather(topic, word, node)

    def _has_company(self) -> bool:
        """Whether there may be somebody to tell: the heartbeat has seen them, or they were heard, or nothing is."""
        return len(self._epoch.members) > 1 or not self._is_healthy or monotonic() < self._company_until

    def _gather(self, topic: str, word: str, node: str | None) -> None:
        words = self._told.setdefault((topic, node), {})
        if "" in words:
            return
        words[word] = None
        if not word or len(words) > WORDS_AT_MOST or _size(word) > WORD_BYTES:
            self._told[topic, node] = {"": None}
        self._has_told.set()

    async def _send_forever(self) -> None:
        while True:
            await self._has_told.wait()
            self._has_told.clear()
            await self._send()
            await asyncio.sleep(GATHER_SECONDS)

    async def _send(self) -> None:
        told, self._told = self._told, {}
        count = sum(len(words) for (topic, _), words in told.items() if topic != _PROBE)
        payloads = list(write_payloads(self._me, told))
        try:
            await self._sender.run(lambda connection: _notify(connection, payloads))
        except StoreUnavailable:
            self._observer.signals_dropped(count)
        except Exception as error:
            observe.emit(observe.WATCH_FAILED, error=error, turn="sending signals")
            self._observer.signals_dropped(count)
        else:
            self._observer.signals_sent(count)

    # --- hearing ---------------------------------------------------------------------------------------------------

    async def _hear_forever(self) -> None:
        while True:
            try:
                await self._hear()
            except _PoolerInTheWay:
                observe.emit(observe.POOLER_FOUND)
                return
            except (psycopg.Error, OSError, _Deaf) as error:  # a time limit that has passed is an OSError, too
                self._stop_hearing(error)
            except Exception as error:
                observe.emit(observe.WATCH_FAILED, error=error, turn="hearing signals")
                self._stop_hearing(error)
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(self._failures, 10))
            self._failures += 1
            await asyncio.sleep(pause * (0.5 + random.random() / 2))

    async def _hear(self) -> None:
        """Listen until the connection is lost, or nothing is heard by it."""
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await _connect(self._database)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await _listen(connection, is_direct=self._database.direct_is_given)
            self._look_at_everything()
            while True:
                await self._probe_once(connection)
        finally:
            await connection.close()

    async def _probe_once(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Hear until the next probe is due; _Deaf when this one is not among what is heard."""
        self._probe, self._probed_at = new_token(), monotonic()
        self._gather(_PROBE, self._probe, None)
        await self._hear_for(connection, self._echo_seconds)
        if self._probe:
            raise _Deaf(f"what this process tells itself is not heard within {self._echo_seconds:g} s")
        await self._hear_for(connection, self._probe_seconds - self._echo_seconds)

    async def _hear_for(self, connection: psycopg.AsyncConnection[Any], seconds: float) -> None:
        async with contextlib.aclosing(connection.notifies(timeout=seconds)) as notices:
            async for notice in notices:
                self._heard(notice.payload)

    def _heard(self, payload: str) -> None:
        found = read_payload(payload)
        if found is None:
            return
        sender, node, topic, words = found
        if sender == self._me:
            if topic == _PROBE and self._probe in words:
                self._probe = ""
                self._observer.echoed(monotonic() - self._probed_at)
                self._begin_hearing()
            return
        self._company_until = monotonic() + COMPANY_SECONDS
        self._names.add(self._epoch.node_id)
        if topic in _TOPICS and (node is None or node in self._names):
            self._observer.signals_heard(len(words) or 1)
            self._pass_on(Topic(topic), words)

    def _begin_hearing(self) -> None:
        self._names.add(self._epoch.node_id)
        self._failures = 0
        if not self._is_healthy:
            self._is_healthy = True
            self._observer.set_hearing(True)
            observe.emit(observe.SIGNALS_HEARD)

    def _stop_hearing(self, error: BaseException) -> None:
        if self._is_healthy:
            self._is_healthy = False
            self._observer.set_hearing(False)
            observe.emit(observe.SIGNALS_LOST, reason=str(error) or type(error).__name__)
            self._look_at_everything()  # whoever rests until a signal comes must not rest so long any more

    def _look_at_everything(self) -> None:
        for topic in Topic:
            self._pass_on(topic, [])


def open_signals(database: Database, epoch: Epoch, observer: SignalObserver) -> Signals:
    """The signals that fit the database."""
    return PostgresSignals(database, epoch, observer) if database.dialect == "postgresql" else Signals()


# --- what goes over the wire -----------------------------------------------------------------------------------------

_TOPICS = frozenset(Topic)


def write_payloads(sender: str, told: Mapping[tuple[str, str | None], Iterable[str]]) -> Iterable[str]:
    """Payloads for what was told, each `[sender, node, topic, words]` in ASCII and short enough for a NOTIFY."""
    for (topic, node), words in told.items():
        head = _size([sender, node, topic, []])
        some: list[str] = []
        size = head
        for word in filter(None, words):
            more = _size(word) + 2
            if size + more > PAYLOAD_BYTES:
                yield json.dumps([sender, node, topic, some])
                some, size = [], head
            some.append(word)
            size += more
        yield json.dumps([sender, node, topic, some])


def read_payload(payload: str) -> tuple[str, str | None, str, list[str]] | None:
    """Sender, node, topic and words; None for what no node of any version has told."""
    try:
        match json.loads(payload):
            case [str(sender), str() | None as node, str(topic), list(words)]:
                return sender, node, topic, [word for word in words if isinstance(word, str)]
    except ValueError:
        return None
    return None


def _size(value: object) -> int:
    return len(json.dumps(value))


_NOTIFY = f"SELECT pg_notify('{CHANNEL}', payload) FROM unnest(%s::text[]) AS payload"  # noqa: S608 - a constant


def _notify(connection: Connection, payloads: Sequence[str]) -> None:
    connection.exec_driver_sql(_NOTIFY, (payloads,))


async def _connect(database: Database) -> psycopg.AsyncConnection[Any]:
    url = database.direct.url
    _, named = database.direct.dialect.create_connect_args(url)
    arguments: dict[str, Any] = {**named, **connect_arguments(url, "signals")}
    return await psycopg.AsyncConnection.connect(autocommit=True, **arguments)


async def _listen(connection: psycopg.AsyncConnection[Any], *, is_direct: bool) -> None:
    """LISTEN, where that is of use. Whoever named a way past the pooler is believed: the probe tells if it is none."""
    cursor = await connection.execute("SELECT pg_backend_pid()")
    row = await cursor.fetchone()
    if not is_direct and row is not None and row[0] != connection.info.backend_pid:
        raise _PoolerInTheWay
    await connection.execute(f"LISTEN {CHANNEL}")
