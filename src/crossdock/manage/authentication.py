"""How Crossdock proves to another system who it is: none, bearer token, Basic, headers of one's own, or OAuth.

The documents of connections have it under `authentication`. Its secrets are write-only: `secret_places` says where
they are, so that whoever stores the document can take them out, and `outbound.connection_document` puts the two
together again for a call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field

from crossdock.manage.documents import Part
from crossdock.manage.fields import SET, Headers, Password, Username, check_line, check_secret, is_secret_header
from crossdock.model.errors import FieldError, Invalid
from crossdock.model.outcome import Json

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")  # RFC 6749, 3.3
MAX_SCOPES = 50


def _token(text: str) -> str:
    return check_secret(text, 1, 8_192)


def _client_id(text: str) -> str:
    return check_line(text, 512)


def _scope(text: str) -> str:
    if not _SCOPE.fullmatch(text):
        raise ValueError("must be visible ASCII characters without spaces, quotes and backslashes (RFC 6749)")
    return text


def _own_headers(headers: dict[str, str]) -> dict[str, str]:
    if not headers:
        raise ValueError('must have a header; for none, choose {"type": "none"}')
    empty = [name for name, value in headers.items() if not value]
    if empty:
        raise ValueError(f"{empty[0]} has no value")
    return headers


BearerText: TypeAlias = Annotated[str, AfterValidator(_token)]


class NoAuthenticationPart(Part):
    type: Literal["none"] = "none"


class BearerTokenPart(Part):
    type: Literal["bearer_token"]
    token: BearerText | None = None


class BasicPart(Part):
    type: Literal["basic"]
    username: Username
    password: Password | None = None


class CustomPart(Part):
    type: Literal["custom"]
    headers: Annotated[Headers, AfterValidator(_own_headers)]


Scopes: TypeAlias = Annotated[list[Annotated[str, AfterValidator(_scope)]], Field(max_length=MAX_SCOPES)]


class OAuthPart(Part):
    """OAuth 2.0 client credentials."""

    type: Literal["oauth"]
    client_id: Annotated[str, AfterValidator(_client_id)]
    client_secret: Password | None = None
    token_endpoint_url: str
    scopes: Scopes = Field(default=[])


AuthenticationPart: TypeAlias = Annotated[
    NoAuthenticationPart | BearerTokenPart | BasicPart | CustomPart | OAuthPart, Field(discriminator="type")
]
NO_AUTHENTICATION = NoAuthenticationPart()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a secret stands in a document. Its `key` is the same however the header's name is written."""

    path: tuple[str, ...]

    @property
    def key(self) -> str:
        *parents, name = self.path
        return ".".join((*parents, name.lower() if "headers" in parents else name))

    @property
    def field(self) -> str:
        return ".".join(self.path)

    def read(self, document: Json) -> str | None:
        """What stands there; None where nothing does."""
        for part in self.path:
            document = document.get(part) if isinstance(document, Mapping) else None
        return document if isinstance(document, str) else None

    def replace(self, document: Json, value: Json) -> Json:
        """The document with another value there."""
        return _replaced(document, self.path, value)


@dataclass(frozen=True, slots=True)
class WrittenSecrets:
    """The secrets that a document has places for, by the keys of these."""

    values: Mapping[str, str | None] = field(default_factory=dict)
    """None for those that are to be kept."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """The field of each."""


NO_SECRETS = WrittenSecrets()


def take_out_secrets(settings: Json, places: Iterable[Place]) -> tuple[Json, WrittenSecrets]:
    """The settings with `[set]` at these places, and what stood there."""
    values: dict[str, str | None] = {}
    fields: dict[str, str] = {}
    for place in places:
        written = place.read(settings)
        values[place.key] = None if written == SET else written
        fields[place.key] = place.field
        settings = place.replace(settings, SET)
    return settings, WrittenSecrets(values, fields)


def secret_places(authentication: Json, field: str = "authentication") -> Iterator[Place]:
    """Where an authentication document has its secrets, whether they are written there or not."""
    match authentication["type"]:
        case "bearer_token":
            yield Place((field, "token"))
        case "basic":
            yield Place((field, "password"))
        case "oauth":
            yield Place((field, "client_secret"))
        case "custom":
            yield from (Place((field, "headers", name)) for name in authentication["headers"])


def header_places(headers: Mapping[str, str], field: str = "headers") -> Iterator[Place]:
    """The headers whose values are taken for credentials."""
    return (Place((field, name)) for name in headers if is_secret_header(name))


def authentication_errors(
    authentication: Json, headers: Mapping[str, str], check_url: Callable[[str], None], field: str = "authentication"
) -> list[FieldError]:
    """What only together is wrong: a token endpoint that may not be called, headers that are set twice."""
    found: list[FieldError] = []
    if authentication["type"] == "oauth":
        try:
            check_url(authentication["token_endpoint_url"])
        except Invalid as error:
            found.append(FieldError(f"{field}.token_endpoint_url", str(error)))
    others = {name.lower() for name in headers}
    if authentication["type"] in ("bearer_token", "basic", "oauth") and "authorization" in others:
        found.append(FieldError("headers", f"must not have authorization: {authentication['type']} sets it"))
    own = authentication["headers"] if authentication["type"] == "custom" else ()
    twice = [name for name in own if name.lower() in others]
    return found + [
        FieldError(f"{field}.headers.{name}", "is among the headers too; write it in one place") for name in twice
    ]


def _replaced(document: Any, path: tuple[str, ...], value: Json) -> Json:
    if not path:
        return value
    return {**document, path[0]: _replaced(document[path[0]], path[1:], value)}
