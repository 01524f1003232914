"""A copy of a SQLite database that is in use: consistent, checked, and either whole or not there.

The copy is made with SQLite's online backup, step by step, inside one read transaction: all steps see one moment of the
database, and since it is in WAL mode, the server that uses it goes on writing meanwhile. Without that transaction each
commit of the server would make the copy begin anew, and under load it would never come to its end. What is written
meanwhile stays in the WAL, which grows by that much.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

from crossdock.model.errors import Misconfigured
from crossdock.store.database import parse_url, sqlite_module

STEP_PAGES = 2_000
"""8 MB: what is copied between two words about progress."""
CHECK_INSTRUCTIONS = 1_000_000
"""What the check does between two looks whether somebody pressed Ctrl-C."""
SPARE_BYTES = 64 * 1024 * 1024
"""What has to stay free beside the copy: a server may write on the same disk."""

Watcher: TypeAlias = Callable[[int, int], None]
"""Hears how many bytes of how many are copied."""


def back_up(url: str, target: Path, watch: Watcher = lambda _done, _total: None) -> int:
    """Copy the database at `url` to the new file `target`; its size in bytes.

    Misconfigured when it is not SQLite or not there, when `target` exists already, can't be written or has not enough
    room, or the copy does not pass SQLite's own integrity check. What `watch` raises ends it; nothing is left then.
    """
    source = _source(url)
    if target.exists():
        raise Misconfigured(f"{target} exists already; a backup never overwrites anything, choose another name")
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        _copy(source, draft, target, watch)
        os.link(draft, target)
    except FileExistsError:
        raise Misconfigured(f"{target} was made by somebody else meanwhile; choose another name") from None
    except OSError as error:
        raise Misconfigured(f"the backup {target} can't be written: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
        draft.with_name(f"{draft.name}-journal").unlink(missing_ok=True)
    _sync(target.parent)
    return target.stat().st_size


def _source(url: str) -> Path:
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite":
        raise Misconfigured(
            "PostgreSQL has its own tools for backups, which this command does not replace: pg_dump for a copy of one "
            "moment, pg_basebackup and an archive of the WAL to lose nothing; docs/guides/backup.md has the steps"
        )
    source = Path(parsed.database or "")
    if not source.is_file():
        raise Misconfigured(f"there is no database {source}; name it with --data or --database")
    return source


def _copy(source: Path, draft: Path, target: Path, watch: Watcher) -> None:
    module = sqlite_module()
    try:
        with closing(_opened(module, source)) as origin:
            size = _hold_moment(origin)
            _check_room(target, size)
            # Made first with this mode: SQLite would make it readable for everyone, and bodies of events are in it.
            os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with closing(module.connect(str(draft))) as copy:
                origin.backup(copy, pages=STEP_PAGES, progress=_told(watch, size), sleep=0)
                copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a WAL beside it
                _check(copy)
    except module.DatabaseError as error:
        raise _explained(source, target, error) from None
    _sync(draft)


def _opened(module: ModuleType, source: Path) -> sqlite3.Connection:
    connection: sqlite3.Connection = module.connect(str(source), timeout=10.0, isolation_level=None)
    connection.execute("PRAGMA query_only=ON")
    return connection


def _hold_moment(origin: sqlite3.Connection) -> int:
    """Begin the transaction that all steps are part of; how many bytes the database has in it."""
    origin.execute("BEGIN")
    origin.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # a transaction begins with its first read
    pages, page_size = (origin.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages) * int(page_size)


def _check_room(target: Path, size: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < size + SPARE_BYTES:
        raise Misconfigured(
            f"{target.parent} has {free / 1e6:,.0f} MB free, and the backup needs "
            f"{(size + SPARE_BYTES) / 1e6:,.0f} MB; make room, or choose another folder"
        )


def _told(watch: Watcher, size: int) -> Callable[[int, int, int], None]:
    def tell(_status: int, remaining: int, total: int) -> None:
        watch(size - size * remaining // max(1, total), size)

    return tell


def _check(copy: sqlite3.Connection) -> None:
    copy.set_progress_handler(lambda: 0, CHECK_INSTRUCTIONS)  # Ctrl-C is heard while Python code runs
    answer = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if answer != "ok":
        raise Misconfigured(
            f"the copy does not pass SQLite's integrity check ({answer}); the database itself is damaged"
        )


def _explained(source: Path, target: Path, error: Exception) -> BaseException:
    """By its words: of an error in the middle of a copy the driver tells no code."""
    match str(error):
        case "interrupted":
            return KeyboardInterrupt()
        case "database or disk is full":
            return Misconfigured(f"the backup {target} can't be written: no room is left; make room and try again")
        case "disk I/O error":
            return Misconfigured(
                f"{source} can't be copied to {target}: a disk refuses; look at its room, its quota and its health"
            )
    return Misconfigured(f"{source} can't be copied: {error}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
