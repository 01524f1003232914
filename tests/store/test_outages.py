"""What the errors of databases mean to whoever reads the log."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from crossdock.store.outages import advice

SQLITE = make_url("sqlite+pysqlite:////var/lib/crossdock/crossdock.db")
POSTGRESQL = make_url("postgresql+psycopg://crossdock:hidden@db.internal/crossdock")


def failed(**codes: Any) -> OperationalError:
    return OperationalError("COMMIT", None, SimpleNamespace(**codes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (13, "make room on the disk of /var/lib/crossdock/crossdock.db"),
        (778, "make room on the disk of"),  # SQLITE_IOERR_WRITE
        (1032, "may not be written to"),  # SQLITE_READONLY_DBMOVED
        (5, "see what else uses /var/lib/crossdock/crossdock.db"),
    ],
)
def test_trouble_with_the_file_says_what_to_do_about_it(code: int, told: str):
    words = advice(failed(sqlite_errorcode=code), SQLITE)

    assert told in words
    assert words.endswith("Crossdock goes on by itself")


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("53100", "make room on the disk of the database server db.internal"),
        ("25006", "may not be written to"),
        (None, "see whether the database server db.internal runs and can be reached"),
    ],
)
def test_trouble_with_the_server_says_what_to_do_and_no_password(state: str | None, told: str):
    words = advice(failed(sqlstate=state), POSTGRESQL)

    assert told in words
    assert "hidden" not in words
