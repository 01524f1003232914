"""Lists in pages. A cursor says where the next page begins; what is in it is nobody's business but ours."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from crossdock.model.errors import FieldError, Invalid
from crossdock.model.outcome import Json

T = TypeVar("T")

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Page:
    """Some items of a list, and the cursor of the next ones; None at the end."""

    items: list[Json] = field(default_factory=list)
    next: str | None = None


def check_limit(limit: int | None) -> int:
    """How many items a page has; Invalid outside 1 to 200."""
    if limit is None:
        return DEFAULT_LIMIT
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid(
            f"limit is 1 to {MAX_LIMIT}", (FieldError("limit", f"must be from 1 to {MAX_LIMIT}, not {limit}"),)
        )
    return limit


def write_cursor(position: str | int) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).rstrip(b"=").decode()


def read_text_cursor(cursor: str | None) -> str | None:
    """The text position in a cursor; Invalid when it was not made here."""
    position = _read(cursor)
    if position is not None and not (isinstance(position, str) and position.isprintable()):
        raise _not_ours()
    return position


def read_number_cursor(cursor: str | None) -> int | None:
    """The number in a cursor; Invalid when it was not made here."""
    position = _read(cursor)
    if position is not None and (not isinstance(position, int) or isinstance(position, bool)):
        raise _not_ours()
    return position


def cut_page(rows: Sequence[T], limit: int, position: Callable[[T], str | int], document: Callable[[T], Json]) -> Page:
    """The page of up to `limit` rows out of `limit + 1` that were read: the extra row says that there are more."""
    shown = rows[:limit]
    more = write_cursor(position(shown[-1])) if len(rows) > limit else None
    return Page([document(row) for row in shown], more)


def _read(cursor: str | None) -> Json:
    if not cursor:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        raise _not_ours() from None


def _not_ours() -> Invalid:
    return Invalid(
        "the cursor is not one that a list gave back; begin again without it",
        (FieldError("cursor", "is not one that a list gave back"),),
    )
