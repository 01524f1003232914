"""The connection document, as people and programs write it.

`read_connection_document` checks a whole document and takes it apart into what is stored: plain settings with `[set]`
in the place of secrets, and the secrets by their places. Everything that is wrong is told at once, each with its field.
A secret that is left out, or written as `[set]` (`***` in a database's URL), is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field, ValidationError
from yarl import URL

from crossdock.manage.authentication import (
    NO_AUTHENTICATION,
    NO_SECRETS,
    AuthenticationPart,
    Place,
    WrittenSecrets,
    authentication_errors,
    header_places,
    secret_places,
    take_out_secrets,
)
from crossdock.manage.certificates import check_belongs, check_certificates, check_key
from crossdock.manage.documents import Part, check_size
from crossdock.manage.fields import SET, Headers, check_line, duration_between
from crossdock.manage.refusals import field_errors, invalid
from crossdock.model.errors import FieldError, Invalid
from crossdock.model.outcome import Json
from crossdock.outbound.connection_document import CLIENT_KEY, URL_PASSWORD
from crossdock.outbound.database_url import KEPT, complete_url, parse_database_url
from crossdock.outbound.sql_url import read_sql_url

NAME_LENGTH = 100
SUBJECT = "the connection"
_TEST_PATH = re.compile(r"[\x21-\x7e]{1,1024}")


def _name(text: str) -> str:
    line = check_line(text, NAME_LENGTH)
    if "/" in line or "{{" in line or not line.isprintable():
        raise ValueError("must be printable characters without / and {{")
    return line


def _test_path(text: str) -> str:
    if not _TEST_PATH.fullmatch(text) or "://" in text or text.startswith("//") or "#" in text or "\\" in text:
        raise ValueError("must be a path below base_url, such as health or /api/ping")
    return text


def _key(text: str) -> str:
    return text if text == SET else check_key(text)


Name: TypeAlias = Annotated[str, AfterValidator(_name)]
Timeout: TypeAlias = Annotated[str, duration_between(0.001, 3_600.0)]


class ClientCertificatePart(Part):
    certificate: Annotated[str, AfterValidator(check_certificates)]
    key: Annotated[str, AfterValidator(_key)] | None = None


class HttpConnectionPart(Part):
    name: Name
    kind: Literal["http"]
    base_url: str
    authentication: AuthenticationPart = NO_AUTHENTICATION
    headers: Headers = Field(default={})
    timeout: Timeout = "PT30S"
    verify_tls: bool = True
    ca_certificate: Annotated[str, AfterValidator(check_certificates)] | None = None
    client_certificate: ClientCertificatePart | None = None
    follow_redirects: bool = False
    test_path: Annotated[str, AfterValidator(_test_path)] | None = None


class SqlConnectionPart(Part):
    name: Name
    kind: Literal["sql"]
    url: str
    read_only: bool = False
    pool_size: Annotated[int, Field(ge=1, le=32)] = 5
    statement_timeout: Timeout = "PT30S"


ConnectionPart: TypeAlias = HttpConnectionPart | SqlConnectionPart
KINDS: Mapping[str, type[ConnectionPart]] = {"http": HttpConnectionPart, "sql": SqlConnectionPart}


@dataclass(frozen=True, slots=True)
class ConnectionRules:
    """Checks that are made elsewhere. `check_url` raises Invalid; SQLite files lie below `sqlite_folder`."""

    check_url: Callable[[str], None]
    sqlite_folder: Path | None = None


@dataclass(frozen=True, slots=True)
class ConnectionDraft:
    """A document that was found good, taken apart."""

    name: str
    kind: str
    settings: Json
    """Everything but name and kind, with all defaults and without secrets."""
    secrets: WrittenSecrets = NO_SECRETS


def read_connection_document(document: Json, rules: ConnectionRules) -> ConnectionDraft:
    """Check a complete document; Invalid names every field that is wrong."""
    check_size(document, SUBJECT)
    part = _validated(document)
    return _http_draft(part, rules) if isinstance(part, HttpConnectionPart) else _sql_draft(part, rules)


def default_settings(kind: str) -> Json:
    """What a document of this kind has where it says nothing."""
    required = {"base_url": ""} if kind == "http" else {"url": ""}
    part = KINDS[kind].model_validate({"name": "-", "kind": kind, **required})
    return part.model_dump(exclude={"name", "kind", *required})


def settings_places(kind: str, settings: Json) -> Iterator[Place]:
    """Where the settings of a connection have secrets of their own; that of a database is inside of its URL."""
    if kind != "http":
        return
    yield from secret_places(settings["authentication"])
    yield from header_places(settings["headers"])
    if settings["client_certificate"] is not None:
        yield Place(tuple(CLIENT_KEY.split(".")))


def destination_of(kind: str, settings: Json) -> str | None:
    """Where the secrets of a connection go: a kept one goes to no other place. None for a file."""
    if kind == "sql":
        return parse_database_url(settings["url"]).place or None
    ends = [settings["base_url"], settings["authentication"].get("token_endpoint_url")]
    return " and ".join(str(URL(end).origin()) for end in ends if end)


def _validated(document: Json) -> ConnectionPart:
    kind = document.get("kind")
    model = KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        problem = "is required" if kind is None else "must be one of"
        raise invalid(SUBJECT, (FieldError("kind", f"{problem}: http, sql"),))
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise invalid(SUBJECT, field_errors(error, model)) from None


def _http_draft(part: HttpConnectionPart, rules: ConnectionRules) -> ConnectionDraft:
    settings = part.model_dump(exclude={"name", "kind"})
    errors = _base_url_errors(part.base_url, rules)
    errors += authentication_errors(settings["authentication"], part.headers, rules.check_url)
    own = part.client_certificate
    if own is not None and own.key not in (None, SET):
        try:
            check_belongs(own.certificate, str(own.key))
        except ValueError as error:
            errors.append(FieldError(CLIENT_KEY, str(error)))
    if part.ca_certificate is not None and not part.verify_tls:
        errors.append(FieldError("ca_certificate", "is never looked at while verify_tls is false; leave it out"))
    if errors:
        raise invalid(SUBJECT, errors)
    settings, secrets = take_out_secrets(settings, list(settings_places("http", settings)))
    return ConnectionDraft(part.name, part.kind, settings, secrets)


def _base_url_errors(text: str, rules: ConnectionRules) -> list[FieldError]:
    if "?" in text or "#" in text:
        return [FieldError("base_url", "must have neither ? nor #; steps have a query of their own")]
    try:
        rules.check_url(text)
    except Invalid as error:
        return [FieldError("base_url", str(error))]
    return []


def _sql_draft(part: SqlConnectionPart, rules: ConnectionRules) -> ConnectionDraft:
    settings: dict[str, Any] = part.model_dump(exclude={"name", "kind"})
    try:
        url = parse_database_url(part.url)
        folder = rules.sqlite_folder
        read_sql_url(complete_url(url, url.password, folder), folder or Path())
    except (ValueError, Invalid) as error:
        raise invalid(SUBJECT, (FieldError("url", str(error).removeprefix("the URL ")),)) from None
    settings["url"] = str(url)
    if url.password is None:
        return ConnectionDraft(part.name, part.kind, settings)
    password = None if url.password == KEPT else url.password
    return ConnectionDraft(
        part.name, part.kind, settings, WrittenSecrets({URL_PASSWORD: password}, {URL_PASSWORD: "url"})
    )
