"""What the errors of databases mean, and when to try again after one.

Three kinds of trouble are not the fault of whoever asked for something: the database is *away* (gone, full, out of
time, only reading), the change met another one and would succeed when it is done again (*contention*), or the
connection is *lost*. What is left is a statement that the database refuses. The five letters are those of
https://www.postgresql.org/docs/current/errcodes-appendix.html.
"""

from __future__ import annotations

import random
from time import monotonic

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from crossdock.model.errors import StoreUnavailable

_LOST = ("08", "28", "57P01", "57P02", "57P03", "57P05", "25006", "25P03", "25P04", "53300")
"""The server went away, restarts, only reads, or has no room: another connection may find a better one.

28: the password was changed while we run; at the start it is told as what it is.
"""
_PRESSED = ("53", "57", "58")
"""The server lives and can't do it now: no room, out of time, a disk that fails."""
_CONTENDED = {"40001": "serialization", "40P01": "deadlock", "55P03": "lock"}
_LIMIT_EXCEEDED = "54"
"""A value too large for it: it would be refused again and again."""
_SQLITE_ERROR = 1
_SQLITE_FULL = (13, 10)
"""SQLITE_FULL; and SQLITE_IOERR, which a quota or a limit of file sizes gives."""
_SQLITE_READONLY = 8
_DISK_FULL = "53100"
_READ_ONLY = "25006"


def is_unavailable(error: Exception) -> bool:
    """Whether the database, and not the statement, is the trouble: gone, full, locked, read-only or restarting."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, StoreUnavailable)
    state = _state(error)
    if error.connection_invalidated or state.startswith(_LOST + _PRESSED) or state in _CONTENDED:
        return True
    # Drivers call some refused statements operational errors too: trying those again would never end.
    is_refused = state.startswith(_LIMIT_EXCEEDED) or getattr(error.orig, "sqlite_errorcode", None) == _SQLITE_ERROR
    return isinstance(error, OperationalError | InterfaceError) and not is_refused


def is_lost(error: Exception) -> bool:
    """Whether the connection to PostgreSQL, or the server behind it, is of no use any more."""
    if not isinstance(error, DBAPIError):
        return False
    state = _state(error)
    is_driver_s = not state and isinstance(error, OperationalError | InterfaceError)
    return error.connection_invalidated or is_driver_s or state.startswith(_LOST)


def contention(error: BaseException) -> str | None:
    """`deadlock`, `serialization` or `lock` for what may succeed when it is done again; None for anything else."""
    return _CONTENDED.get(_state(error)) if isinstance(error, DBAPIError) else None


def unavailable(error: Exception) -> StoreUnavailable:
    """What callers are told; the driver's own words stay in the log."""
    if isinstance(error, StoreUnavailable):
        return error
    return StoreUnavailable("the database can't be used at the moment; try again shortly")


def advice(error: BaseException, url: URL) -> str:
    """What whoever reads the log can do about a database that can't be used."""
    place = url.database if url.get_backend_name() == "sqlite" else f"the database server {url.host or 'of the URL'}"
    cause = getattr(error, "orig", None)
    code = (getattr(cause, "sqlite_errorcode", None) or 0) & 0xFF  # extended codes have the general one in this byte
    state = getattr(cause, "sqlstate", None) or ""
    if code in _SQLITE_FULL or state == _DISK_FULL:
        what = f"make room on the disk of {place}"
    elif code == _SQLITE_READONLY or state.startswith(_READ_ONLY):
        what = f"see why {place} may not be written to"
    elif code:
        what = f"see what else uses {place}"
    else:
        what = f"see whether {place} runs and can be reached"
    return f"{what}; Crossdock goes on by itself"


def _state(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0


class Attempts:
    """When to connect again after it has failed: pauses that double up to 2 s, each jittered down to its half.

    Shared by those who use one way to the database, so that a crowd of them does not knock in turns.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._next_at = 0.0

    def check(self) -> None:
        """StoreUnavailable while the pause lasts; it says for how long."""
        left = self._next_at - monotonic()
        if left > 0:
            raise StoreUnavailable("the database is away; trying to reach it again", max(1.0, left))

    def failed(self) -> None:
        if monotonic() < self._next_at:
            return  # one of several that failed together
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(self._failures, 10))
        self._failures += 1
        self._next_at = monotonic() + pause * (0.5 + random.random() / 2)

    def succeeded(self) -> None:
        self._failures = 0
        self._next_at = 0.0
