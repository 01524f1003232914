"""A connection's URL as the drivers take it: everything that was not asked for is refused once more, just before use.

`database_url` reads what people write; here it is read by SQLAlchemy as well, and the options get their values checked.
"""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from crossdock.model.errors import Invalid
from crossdock.outbound.database_url import file_in, parse_database_url
from crossdock.outbound.sql_statement import Dialect

MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_OPTIONS = {
    "application_name": (r"[\w .:/+-]{1,63}", "is up to 63 letters, digits and spaces"),
    "channel_binding": (r"disable|prefer|require", "is disable, prefer or require"),
    "charset": (r"utf8mb4", "is utf8mb4, in which every character has its place"),
    "connect_timeout": (r"[1-9]|[1-5][0-9]|60", "is a number of seconds from 1 to 60"),
    "sslmode": ("|".join(MODES), f"is one of {', '.join(MODES)}"),
    "sslrootcert": (r"system|/[\w./+-]+", "is system, or the absolute path of a PEM file"),
    "ssl_ca": (r"/[\w./+-]+", "is the absolute path of a PEM file"),
    "ssl_check_hostname": (r"true|false", "is true or false"),
}


def read_sql_url(text: str, folder: Path) -> URL:
    """Read a database's URL; a SQLite file becomes an absolute path below `folder`. Invalid says what is wrong, and
    never repeats the password."""
    try:
        written = parse_database_url(text)
        url = make_url(text)
        if written.is_file:
            return url.set(database=str(file_in(folder, url.database or "")))
    except ArgumentError:
        raise Invalid("the URL can't be read; write it like postgresql://USER:PASSWORD@HOST/NAME") from None
    except ValueError as error:
        raise Invalid(f"the URL {error}") from None
    if not url.username:
        raise Invalid(f"the URL names no user; write it like {url.get_backend_name()}://USER:PASSWORD@HOST/NAME")
    for name, value in url.query.items():
        pattern, advice = _OPTIONS[name]
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise Invalid(f"the option {name} of the URL {advice}")
    return url


def dialect_of(url: URL) -> Dialect:
    backend = url.get_backend_name()
    return Dialect.MYSQL if backend == "mariadb" else Dialect(backend)


def option(url: URL, name: str) -> str | None:
    value = url.query.get(name)
    return value if isinstance(value, str) else None
