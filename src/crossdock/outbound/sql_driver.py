"""What the three kinds of databases have in common for a step: connect, say what a transaction may do, run, end it.

Everything here blocks and happens in a thread of `Databases`. A thread can't be stopped from outside, but what it waits
for can: an `Attempt` knows the connection that is in use, and cutting that makes the driver give up.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, Protocol, TypeAlias

from crossdock.outbound.guard import Guard, TargetRefused
from crossdock.outbound.ranges import Address
from crossdock.outbound.request import SqlFailed
from crossdock.outbound.sql_statement import Dialect
from crossdock.outbound.sql_values import Bound, Row

APPLICATION = "crossdock"
CONNECT_SECONDS = 10.0

LookUp: TypeAlias = Callable[[str, int], Sequence[Address]]
"""The addresses of a host and port; it blocks. OSError when there are none."""


class Kind(StrEnum):
    """Why a statement failed. The first three pass; the others do not by themselves."""

    UNAVAILABLE = "sql_unavailable"
    TIMEOUT = "sql_timeout"
    CONFLICT = "sql_conflict"
    CONSTRAINT = "sql_constraint"
    DENIED = "sql_denied"
    READ_ONLY = "sql_read_only"
    NO_TABLE = "sql_no_table"
    ERROR = "sql_error"

    @property
    def is_passing(self) -> bool:
        return self in (Kind.UNAVAILABLE, Kind.TIMEOUT, Kind.CONFLICT)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A driver's error, judged. `words` are the database's own, one line, and may repeat values."""

    kind: Kind
    words: str


@dataclass(frozen=True, slots=True)
class Ran:
    """What a statement gave. Rows are read from the connection as they are asked for."""

    columns: list[str]
    rows: Iterator[Row]
    count: Callable[[], int]
    """Rows that were changed; to be asked when all rows are read."""


@dataclass(slots=True, eq=False)
class Link:
    """A connection. `interrupt` may be called from any thread while the connection is in use, `close` may not."""

    raw: Any
    interrupt: Callable[[], None]
    close: Callable[[], None]
    remembered: Any = None
    """What its driver keeps in mind about it."""
    is_broken: bool = False
    """It is not known what state it is in: nobody may use it any more."""


class Driver(Protocol):
    """One kind of database. `errors` are what the calls raise."""

    @property
    def dialect(self) -> Dialect: ...

    @property
    def errors(self) -> tuple[type[Exception], ...]: ...

    def connect(self, attempt: Attempt) -> Link:
        """A new connection, each statement a transaction of its own until `begin`; SqlFailed when its place is
        refused."""

    def check(self, link: Link) -> None:
        """Raise one of `errors` when the other side is not there any more."""

    def begin(self, link: Link, *, writes: bool, seconds: float) -> None:
        """Begin a transaction that may write or not, whose statements end within `seconds`."""

    def run(self, link: Link, bound: Bound) -> Ran:
        """Carry out a step's statement."""

    def do(self, link: Link, text: str, values: Mapping[str, str] | None = None) -> Ran:
        """Carry out a statement of our own."""

    def end(self, link: Link, word: str) -> None:
        """COMMIT or ROLLBACK."""

    def judge(self, error: Exception) -> Trouble:
        """What one of `errors` means."""


class Attempt:
    """One try to carry something out, with the moment at which it has to be over (of the monotonic clock)."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.is_cut = False
        self._lock = threading.Lock()
        self._interrupt: Callable[[], None] | None = None

    @property
    def seconds_left(self) -> float:
        return max(0.001, self.deadline - time.monotonic())

    def hold(self, interrupt: Callable[[], None] | None) -> None:
        """What breaks off the wait that follows; None when nothing is in use any more."""
        with self._lock:
            self._interrupt = interrupt
            if self.is_cut and interrupt is not None:
                interrupt()

    def cut(self) -> None:
        """Break off what the thread waits for, now and from now on. Called from the event loop."""
        with self._lock:
            self.is_cut = True
            if self._interrupt is not None:
                self._interrupt()


class Twin:
    """A second handle on a connection's socket, so that another thread can end the conversation.

    The driver may close its own handle at any moment, and the system may give the same number to another file.
    """

    def __init__(self, handle: socket.socket) -> None:
        self._socket = handle

    def interrupt(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:  # the other side was quicker
            return

    def close(self) -> None:
        self._socket.close()


def ask_system(host: str, port: int) -> Sequence[Address]:
    """The addresses of a host, as the system knows them."""
    rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return tuple(dict.fromkeys(ip_address(row[4][0]) for row in rows))


def checked_addresses(guard: Guard, host: str, port: int, look_up: LookUp) -> Sequence[Address]:
    """The addresses of a database's host, all of them allowed: one forbidden address refuses the host (SqlFailed)."""
    name = host.lower().removesuffix(".")
    try:
        addresses = _literal(name) or look_up(name, port)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SqlFailed(Kind.UNAVAILABLE, f"the name {name} could not be resolved: {reason}", permanent=False) from None
    try:
        for address in addresses:
            guard.check_address(address, host=name)
    except TargetRefused as refusal:
        raise SqlFailed("sql_refused", str(refusal), permanent=True) from None
    return addresses


def _literal(host: str) -> Sequence[Address]:
    try:
        return (ip_address(host),)
    except ValueError:
        return ()
