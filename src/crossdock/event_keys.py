"""The keys that an integration's expressions find in a call: which lane it belongs to, what it is a duplicate of."""

from __future__ import annotations

from collections.abc import Mapping

from crossdock.catalog import LiveIntegration
from crossdock.expressions.names import event_names
from crossdock.model.errors import FieldError, Invalid
from crossdock.model.event import Event
from crossdock.model.expression import Expression, ExpressionError
from crossdock.model.outcome import Json

MAX_KEY_CHARACTERS = 512


def find_keys(live: LiveIntegration, event: Event) -> tuple[str | None, str | None]:
    """The dedupe key and the ordering key of a call, None where the integration has none; Invalid without a value.

    An ordered integration without an ordering key has one lane, whose key is empty.
    """
    ordered = live.integration.trigger.ordered
    if live.dedupe_key is None and live.ordering_key is None:
        return None, "" if ordered else None
    names = event_names(event, live.integration.name)
    dedupe = _evaluate(live.dedupe_key, names, "deduplicate.key") if live.dedupe_key is not None else None
    if not ordered:
        return dedupe, None
    return dedupe, _evaluate(live.ordering_key, names, "ordering_key") if live.ordering_key is not None else ""


def _evaluate(expression: Expression, names: Mapping[str, Json], field: str) -> str:
    try:
        value = expression.evaluate(names)
    except ExpressionError as error:
        raise Invalid(f"the call has no value for {field}", (FieldError(field, str(error)),)) from error
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        raise Invalid(f"{field} has to give a text or a number", (FieldError(field, "is empty or not a text"),))
    text = str(value)
    if len(text) > MAX_KEY_CHARACTERS or not text.isprintable():
        raise Invalid(
            f"{field} gives more than {MAX_KEY_CHARACTERS} characters, or characters that can't be printed",
            (FieldError(field, "is not usable as a key"),),
        )
    return text
