"""Pydantic's findings as field errors in plain words: where it is, what is wrong, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
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
    return tuple(_field_error(found, model) for found in error.errors(include_url=False, include_input=False))


def _field_error(found: Any, model: type[BaseModel]) -> FieldError:
    location, known = _resolve(model, found["loc"])
    if found["type"] in ("union_tag_not_found", "union_tag_invalid"):
        context = found["ctx"]
        location.append(str(context["discriminator"]).strip("'"))
        tags = context.get("expected_tags") or ", ".join(_tags(model, found["loc"]))
        return FieldError(field_path(location), f"must be one of {tags}".replace("'", ""))
    return FieldError(field_path(location), _message(found, known))


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


def _message(found: Any, known: Sequence[str]) -> str:
    kind, context = found["type"], found.get("ctx", {})
    match kind:
        case "extra_forbidden":
            return _unknown_field(str(found["loc"][-1]), known)
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


def _resolve(model: type[BaseModel], location: Sequence[str | int]) -> tuple[list[str | int], list[str]]:
    """The location without the words by which Pydantic tells the members of a union apart, and the fields that are
    known where it ends."""
    path: list[str | int] = []
    members: list[type[BaseModel]] = []
    current: type[BaseModel] | None = model
    known: list[str] = []
    for part in location:
        chosen = next((member for member in members if _is_tagged(member, part)), None)
        if chosen is not None:
            current, members = chosen, []
            continue
        path.append(part)
        known = _names_in(current) if current is not None else []
        if isinstance(part, int) or current is None:
            continue
        field = current.model_fields.get(part)
        found = _models_in(field.annotation) if field is not None else []
        members = found if field is not None and field.discriminator else []
        current = found[0] if found else None
    return path, known


def _names_in(model: type[BaseModel]) -> list[str]:
    """The names of a model's fields as documents write them."""
    return sorted(field.alias or name for name, field in model.model_fields.items())


def _is_tagged(member: type[BaseModel], tag: str | int) -> bool:
    return any(tag in get_args(field.annotation) for field in member.model_fields.values())


def _tags(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """What tells the members of the union at `location` apart."""
    members: list[type[BaseModel]] = [model]
    for part in location:
        field = members[0].model_fields[str(part)]
        members = _models_in(field.annotation)
    return [str(get_args(member.model_fields["type"].annotation)[0]) for member in members]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models inside `Model | None`, `list[Model]`, or a union of models."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models_in(part)]


def refuse_read_only(document: Mapping[str, Any], names: Collection[str], subject: str) -> None:
    """Invalid when a document has fields that only Crossdock writes."""
    found = sorted(document.keys() & set(names))
    if found:
        raise invalid(subject, [FieldError(name, "is set by Crossdock; leave it out") for name in found])
