"""Connections as the outgoing side uses them: an address with credentials, opened from the vault, in memory only.

Nothing here is ever logged, recorded or shown: secrets are left out of every `repr`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

Pairs: TypeAlias = tuple[tuple[str, str], ...]


class ConnectionKind(StrEnum):
    HTTP = "http"
    SQL = "sql"


@dataclass(frozen=True, slots=True)
class NoAuthentication:
    pass


@dataclass(frozen=True, slots=True)
class BearerToken:
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class BasicCredentials:
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CustomHeaders:
    headers: Pairs = field(repr=False)


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """OAuth 2.0 client credentials (RFC 6749, 4.4)."""

    client_id: str
    client_secret: str = field(repr=False)
    token_endpoint_url: str
    scopes: tuple[str, ...] = ()


Authentication: TypeAlias = NoAuthentication | BearerToken | BasicCredentials | CustomHeaders | OAuthClient


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """`ca` and `certificate` are PEM texts; `key` is the PEM of the client certificate's private key."""

    verify: bool = True
    ca: str | None = None
    certificate: str | None = None
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HttpConnection:
    """`revision` counts the changes of what people set up: what is cached for an older one is not used any more."""

    id: str
    revision: int
    name: str
    base_url: str
    authentication: Authentication = field(default_factory=NoAuthentication)
    headers: Pairs = field(default=(), repr=False)
    timeout: float = 30.0
    """Seconds for a whole exchange, where a step says nothing else."""
    tls: TlsOptions = field(default_factory=TlsOptions)
    follow_redirects: bool = False
    kind = ConnectionKind.HTTP


@dataclass(frozen=True, slots=True)
class SqlConnection:
    """`url` is an SQLAlchemy URL, its password included. `statement_timeout` is in seconds."""

    id: str
    revision: int
    name: str
    url: str = field(repr=False)
    read_only: bool = False
    pool_size: int = 5
    statement_timeout: float = 30.0
    kind = ConnectionKind.SQL


Connection: TypeAlias = HttpConnection | SqlConnection
