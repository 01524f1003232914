"""SQLite for steps: files of one folder, and nothing that leads out of it.

The module is the one that the store uses: two copies of SQLite in one process lose each other's locks. What a statement
may do is asked of an authorizer while SQLite compiles it. Setting one makes SQLite compile cached statements again, so
that none slips past; our own statements run without it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

from crossdock.outbound.request import SqlFailed
from crossdock.outbound.sql_driver import Attempt, Kind, Link, Ran, Trouble
from crossdock.outbound.sql_statement import Dialect
from crossdock.outbound.sql_values import Bound

STEPS_BETWEEN_LOOKS = 10_000
"""Instructions of SQLite's virtual machine after which it is asked whether time is up."""

_OK, _DENY = 0, 1
_PRAGMA, _ATTACH, _DETACH, _FUNCTION = 19, 24, 25, 31
_TABLE_PRAGMAS = frozenset({"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo"})
"""They tell of tables, and change nothing even with an argument."""
_NUMBER_PRAGMAS = frozenset({"user_version", "schema_version", "application_id", "page_count", "page_size"})
"""They tell a number; with an argument they would set it."""

_BUSY, _LOCKED, _NO_MEMORY, _READ_ONLY, _INTERRUPTED = 5, 6, 7, 8, 9
_INPUT_OUTPUT, _CORRUPT, _FULL, _CANT_OPEN, _PROTOCOL, _CONSTRAINT, _DENIED = 10, 11, 13, 14, 15, 19, 23
_KINDS = {
    _BUSY: Kind.CONFLICT,
    _LOCKED: Kind.CONFLICT,
    _PROTOCOL: Kind.CONFLICT,
    _INTERRUPTED: Kind.TIMEOUT,
    _NO_MEMORY: Kind.UNAVAILABLE,
    _INPUT_OUTPUT: Kind.UNAVAILABLE,
    _FULL: Kind.UNAVAILABLE,
    _CANT_OPEN: Kind.UNAVAILABLE,
    _READ_ONLY: Kind.READ_ONLY,
    _CONSTRAINT: Kind.CONSTRAINT,
    _DENIED: Kind.DENIED,
}


class SqliteDriver:
    dialect = Dialect.SQLITE

    def __init__(self, path: Path, sqlite: ModuleType, own_file: Path | None) -> None:
        """`own_file` is Crossdock's own database, which no step may touch."""
        self._path = path
        self._sqlite = sqlite
        self._own_file = own_file
        self.errors = (sqlite.Error, sqlite.Warning, OSError)

    def connect(self, attempt: Attempt) -> Link:
        self._check_file()
        raw = self._sqlite.connect(
            f"file:{quote(str(self._path))}?mode=rw",
            uri=True,
            check_same_thread=False,
            isolation_level=None,
            timeout=attempt.seconds_left,
        )
        raw.text_factory = _text
        try:
            for pragma in ("foreign_keys=ON", "synchronous=FULL"):
                raw.execute(f"PRAGMA {pragma}").close()
        except BaseException:
            raw.close()
            raise
        return Link(raw, raw.interrupt, raw.close, self._identity())

    def check(self, link: Link) -> None:
        """A file that was replaced has another identity; the old one would swallow what is written."""
        if link.remembered != self._identity():
            raise FileNotFoundError(f"{self._path.name} was replaced")

    def begin(self, link: Link, *, writes: bool, seconds: float) -> None:
        raw, over = link.raw, time.monotonic() + seconds
        raw.set_authorizer(None)
        raw.set_progress_handler(lambda: time.monotonic() > over, STEPS_BETWEEN_LOOKS)
        raw.execute(f"PRAGMA busy_timeout = {max(1, int(seconds * 1_000))}").close()
        raw.execute(f"PRAGMA query_only = {'OFF' if writes else 'ON'}").close()
        raw.execute("BEGIN IMMEDIATE" if writes else "BEGIN").close()

    def run(self, link: Link, bound: Bound) -> Ran:
        link.raw.set_authorizer(_authorize)
        return _ran(link.raw.execute(bound.text, bound.values))

    def do(self, link: Link, text: str, values: Mapping[str, str] | None = None) -> Ran:
        link.raw.set_authorizer(None)
        return _ran(link.raw.execute(text, values or {}))

    def end(self, link: Link, word: str) -> None:
        link.raw.set_authorizer(None)
        if link.raw.in_transaction:  # SQLite rolls back by itself after some errors
            link.raw.execute(word).close()

    def judge(self, error: Exception) -> Trouble:
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        words = str(error)
        if isinstance(error, OSError):
            return Trouble(Kind.UNAVAILABLE, words)
        if words.startswith("no such table"):
            return Trouble(Kind.NO_TABLE, words)
        if code == _DENIED:
            words = "not authorized: a step can't attach files, load extensions or set PRAGMAs"
        if code == _INTERRUPTED:
            words = "the statement took longer than the step's timeout, or the connection's, allows"
        return Trouble(_KINDS.get(code, Kind.ERROR), words)

    def _check_file(self) -> None:
        if not self._path.is_file():
            raise SqlFailed(
                "sql_refused",
                f"there is no file {self._path.name} in {self._path.parent}; make it first, with the sqlite3 program or"
                " the application that it belongs to",
                permanent=True,
            )
        if self._own_file is not None and self._own_file.exists() and self._own_file.samefile(self._path):
            raise SqlFailed("sql_refused", f"{self._path.name} is Crossdock's own database", permanent=True)

    def _identity(self) -> tuple[int, int]:
        status = self._path.stat()
        return status.st_dev, status.st_ino


def _ran(cursor: Any) -> Ran:
    columns = [column[0] for column in cursor.description or ()]
    return Ran(columns, iter(cursor), lambda: max(0, cursor.rowcount))


def _authorize(action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None) -> int:
    if action in (_ATTACH, _DETACH):
        return _DENY
    if action == _PRAGMA:
        name = (first or "").lower()
        return _OK if name in _TABLE_PRAGMAS or (name in _NUMBER_PRAGMAS and second is None) else _DENY
    if action == _FUNCTION and (second or "").lower() == "load_extension":
        return _DENY
    return _OK


def _text(content: bytes) -> str | bytes:
    """SQLite takes any bytes for text."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content
