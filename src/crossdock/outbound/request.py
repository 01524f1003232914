"""What steps ask of other systems, and what they get back."""

from __future__ import annotations

from dataclasses import dataclass

from crossdock.model.outcome import Json
from crossdock.outbound.connection import Pairs


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """`url` is absolute, or relative to the connection's `base_url`. `query` is added to the URL's own."""

    method: str
    url: str
    query: Pairs = ()
    headers: Pairs = ()
    body: bytes = b""
    timeout: float | None = None
    """Seconds for the whole exchange; the connection's where it is None."""
    response_bytes: int = 8 * 1024 * 1024
    """The most that is read of the answer, after it is unpacked."""


@dataclass(frozen=True, slots=True)
class SqlQuery:
    """`parameters` are bound by name, never interpolated. `key` is stable across retries and restarts."""

    statement: str
    parameters: dict[str, Json]
    key: str
    timeout: float | None = None
    exactly_once: bool = True
    """Whether a write is guarded by a row of `crossdock_done`."""
    reads_only: bool = False
    """The database is to refuse whatever would write."""


@dataclass(frozen=True, slots=True)
class SqlAnswer:
    rows: list[dict[str, Json]]
    row_count: int
    is_repeat: bool = False
    """The write had been done before: this is what it gave then."""


class SqlFailed(Exception):
    """A statement could not be carried out. `permanent`: trying again can't help."""

    def __init__(self, kind: str, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.kind = kind
        self.permanent = permanent
