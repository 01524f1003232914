"""The notification webhook document, as people and programs write it.

`read_webhook_document` checks a whole document and takes it apart into what is stored: plain settings with `[set]` in
the place of secrets, and the secrets by their places. Everything that is wrong is told at once, each with its field. A
secret that is left out of an authentication, or written as `[set]`, is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, ValidationError
from yarl import URL

from crossdock.connectors import EXTERNAL_SYSTEMS
from crossdock.expressions.json_path import compile_path
from crossdock.manage.authentication import (
    NO_AUTHENTICATION,
    NO_SECRETS,
    BearerTokenPart,
    CustomPart,
    NoAuthenticationPart,
    OAuthPart,
    Place,
    WrittenSecrets,
    authentication_errors,
    header_places,
    secret_places,
    take_out_secrets,
)
from crossdock.manage.documents import Part, check_size
from crossdock.manage.fields import SET, Headers, Password, check_line, duration_between
from crossdock.manage.refusals import field_errors, invalid
from crossdock.manage.secrets import SIGNING_SECRET, check_signing_secret
from crossdock.model.errors import FieldError, Invalid
from crossdock.model.notification import read_quiet_hours
from crossdock.model.outcome import Json
from crossdock.notices.template import TemplateRefused, compile_template

SUBJECT = "the notification webhook"
NAME_LENGTH = 100
MOST_FILTERED = 1_000
MOST_VALIDATORS = 20
MOST_VALUES = 50
MOST_SECRETS = 20

_SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_CLOCK_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def _name(text: str) -> str:
    line = check_line(text, NAME_LENGTH)
    if not all(character.isalnum() or character in " ._-" for character in line):
        raise ValueError("may have letters, digits, spaces, dots, dashes and underscores only")
    if not any(character.isalnum() for character in line):
        raise ValueError("must have a letter or a digit")
    return line


def _json_path(text: str) -> str:
    compile_path(text)
    return text


def _expected(value: Any) -> Any:
    if isinstance(value, dict | list):
        raise ValueError("must be text, a number, true, false or null; a path may lead into lists and objects")
    return value


def _clock_time(text: str) -> str:
    if not _CLOCK_TIME.fullmatch(text):
        raise ValueError('must be a time of the day in quotes, such as "22:00" or "06:30"')
    return text


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (LookupError, OSError, ValueError):
        raise ValueError(f"{name[:64]!r} is no time zone; write it like Europe/Berlin or UTC") from None
    return name


def _signing_secret(text: str) -> str:
    return text if text == SET else check_signing_secret(text)


def _secrets(secrets: dict[str, str]) -> dict[str, str]:
    if len(secrets) > MOST_SECRETS:
        raise ValueError(f"may have {MOST_SECRETS} entries at most")
    for name in secrets:
        if not _SECRET_NAME.fullmatch(name):
            raise ValueError(
                f"{name[:64]!r} is not a name for templates: letters, digits and _, beginning with no digit"
            )
    return secrets


Status: TypeAlias = Literal["warning", "error", "active"]
Statuses: TypeAlias = Annotated[list[Status], Field(max_length=10)]
Day: TypeAlias = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
ClockTime: TypeAlias = Annotated[str, AfterValidator(_clock_time)]


class FiltersPart(Part):
    integrations: Annotated[list[str], Field(max_length=MOST_FILTERED)] = Field(default=[])
    types: Annotated[list[str], Field(max_length=100)] = Field(default=[])
    statuses: Statuses = Field(default=["warning", "error"])


class ResponseValidatorPart(Part):
    json_path: Annotated[str, AfterValidator(_json_path)]
    expected_values: Annotated[list[Annotated[Any, AfterValidator(_expected)]], Field(max_length=MOST_VALUES)] = Field(
        default=[]
    )


class QuietHoursPart(Part):
    from_: ClockTime = Field(alias="from")
    until: ClockTime
    time_zone: Annotated[str, AfterValidator(_time_zone)]
    days: Annotated[list[Day], Field(max_length=7)] = Field(default=[])
    except_statuses: Statuses = Field(default=[])


class NotificationWebhookPart(Part):
    """A notification webhook. Secrets are write-only."""

    name: Annotated[str, AfterValidator(_name)]
    active: bool = True
    type: Literal["http_webhook"] = "http_webhook"
    method: Literal["POST", "PUT"] = "POST"
    url: str
    body_template: str | None = None
    authentication: Annotated[
        NoAuthenticationPart | BearerTokenPart | CustomPart | OAuthPart, Field(discriminator="type")
    ] = NO_AUTHENTICATION
    headers: Headers = Field(default={})
    secrets: Annotated[dict[str, Password], AfterValidator(_secrets)] = Field(default={})
    signing_secret: Annotated[str, AfterValidator(_signing_secret)] | None = None
    filters: FiltersPart = FiltersPart()
    timeout_seconds: Annotated[int, Field(ge=1, le=60)] = 10
    response_validators: Annotated[list[ResponseValidatorPart], Field(max_length=MOST_VALIDATORS)] = Field(default=[])
    notify_recovery: bool = False
    digest: Annotated[str, duration_between(60.0, 86_400.0)] | None = None
    quiet_hours: QuietHoursPart | None = None


@dataclass(frozen=True, slots=True)
class WebhookRules:
    """Checks that are made elsewhere, for one workspace. `check_url` raises Invalid."""

    check_url: Callable[[str], None]
    integrations: Mapping[str, str] = field(default_factory=dict)
    """The names of those that filters may name, by id."""


@dataclass(frozen=True, slots=True)
class WebhookDraft:
    """A document that was found good, taken apart."""

    name: str
    active: bool
    settings: Json
    """Everything but name and active, with all defaults and without secrets."""
    secrets: WrittenSecrets = NO_SECRETS


def read_webhook_document(document: Json, rules: WebhookRules) -> WebhookDraft:
    """Check a complete document; Invalid names every field that is wrong. A template is tried: it may take seconds."""
    check_size(document, SUBJECT)
    try:
        part = NotificationWebhookPart.model_validate(document)
    except ValidationError as error:
        raise invalid(SUBJECT, field_errors(error, NotificationWebhookPart)) from None
    settings = _settings(part)
    errors = [*_outside_errors(part, settings, rules), *_filter_errors(part.filters, rules)]
    errors += _quiet_hours_errors(settings)
    if errors:
        raise invalid(SUBJECT, errors)
    settings, secrets = take_out_secrets(settings, list(webhook_places(settings)))
    return WebhookDraft(part.name, part.active, settings, secrets)


def default_settings() -> Json:
    """What a document has where it says nothing."""
    return _settings(NotificationWebhookPart(name="any", url=""))


def webhook_places(settings: Json) -> Iterator[Place]:
    """Where the settings have secrets."""
    yield from secret_places(settings["authentication"])
    yield from header_places(settings["headers"])
    yield from (Place(("secrets", name)) for name in settings["secrets"])
    if settings["signing_secret"] is not None:
        yield Place((SIGNING_SECRET,))


def destination_of(settings: Json) -> str:
    """Where the secrets of a webhook go: a kept one goes to no other place."""
    ends = [settings["url"], settings["authentication"].get("token_endpoint_url")]
    return " and ".join(str(URL(end).origin()) for end in ends if end)


def _settings(part: NotificationWebhookPart) -> Json:
    settings = part.model_dump(exclude={"name", "active"}, by_alias=True)
    filters = {name: list(dict.fromkeys(values)) for name, values in settings["filters"].items()}
    return {**settings, "filters": filters}


def _outside_errors(part: NotificationWebhookPart, settings: Json, rules: WebhookRules) -> list[FieldError]:
    """Addresses, headers that are set twice, and the template: what only their own reader can judge."""
    errors: list[FieldError] = []
    try:
        rules.check_url(part.url)
    except Invalid as error:
        errors.append(FieldError("url", str(error)))
    errors += authentication_errors(settings["authentication"], part.headers, rules.check_url)
    if part.body_template is not None:
        try:
            compile_template(part.body_template, part.secrets.keys())
        except TemplateRefused as error:
            errors.append(FieldError("body_template", str(error)))
    return errors


def _filter_errors(filters: FiltersPart, rules: WebhookRules) -> list[FieldError]:
    errors = [
        FieldError(
            f"filters.integrations[{position}]",
            f"there is no integration {integration_id[:64]} here; filters name integrations by their ids",
        )
        for position, integration_id in enumerate(filters.integrations)
        if integration_id not in rules.integrations
    ]
    known = ", ".join(EXTERNAL_SYSTEMS)
    return errors + [
        FieldError(f"filters.types[{position}]", f"must be one of {known}")
        for position, name in enumerate(filters.types)
        if name not in EXTERNAL_SYSTEMS
    ]


def _quiet_hours_errors(settings: Json) -> list[FieldError]:
    if settings["quiet_hours"] is None:
        return []
    try:
        read_quiet_hours(settings["quiet_hours"])
    except ValueError as error:
        return [FieldError("quiet_hours", str(error))]
    return []
