"""Keys that a form brings along: they are made together with the integration, and shown once after that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from crossdock.manage.actor import Actor
from crossdock.manage.keys import Keys, NewKey
from crossdock.manage.refusals import field_errors, invalid
from crossdock.model.errors import FieldError, Invalid
from crossdock.model.outcome import Json
from crossdock.ui.forms import Form


@dataclass(frozen=True, slots=True)
class WantedKey:
    """A key of the form; an empty text means that one is to be generated."""

    label: str
    text: str = field(default="", repr=False)


def wanted_keys(sent: Form) -> list[WantedKey]:
    """The keys of the form, where it chooses keys for access. Invalid, with their fields, when one can't be made."""
    if sent.text("trigger.authentication.mode") != "api_keys":
        return []
    keys = [WantedKey(row["label"].strip(), row["key"].strip()) for row in sent.rows("new_keys.label", "new_keys.key")]
    errors = [error for number, key in enumerate(keys) for error in _errors(number, key, keys[:number])]
    if errors:
        raise invalid("the key", errors)
    return keys


async def add_keys(
    cases: Keys, actor: Actor, integration_id: str, wanted: Sequence[WantedKey]
) -> tuple[list[Json], list[str]]:
    """Make them: their documents with the text of each, which nobody is told again, and why others were refused."""
    made: list[Json] = []
    refused: list[str] = []
    for key in wanted:
        try:
            made.append(await cases.add(actor, integration_id, key.label, key.text or None))
        except Invalid as error:  # the integration has it already; what was made before it must be shown all the same
            refused.append(f"{key.label}: {error}")
    return made, refused


def _errors(number: int, key: WantedKey, before: Sequence[WantedKey]) -> list[FieldError]:
    place = f"new_keys[{number}]"
    if key.text and any(key.text == other.text for other in before):
        return [FieldError(f"{place}.key", "is there twice")]
    try:
        NewKey.model_validate({"label": key.label, "key": key.text or None})
    except ValidationError as error:
        return [FieldError(f"{place}.{found.field}", found.message) for found in field_errors(error, NewKey)]
    return []
