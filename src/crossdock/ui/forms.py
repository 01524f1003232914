"""Forms as they come from browsers: text fields, switches, and rows of fields that repeat.

A field may come several times (`key`, `key`, ...); rows are read from fields of the same length side by side. What a
person typed is kept and shown again beside the errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from crossdock.model.errors import Invalid, Malformed, TooLarge

FORM_BYTES = 4 * 1024 * 1024
"""As much as the largest document that people edit here, encoded as a form."""
FORM_FIELDS = 2_000
LONGEST_NUMBER = 12
"""Digits; whatever is longer is no number that was meant."""
PLAIN = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form in the order in which they came."""

    fields: Sequence[tuple[str, str]] = ()
    _by_name: dict[str, list[str]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.fields:
            self._by_name.setdefault(name, []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def text(self, name: str, otherwise: str = "") -> str:
        """The last value of this name, without white space around it."""
        return self.raw(name, otherwise).strip()

    def raw(self, name: str, otherwise: str = "") -> str:
        """The last value of this name as it was typed, with the line ends of this program."""
        values = self._by_name.get(name)
        return values[-1].replace("\r\n", "\n") if values else otherwise

    def whole(self, name: str, otherwise: int = 0) -> int:
        """A whole number from 0; `otherwise` where there is none."""
        number = self.number(name)
        return number if isinstance(number, int) else otherwise

    def number(self, name: str, otherwise: str = "") -> int | str:
        """A whole number from 0; its text where it is none: whoever checks it says what is wrong."""
        text = self.text(name, otherwise)
        return int(text) if text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER else text

    def all(self, name: str) -> list[str]:
        return list(self._by_name.get(name, ()))

    def without(self, *names: str) -> Form:
        """The form without the fields of these names."""
        return Form([each for each in self.fields if each[0] not in names])

    def is_on(self, name: str) -> bool:
        """Whether a switch of this name is on: browsers send nothing for one that is off."""
        return self.text(name) not in ("", "off", "false", "0")

    def rows(self, *names: str) -> list[dict[str, str]]:
        """Rows of fields side by side, as in `rows("headers.key", "headers.value")`: by their last words, without empty
        rows."""
        columns = [self._by_name.get(name, []) for name in names]
        length = max(map(len, columns), default=0)
        labels = [name.rpartition(".")[2] for name in names]
        padded = [column + [""] * (length - len(column)) for column in columns]
        made = [dict(zip(labels, values, strict=True)) for values in zip(*padded, strict=True)]
        return [row for row in made if any(value.strip() for value in row.values())]


NO_FORM = Form()


@dataclass(frozen=True, slots=True)
class Errors:
    """What is wrong with a form: messages by the path of their field in the document."""

    by_field: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""

    @classmethod
    def of(cls, refused: Invalid) -> Errors:
        """The first message of each field; what is said of no field becomes the summary."""
        by_field: dict[str, str] = {}
        for each in refused.errors:
            by_field.setdefault(each.field, each.message)
        return cls(by_field, str(refused))

    def __bool__(self) -> bool:
        return bool(self.by_field or self.summary)

    def at(self, path: str) -> str:
        """The message of this field, or of something inside it."""
        if path in self.by_field:
            return self.by_field[path]
        inside = (f"{path}.", f"{path}[")
        return next((f"{name}: {text}" for name, text in self.by_field.items() if name.startswith(inside)), "")

    def others(self, paths: Sequence[str]) -> dict[str, str]:
        """The messages of fields that are none of these, nor inside them: they have no place of their own."""
        known = tuple(paths)
        return {
            name: text
            for name, text in self.by_field.items()
            if name not in known and not name.startswith(tuple(f"{path}{sign}" for path in known for sign in ".["))
        }


NO_ERRORS = Errors()


async def read_form(request: Request) -> Form:
    """The form that was sent; Invalid when it is no plain form, TooLarge over 4 MiB."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (PLAIN, ""):
        raise Invalid("this page takes plain forms only")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > FORM_BYTES:
                raise TooLarge(f"a form has {FORM_BYTES} bytes at most")
    except ClientDisconnect:
        raise Malformed("the form broke off") from None
    try:
        fields = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=FORM_FIELDS)
    except ValueError:
        raise Invalid(f"a form has {FORM_FIELDS} fields at most") from None
    return Form([(without_nul(name), without_nul(value)) for name, value in fields])


def without_nul(text: str) -> str:
    """The text without NUL: nobody types it, and PostgreSQL takes no text that has it."""
    return text.replace("\0", "")
