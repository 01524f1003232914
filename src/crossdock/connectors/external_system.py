"""What an external system type is: a preset of the one integration model, with the words that explain it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from enum import StrEnum

from crossdock.model.outcome import Json


class Section(StrEnum):
    """The parts of an integration's form, in their order."""

    ENDPOINT = "endpoint"
    ACCESS = "access"
    INPUT = "input"
    HANDLING = "handling"
    REPLY = "reply"
    HEALTH = "health"


class FieldKind(StrEnum):
    """How a field is entered."""

    TEXT = "text"
    NUMBER = "number"
    SWITCH = "switch"
    CHOICE = "choice"
    CHOICES = "choices"
    DURATION = "duration"
    SECRET = "secret"
    URL = "url"
    HEADERS = "headers"
    EXPRESSION = "expression"
    JSON = "json"
    QUERY_PARAMETERS = "query_parameters"
    AUTHENTICATION = "authentication"
    TEXTS = "texts"


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that can be set. `name` is its path in the integration document."""

    name: str
    label: str
    section: Section
    kind: FieldKind
    help: str
    default: Json = None
    choices: tuple[str, ...] = ()
    required: bool = False
    example: str = ""

    def document(self) -> Json:
        return {
            "name": self.name,
            "label": self.label,
            "section": self.section.value,
            "kind": self.kind.value,
            "help": self.help,
            "default": self.default,
            "choices": list(self.choices),
            "required": self.required,
            "example": self.example,
        }


@dataclass(frozen=True, slots=True)
class SampleCall:
    """A call that shows how the endpoint is used. `query` is appended to the address as it stands."""

    method: str = "POST"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""

    def curl(self, url: str) -> str:
        """The call as a command line for `url`."""
        address = url + (f"?{self.query}" if self.query else "")
        parts = ["curl", "-i", "-X", self.method, shlex.quote(address)]
        for name, value in self.headers:
            header = f"{name}: {value}"
            # in double quotes the shell puts the credential in the place of its $NAME
            parts += ["-H", f'"{header}"' if "$" in value else shlex.quote(header)]
        if self.body:
            parts += ["--data", shlex.quote(self.body)]
        return " ".join(parts)

    def document(self) -> Json:
        return {
            "method": self.method,
            "query": self.query,
            "headers": dict(self.headers),
            "body": self.body,
            "curl": self.curl("https://crossdock.example/hooks/default/path"),
        }


@dataclass(frozen=True, slots=True)
class ExternalSystem:
    """A type that "New Integration" offers. `preset` is what its documents start from."""

    type: str
    title: str
    summary: str
    fields: tuple[Field, ...]
    sample: SampleCall
    guide: str
    preset: Json = field(default_factory=dict)

    def document(self) -> Json:
        """What the catalog of external systems tells about the type."""
        return {
            "type": self.type,
            "title": self.title,
            "summary": self.summary,
            "preset": self.preset,
            "fields": [one.document() for one in self.fields],
            "sample": self.sample.document(),
            "guide": self.guide,
        }
