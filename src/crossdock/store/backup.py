"""A copy of a SQLite database that is in use: consistent, checked, and either whole or not there.

The copy is made with SQLite's online backup in a single step: it sees one moment of the database, and since the
database is in WAL mode, the server that uses it goes on writing meanwhile. A copy in several steps would begin anew
with every commit of the server, and under load never come to its end.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

from crossdock.model.errors import Misconfigured
from crossdock.store.database import parse_url, sqlite_module


def back_up(url: str, target: Path) -> int:
    """Copy the database at `url` to the new file `target`; its size in bytes.

    Misconfigured when it is not SQLite or not there, when `target` exists already, can't be written, or the copy does
    not pass SQLite's own integrity check.
    """
    source = _source(url)
    if target.exists():
        raise Misconfigured(f"{target} exists already; a backup never overwrites anything, choose another name")
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        _copy(source, draft)
        os.link(draft, target)
    except FileExistsError:
        raise Misconfigured(f"{target} was made by somebody else meanwhile; choose another name") from None
    except OSError as error:
        raise Misconfigured(f"the backup {target} can't be written: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
    _sync(target.parent)
    return target.stat().st_size


def _source(url: str) -> Path:
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite":
        raise Misconfigured(
            "PostgreSQL has its own tools for backups, which this command does not replace: use pg_dump for a copy, or "
            "continuous archiving (pg_basebackup and WAL) to lose nothing"
        )
    source = Path(parsed.database or "")
    if not source.is_file():
        raise Misconfigured(f"there is no database {source}; name it with --data or --database")
    return source


def _copy(source: Path, draft: Path) -> None:
    # Made first with this mode, because SQLite would make it readable for everyone: bodies of events are in it.
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    module = sqlite_module()
    try:
        with closing(module.connect(str(source), timeout=10.0)) as origin, closing(module.connect(str(draft))) as copy:
            origin.execute("PRAGMA query_only=ON")
            origin.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a WAL beside it
            _check(copy)
    except module.DatabaseError as error:
        raise Misconfigured(f"{source} can't be copied: {error}") from None
    _sync(draft)


def _check(copy: sqlite3.Connection) -> None:
    answer = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if answer != "ok":
        raise Misconfigured(
            f"the copy does not pass SQLite's integrity check ({answer}); the database itself is damaged"
        )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
