"""Pydantic's findings as field errors in plain words: where it is, what is wrong, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from crossdock.model.errors import FieldError, Invalid

_WORDS: Mapping[str, str] = {
    "missing": "is required",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is out of range",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "invalid_key": "must have names that are text",
    "finite_number": "must be a finite number",
    "string_unicode": "must be valid Unicode",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "greater_than": "must be more than {gt}",
    "less_than": "must be less than {lt}",
    "string_too_short": "must be {min_length} characters or more",
    "string_too_long": "must be {max_length} characters at most",
    "too_short": "must have {min_length} entries or more",
    "too_long": "must have {max_length} entries at most",
}


def field_errors(error: ValidationError, model: type[BaseModel]) -> tuple[FieldError, ...]:
    """What Pydantic found in a document for `model`."""
    return tuple(
        FieldError(field_path(found["loc"]), _message(found, model))
        for found in error.errors(include_url=False, include_input=False)
    )


def field_path(location: Sequence[str | int]) -> str:
    """`("trigger", "query_parameters", 0, "name")` as `trigger.query_parameters[0].name`."""
    parts = [part for part in location if part != "[key]"]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")


def invalid(subject: str, errors: Sequence[FieldError]) -> Invalid:
    """The refusal of a document; its message tells the first error, so that it helps where fields are not shown."""
    first = errors[0]
    message = f"{subject} is not acceptable: {first.field} {first.message}" if first.field else first.message
    if len(errors) > 1:
        message += f" (and {len(errors) - 1} more)"
    return Invalid(message, tuple(errors))


def _message(found: Any, model: type[BaseModel]) -> str:
    kind, context = found["type"], found.get("ctx", {})
    match kind:
        case "extra_forbidden":
            return _unknown_field(str(found["loc"][-1]), _fields_at(model, found["loc"][:-1]))
        case "literal_error":
            return f"must be one of {context['expected']}".replace("'", "").replace(" or ", ", ")
        case "value_error":
            return str(context["error"])
        case _ if kind in _WORDS:
            return _WORDS[kind].format(**context)
        case _:
            return str(found["msg"]).lower()


def _unknown_field(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"is an unknown field; did you mean {close[0]}?"
    return f"is an unknown field; known here: {', '.join(known)}" if known else "is an unknown field"


def _fields_at(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    current: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, int) or current is None:
            continue
        field = current.model_fields.get(part)
        current = _model_in(field.annotation) if field is not None else None
    return sorted(current.model_fields) if current is not None else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside `Model | None` or `list[Model]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)
