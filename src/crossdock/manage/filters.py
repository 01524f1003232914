"""Filters of lists, as the words of a query say them: every one that is wrong is named."""

from __future__ import annotations

from collections.abc import Sequence

from crossdock.model.errors import FieldError, Invalid
from crossdock.model.time import Instant, parse_instant


def read_time(field: str, text: str | None, errors: list[FieldError]) -> Instant | None:
    """A moment; what is wrong with it goes to `errors`."""
    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError as error:
        errors.append(FieldError(field, str(error)))
        return None


def check_filter(errors: Sequence[FieldError]) -> None:
    """Invalid when anything was wrong."""
    if errors:
        raise Invalid(f"the filter is not acceptable: {errors[0].field} {errors[0].message}", tuple(errors))
