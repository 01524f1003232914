"""How a connection's settings are written down, read into what the outgoing side works with.

The document was checked and filled with defaults when it was stored, so nothing is judged here. `secrets` holds the
secret values by their places in the document, header names in lower case: `authentication.token`, `headers.x-api-key`.
Fields that a newer version added may be missing in an older row and take the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from crossdock.model.outcome import Json
from crossdock.model.time import parse_duration
from crossdock.outbound.connection import (
    Authentication,
    BasicCredentials,
    BearerToken,
    Connection,
    CustomHeaders,
    HttpConnection,
    NoAuthentication,
    OAuthClient,
    Pairs,
    SqlConnection,
    TlsOptions,
)
from crossdock.outbound.database_url import complete_url, parse_database_url

URL_PASSWORD = "url.password"
CLIENT_KEY = "client_certificate.key"


def read_connection(
    identity: tuple[str, int, str], kind: str, document: Json, secrets: Mapping[str, str], sqlite_folder: Path | None
) -> Connection:
    """The connection of a stored document; `identity` is id, revision and name.

    LookupError or ValueError when a secret is missing or a file lies outside of `sqlite_folder`.
    """
    if kind == "sql":
        return _sql(identity, document, secrets, sqlite_folder)
    return _http(identity, document, secrets)


def read_authentication(document: Json, secrets: Mapping[str, str], place: str = "authentication") -> Authentication:
    """What a stored `authentication` stands for; `place` is where it stands."""
    match document["type"]:
        case "bearer_token":
            return BearerToken(_secret(secrets, f"{place}.token"))
        case "basic":
            return BasicCredentials(document["username"], _secret(secrets, f"{place}.password"))
        case "custom":
            return CustomHeaders(read_headers(document["headers"], secrets, f"{place}.headers"))
        case "oauth":
            return OAuthClient(
                client_id=document["client_id"],
                client_secret=_secret(secrets, f"{place}.client_secret"),
                token_endpoint_url=document["token_endpoint_url"],
                scopes=tuple(document.get("scopes", ())),
            )
        case _:
            return NoAuthentication()


def _http(identity: tuple[str, int, str], document: Json, secrets: Mapping[str, str]) -> HttpConnection:
    own = document.get("client_certificate")
    return HttpConnection(
        *identity,
        base_url=document["base_url"],
        authentication=read_authentication(document["authentication"], secrets),
        headers=read_headers(document.get("headers", {}), secrets, "headers"),
        timeout=parse_duration(document.get("timeout", "PT30S")),
        tls=TlsOptions(
            verify=document.get("verify_tls", True),
            ca=document.get("ca_certificate"),
            certificate=own["certificate"] if own else None,
            key=_secret(secrets, CLIENT_KEY) if own else None,
        ),
        follow_redirects=document.get("follow_redirects", False),
    )


def _sql(
    identity: tuple[str, int, str], document: Json, secrets: Mapping[str, str], sqlite_folder: Path | None
) -> SqlConnection:
    url = parse_database_url(document["url"])
    password = _secret(secrets, URL_PASSWORD) if url.password is not None else None
    return SqlConnection(
        *identity,
        url=complete_url(url, password, sqlite_folder),
        read_only=document.get("read_only", False),
        pool_size=document.get("pool_size", 5),
        statement_timeout=parse_duration(document.get("statement_timeout", "PT30S")),
    )


def read_headers(written: Mapping[str, str], secrets: Mapping[str, str], place: str) -> Pairs:
    """The headers of a stored document that stand at `place`, with the values that are kept apart."""
    return tuple((name, secrets.get(f"{place}.{name.lower()}", value)) for name, value in written.items())


def _secret(secrets: Mapping[str, str], key: str) -> str:
    if key not in secrets:
        raise LookupError(f"its secret {key} is missing; enter it again")
    return secrets[key]
