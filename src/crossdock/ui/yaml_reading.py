"""YAML that people typed into a form, as JSON: bounded, and with the place of a mistake in words."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from crossdock.model.errors import FieldError, Invalid
from crossdock.model.outcome import Json

MOST_BYTES = 512 * 1024
"""Of YAML: reading takes a second for each few hundred KiB. JSON, which is YAML too, is read up to a form's size."""
_MOST_NODES = 200_000
_DEEPEST = 80


async def read_yaml(text: str, field: str) -> Json:
    """The one document of the text; null when it is empty. Invalid says at which line it can't be read."""
    return await asyncio.to_thread(parse_yaml, text, field)  # a long text must not hold up the others


def parse_yaml(text: str, field: str) -> Json:
    """As `read_yaml`, for short texts."""
    if "\x00" in text:
        raise _wrong(field, "has a NUL character, which can't be kept")
    if text.lstrip()[:1] in ("{", "["):
        try:
            value = json.loads(text)
        except RecursionError:
            raise _wrong(field, "is nested too deep") from None
        except ValueError:
            value = _parse(text, field)
    else:
        value = _parse(text, field)
    return _Copy(field).copy(value, 0)


def _parse(text: str, field: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    if len(text) > MOST_BYTES:
        raise _wrong(field, f"has more than {MOST_BYTES // 1024} KiB, the most for YAML; write larger ones as JSON")
    try:
        return YAML(typ="safe").load(text)
    except MarkedYAMLError as error:
        hint = '; an expression stands in quotes: "{{ body.total }}"' if "{{" in text else ""
        raise _wrong(field, _told(error) + hint) from None
    except RecursionError:
        raise _wrong(field, "is nested too deep") from None
    except (YAMLError, ValueError) as error:
        raise _wrong(field, f"is no YAML: {str(error).splitlines()[0][:200]}") from None


def _told(error: Any) -> str:
    mark = error.problem_mark or error.context_mark
    place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    return f"is no YAML{place}: {error.problem or error.context or 'it can not be read'}"


class _Copy:
    """YAML knows more than JSON, and parts of it may stand for one another many times over."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._nodes = 0

    def copy(self, value: Any, depth: int) -> Json:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise _wrong(self._field, f"has more than {_MOST_NODES} values")
        if depth > _DEEPEST:
            raise _wrong(self._field, "is nested too deep")
        if isinstance(value, dict):
            return {_name(key): self.copy(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, list | tuple | set):
            return [self.copy(inner, depth + 1) for inner in value]
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
            raise _wrong(self._field, "has a number that is not finite")
        if value is None or isinstance(value, bool | int | float | str):
            return value
        return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _name(key: Any) -> str:
    if isinstance(key, str):
        return key
    return {None: "null", True: "true", False: "false"}.get(key) or str(key) if not isinstance(key, tuple) else str(key)


def _wrong(field: str, message: str) -> Invalid:
    return Invalid(f"{field or 'the text'} {message}", (FieldError(field, message),))
