"""Writing exactly once: in the transaction of the write, its key goes into the table `crossdock_done`.

The key is the same for every try of a step for an event. Whoever finds it there knows that the write has happened, and
gets what it answered then; two who come at once wait for each other on the primary key. A row is of use as long as its
run may be taken up again; rows of 30 days are deleted now and then.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from crossdock.outbound.request import SqlAnswer, SqlFailed
from crossdock.outbound.sql_driver import Driver, Kind, Link
from crossdock.outbound.sql_statement import Dialect, Statement

PRUNE_EVERY_SECONDS = 3_600.0
KEY_LENGTH = 200

_COMMITS_ITSELF = frozenset(
    (
        *("ALTER", "ANALYZE", "CACHE", "CHANGE", "CHECK", "CREATE", "DROP", "FLUSH", "GRANT", "INSTALL", "OPTIMIZE"),
        *("RENAME", "REPAIR", "REVOKE", "STOP", "TRUNCATE", "UNINSTALL"),
    )
)
"""What ends a transaction on MySQL and MariaDB. Elsewhere definitions are part of it."""


@dataclass(frozen=True, slots=True)
class _Words:
    """The statements on the table. They differ in types, in how a double key is passed over, and in time arithmetic."""

    create: tuple[str, ...]
    claim: str
    read: str
    keep: str
    prune: str
    """Rows of 30 days, a few at a time."""


_SQLITE = _Words(
    create=(
        """CREATE TABLE IF NOT EXISTS crossdock_done
 (key TEXT PRIMARY KEY NOT NULL, answer TEXT, done_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)""",
        "CREATE INDEX IF NOT EXISTS crossdock_done_done_at ON crossdock_done (done_at)",
    ),
    claim="INSERT OR IGNORE INTO crossdock_done (key) VALUES (:key)",
    read="SELECT answer FROM crossdock_done WHERE key = :key",
    keep="UPDATE crossdock_done SET answer = :answer WHERE key = :key",
    prune="""DELETE FROM crossdock_done WHERE key IN
 (SELECT key FROM crossdock_done WHERE done_at < datetime('now', '-30 days') LIMIT 500)""",
)
_POSTGRESQL = _Words(
    create=(
        """CREATE TABLE IF NOT EXISTS crossdock_done
 (key text PRIMARY KEY, answer text, done_at timestamptz NOT NULL DEFAULT now())""",
        "CREATE INDEX IF NOT EXISTS crossdock_done_done_at ON crossdock_done (done_at)",
    ),
    claim="INSERT INTO crossdock_done (key) VALUES (%(key)s) ON CONFLICT (key) DO NOTHING",
    read="SELECT answer FROM crossdock_done WHERE key = %(key)s",
    keep="UPDATE crossdock_done SET answer = %(answer)s WHERE key = %(key)s",
    prune="""DELETE FROM crossdock_done WHERE key IN
 (SELECT key FROM crossdock_done WHERE done_at < now() - interval '30 days' LIMIT 500 FOR UPDATE SKIP LOCKED)""",
)
_MYSQL = _Words(
    create=(
        # Keys are compared byte by byte: most collations find `a` and `A` equal.
        """CREATE TABLE IF NOT EXISTS crossdock_done
 (`key` VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, answer LONGTEXT CHARACTER SET utf8mb4,
 done_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, INDEX crossdock_done_done_at (done_at)) ENGINE=InnoDB""",
    ),
    claim="INSERT IGNORE INTO crossdock_done (`key`) VALUES (%(key)s)",
    read="SELECT answer FROM crossdock_done WHERE `key` = %(key)s",
    keep="UPDATE crossdock_done SET answer = %(answer)s WHERE `key` = %(key)s",
    prune="DELETE FROM crossdock_done WHERE done_at < NOW() - INTERVAL 30 DAY LIMIT 500",
)
_WORDS = {Dialect.SQLITE: _SQLITE, Dialect.POSTGRESQL: _POSTGRESQL, Dialect.MYSQL: _MYSQL}


def key_of(written: str) -> str:
    """The key as the table keeps it: short, and of ASCII characters only."""
    if len(written) <= KEY_LENGTH and written.isascii():
        return written
    digest = hashlib.sha256(written.encode()).hexdigest()
    return f"{written[:100].encode('ascii', 'replace').decode()}~{digest}"


def check_exact(statement: Statement, dialect: Dialect) -> None:
    """SqlFailed for a statement that could not be undone together with its key."""
    if dialect is Dialect.MYSQL and statement.word in _COMMITS_ITSELF:
        raise _inexact(
            f"{statement.word} commits by itself on MySQL and MariaDB, so that it can't be done exactly once; give the"
            " step exactly_once: false, and write the statement so that doing it twice does no harm"
        )


def claim(driver: Driver, link: Link, key: str) -> SqlAnswer | None:
    """Put the key into the table; None when it was not there. Otherwise, what the write answered when it was done."""
    words = _WORDS[driver.dialect]
    if driver.do(link, words.claim, {"key": key}).count():
        return None
    found = next(driver.do(link, words.read, {"key": key}).rows, None)
    if found is None or found[0] is None:
        raise SqlFailed(
            "sql_unknown_end",
            "this write began before and committed by itself on the way, so that it is not known whether it was done"
            f" in full; look, and delete the row {key!r} of crossdock_done to let it be done again",
            permanent=True,
        )
    rows, count = msgspec.json.decode(found[0])
    return SqlAnswer(rows, count, is_repeat=True)


def keep(driver: Driver, link: Link, key: str, answer: SqlAnswer) -> None:
    """Write down what the write answered."""
    text = msgspec.json.encode((answer.rows, answer.row_count)).decode()
    driver.do(link, _WORDS[driver.dialect].keep, {"key": key, "answer": text})


def create_table(driver: Driver, link: Link) -> None:
    for statement in _WORDS[driver.dialect].create:
        driver.do(link, statement)


def prune(driver: Driver, link: Link) -> None:
    """Delete some of the rows that nobody will ask for."""
    driver.do(link, _WORDS[driver.dialect].prune)


def may_exist(kind: Kind) -> bool:
    """Whether creating the table may have failed because somebody else did so at the same moment."""
    return kind in (Kind.CONSTRAINT, Kind.CONFLICT, Kind.ERROR)


def no_table(dialect: Dialect, reason: str) -> SqlFailed:
    """The table is not there and could not be created."""
    statements = " ".join("; ".join(_WORDS[dialect].create).split())
    return _inexact(
        f"the table crossdock_done, which makes writes exactly-once, could not be used ({reason}). Let an administrator"
        f" run: {statements}; and grant SELECT, INSERT, UPDATE and DELETE on it. Or give the step exactly_once: false:"
        " then it may write twice after a crash"
    )


def _inexact(message: str) -> SqlFailed:
    return SqlFailed("sql_exactly_once", message, permanent=True)
