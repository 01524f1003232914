"""Checks that the kinds of steps share. Each raises Invalid with the place of the mistake."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NoReturn

from crossdock.expressions import CompiledTree, Uncompilable, compile_condition, compile_value
from crossdock.model.errors import FieldError, Invalid
from crossdock.model.expression import NAMES
from crossdock.model.outcome import Json

STEP_NAMES = frozenset(NAMES) - {"item"}
"""What expressions of a workflow may begin with, outside of blocks that add names."""
_FAILURE_KIND = re.compile(r"[a-z][a-z0-9_]{0,63}")


def refuse(field: str, message: str) -> NoReturn:
    raise Invalid(f"{field}: {message}", (FieldError(field, message),))


def require_object(
    settings: Json, field: str, *, allowed: Collection[str], required: Collection[str] = ()
) -> dict[str, Json]:
    """The settings, if they are an object with allowed keys only and all the required ones."""
    if not isinstance(settings, dict):
        refuse(field, f"an object is needed, with {', '.join(sorted(allowed))}")
    errors = [
        FieldError(f"{field}.{key}", f"this field is not known here; there are {', '.join(sorted(allowed))}")
        for key in settings
        if key not in allowed
    ]
    errors += [FieldError(f"{field}.{key}", "this field is needed") for key in required if key not in settings]
    if errors:
        raise Invalid(f"{errors[0].field}: {errors[0].message}", tuple(errors))
    return settings


def value_at(settings: Json, field: str, names: Collection[str]) -> CompiledTree:
    """Compile the settings as a tree with expressions over `names`, and `$each`."""
    try:
        return compile_value(settings, field, names=names, has_each=True, place=_inside_step(field))
    except Uncompilable as error:
        refuse(error.field, str(error))


def text_at(settings: Json, field: str, names: Collection[str]) -> CompiledTree:
    if not isinstance(settings, str):
        refuse(field, "text is needed; expressions may stand in it")
    return value_at(settings, field, names)


def condition_at(settings: Json, field: str, names: Collection[str]) -> CompiledTree:
    try:
        return compile_condition(settings, field, names=names, place=_inside_step(field))
    except Uncompilable as error:
        refuse(error.field, str(error))


_WAY_TO_STEP = re.compile(r"^(?:.*\bsteps\[\d+\]|workflow)\.")


def _inside_step(field: str) -> str:
    """A field without the way to its step, which failures name by the step's path."""
    return _WAY_TO_STEP.sub("", field)


def failure_kind_at(settings: Json, field: str) -> str:
    if not isinstance(settings, str) or not _FAILURE_KIND.fullmatch(settings):
        refuse(field, "a kind is a short word of small letters, digits and _")
    return settings


def status_at(settings: Json, field: str, names: Collection[str]) -> CompiledTree:
    """A status that is a number is checked now, one that is an expression when it is known."""
    if isinstance(settings, str):
        compiled = value_at(settings, field, names)
        if not compiled.is_constant:
            return compiled
    if status_of(settings) is None:
        refuse(field, "a status is a number from 200 to 599, or an expression for one")
    return value_at(settings, field, names)


def status_of(value: Json) -> int | None:
    """The HTTP status, if the value is one that can end an answer (1xx can't)."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) == 3:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        return None
    return int(value) if 200 <= value <= 599 else None


def kind_of(value: Json) -> str:
    """What a value is, in words for messages that must not show it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return f"a list of {len(value)}"
        case _:
            return "an object"
