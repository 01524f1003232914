"""Integrations in the filters of notification webhooks: ids in the API, where they last, and names in files, which
people read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from crossdock.manage.refusals import invalid
from crossdock.manage.saving import Difference
from crossdock.manage.webhook_documents import SUBJECT
from crossdock.model.errors import FieldError
from crossdock.model.outcome import Json
from crossdock.store.webhooks import StoredWebhook

_FIELD = "filters.integrations"
_SHOWN = 5


def with_ids(document: Json, integrations: Mapping[str, str], stored: StoredWebhook | None) -> Json:
    """The document with ids in the place of names; `integrations` are the names of those that there will be, by id.

    An id is good, too, where an integration has it, or where the stored filter has it already: its integration is gone
    then. Invalid tells which name means nothing.
    """
    filters = document.get("filters")
    written = filters.get("integrations") if isinstance(filters, dict) else None
    if not isinstance(written, list):
        return document
    ids = {name: integration_id for integration_id, name in integrations.items()}
    before = stored.row.document["filters"]["integrations"] if stored is not None else ()
    errors = [
        FieldError(f"{_FIELD}[{position}]", _nobody(one, ids))
        for position, one in enumerate(written)
        if isinstance(one, str) and one not in ids and one not in integrations and one not in before
    ]
    if errors:
        raise invalid(SUBJECT, errors)
    translated = [ids.get(one, one) if isinstance(one, str) else one for one in written]
    return {**document, "filters": {**filters, "integrations": translated}}


def name_in_differences(found: Iterable[Difference], integrations: Mapping[str, str]) -> tuple[Difference, ...]:
    """The same differences with names in the place of ids."""

    def named(ids: Json) -> Json:
        return [integrations.get(one, one) for one in ids] if isinstance(ids, list) else ids

    return tuple(
        replace(one, before=named(one.before), after=named(one.after)) if one.field == _FIELD else one for one in found
    )


def _nobody(name: str, ids: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(name, ids, n=1, cutoff=0.6)
    if close:
        return f"there is no integration called {name[:120]!r}; did you mean {close[0]!r}?"
    shown = ", ".join(sorted(ids)[:_SHOWN])
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return (
        f"there is no integration called {name[:120]!r}; there are {shown}{more}"
        if shown
        else (f"there is no integration called {name[:120]!r}, and no other either")
    )
