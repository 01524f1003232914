"""Database addresses as people write them: SQLAlchemy URLs, read more strictly than SQLAlchemy does.

Only what both read in the same way is accepted: special characters in user and password are percent-encoded, and of
the options behind `?` only those that neither name files of this machine's users nor lead to another server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

KEPT = "***"
"""Stands for a password that is kept; writing it back keeps it."""

MAX_LENGTH = 2_048
DRIVERS: Mapping[str, str] = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "mariadb+pymysql": "mariadb+pymysql",
}
"""The schemes that may be written, and the drivers behind them."""
OPTIONS: Mapping[str, frozenset[str]] = {
    "postgresql": frozenset({"application_name", "channel_binding", "connect_timeout", "sslmode", "sslrootcert"}),
    "mysql": frozenset({"charset", "connect_timeout", "ssl_ca", "ssl_check_hostname", "sslmode"}),
}

_SCHEME = re.compile(r"[a-z0-9+]{1,32}")
_PART = r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"
_SERVER = re.compile(
    rf"(?:(?P<user>{_PART}+)(?::(?P<password>{_PART}*))?@)?"
    r"(?P<host>[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"/(?P<database>[\w.$-]{1,128})"
    r"(?:\?(?P<options>[A-Za-z0-9_.,/=&:+-]*))?"
)
_FILE = re.compile(r"/[^\x00-\x1f\x7f?#%\\:]{1,1024}")


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A URL that was read. `place` is what a password was given for: driver, host and port."""

    scheme: str
    rest: str
    """All behind `://`, with `***` for the password."""
    password: str | None = None
    """As the database knows it, not percent-encoded; `***` for one that is kept."""
    place: str = ""

    @property
    def is_file(self) -> bool:
        return self.scheme == "sqlite"

    def __str__(self) -> str:
        """The URL that may be shown."""
        return f"{self.scheme}://{self.rest}"


def parse_database_url(text: str) -> DatabaseUrl:
    """Read a URL; ValueError says what is wrong with it, and never repeats its password."""
    scheme, found, rest = text.partition("://")
    if not found:
        raise ValueError(
            "is not a database URL; write it like postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE.db"
        )
    if scheme.lower() not in DRIVERS:
        named = f"begins with {scheme!r}" if _SCHEME.fullmatch(scheme) else "has no scheme that is known"
        raise ValueError(f"{named}; there are {', '.join(DRIVERS)}")
    if len(text) > MAX_LENGTH:
        raise ValueError(f"must be {MAX_LENGTH} characters at most, not {len(text)}")
    if scheme.lower() == "sqlite":
        _check_file(rest)
        return DatabaseUrl("sqlite", rest)
    return _server(scheme.lower(), rest)


def complete_url(url: DatabaseUrl, password: str | None, folder: Path | None) -> str:
    """The URL that the driver gets, password included. A file is an absolute path below `folder`: ValueError for any
    other one, links that lead out of it included."""
    if url.is_file:
        if folder is None:
            raise ValueError("there is no folder for SQLite files here")
        return f"sqlite:///{file_in(folder, url.rest.removeprefix('/'))}"
    if password is None:
        return f"{DRIVERS[url.scheme]}://{url.rest}"
    user, _, server = url.rest.partition("@")
    return f"{DRIVERS[url.scheme]}://{user.partition(':')[0]}:{quote(password, safe='')}@{server}"


def file_in(folder: Path, written: str) -> Path:
    """The absolute path of a database file below `folder`; ValueError for one that is not."""
    inside = folder.resolve()
    path = (inside / written).resolve()
    if not path.is_relative_to(inside) or path == inside:
        raise ValueError(f"must be a file below the folder {folder} (the setting sqlite_folder): sqlite:///orders.db")
    return path


def _check_file(rest: str) -> None:
    advice = "write it like sqlite:///orders.db; the file lies below the folder of the setting sqlite_folder"
    if rest in ("", "/") or rest == "/:memory:":
        raise ValueError(f"names no file, and a database in memory would be another one for each step; {advice}")
    if not _FILE.fullmatch(rest):
        raise ValueError(f"may have neither a host nor options, and no ?, #, %, : or \\ in the file's name; {advice}")
    if {"..", "."} & set(rest.split("/")):
        raise ValueError(f"must not contain . or .. as part of its path; {advice}")


def _server(scheme: str, rest: str) -> DatabaseUrl:
    parts = _SERVER.fullmatch(rest)
    if parts is None:
        raise ValueError(
            "is not a database URL; write it like postgresql://USER:PASSWORD@HOST:PORT/NAME, and other characters than"
            " letters, digits and - . _ ~ in user and password percent-encoded (@ is %40, / is %2F)"
        )
    if parts["port"] is not None and not 1 <= int(parts["port"]) <= 65_535:
        raise ValueError(f"has the port {parts['port']}, which is not between 1 and 65535")
    _check_options(scheme.partition("+")[0], parts["options"] or "")
    password = None if parts["password"] is None else _decoded(parts["password"])
    user = "" if parts["user"] is None else parts["user"] + ("" if password is None else f":{KEPT}") + "@"
    shown = user + rest[parts.start("host") :]
    return DatabaseUrl(scheme, shown, password, f"{DRIVERS[scheme]}://{parts['host'].lower()}:{parts['port'] or ''}")


def _decoded(text: str) -> str:
    try:
        password = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("has a password that is not UTF-8 once it is percent-decoded") from None
    if not password.isprintable():
        raise ValueError("has a password with control characters")
    return password


def _check_options(backend: str, written: str) -> None:
    known = OPTIONS["mysql" if backend == "mariadb" else backend]
    seen: set[str] = set()
    for option in filter(None, written.split("&")):
        name = option.partition("=")[0]
        if name not in known:
            raise ValueError(f"has the option {name[:40]!r}; there are {', '.join(sorted(known))}")
        if name in seen:
            raise ValueError(f"has the option {name} twice")
        seen.add(name)
