"""The list of integrations: those that need attention first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from starlette.responses import Response

from crossdock.manage.integrations import external_systems
from crossdock.manage.paging import Page
from crossdock.model.errors import CrossdockError, Invalid
from crossdock.model.health import HealthStatus
from crossdock.model.outcome import Json
from crossdock.ui.forms import Form
from crossdock.ui.integration_form.summary import sample_call
from crossdock.ui.pictures.sparkline import sparkline, totals_in_words
from crossdock.ui.visit import Visit, reads, writes

LIST = "integrations/list.html"
PATH = "integrations"
HEALTH = (HealthStatus.ERROR, HealthStatus.WARNING, HealthStatus.ACTIVE, HealthStatus.INITIALIZING)
STATUSES = ("enabled", "disabled")
MOST_AT_ONCE = 200
MOST_UNDONE = 50
"""So many ids fit into what a page remembers of the deed before."""
Switch: TypeAlias = Literal["enabled", "disabled"]

HELLO = {
    "type": "webhook-trigger",
    "status": "enabled",
    "trigger": {
        "methods": ["POST", "GET"],
        "authentication": {"mode": "api_keys"},
        "query_parameters": [{"name": "name", "default": "world"}],
        "response_mode": "sync",
    },
    "workflow": {
        "steps": [
            {
                "id": "greet",
                "notes": "Builds the greeting from the query parameter.",
                "transform": {"hello": "{{ query.name }}", "at": "{{ event.received_at }}"},
            },
            {"id": "answer", "respond": {"status": 200, "json": "{{ steps.greet }}"}},
        ]
    },
}
"""The working example that one click makes."""


async def show(visit: Visit) -> Response:
    """The list, narrowed by the query; `panel=external-systems` opens the catalog beside it."""
    page = await _page(visit)
    return visit.show(
        LIST,
        "list",
        lines=[{**line, "picture": sparkline(line["traffic"]), "said": _said(line)} for line in page.items],
        next=page.next,
        titles={one["type"]: one["title"] for one in external_systems()},
        systems=_found_systems(visit.query("system")),
        is_panel=visit.query("panel") == "external-systems",
        is_narrowed=any(visit.query(name) for name in ("q", "type", "status", "health", "cursor")),
        health=[status.value for status in HEALTH],
        statuses=STATUSES,
        chosen_health=_words(visit.query("health")),
    )


async def _page(visit: Visit) -> Page:
    """What the URL asks for; words in it that there are not narrow nothing."""
    status: Switch | None = "enabled" if visit.query("status") == "enabled" else None
    if visit.query("status") == "disabled":
        status = "disabled"
    chosen = [word for word in _words(visit.query("health")) if word in frozenset(HealthStatus)]
    return await visit.cases.overview.integrations(
        visit.actor,
        q=visit.query("q"),
        type=visit.query("type") or None,
        status=status,
        health=",".join(chosen) or None,
        cursor=visit.cursor,
    )


async def switch_many(visit: Visit) -> Response:
    """Enable or disable those that were chosen; what could not be changed is told by name."""
    visit.actor.require("admin")
    wanted = visit.sent.text("status")
    if wanted not in STATUSES:
        raise Invalid("say whether to enable or to disable")
    ids = list(dict.fromkeys(" ".join(visit.sent.all("ids")).split()))[:MOST_AT_ONCE]
    if not ids:
        return visit.go(_back(visit.sent, visit), "Choose integrations first.", tone="warning")
    changed, refused = await _switch(visit, ids, wanted)
    word = "Enabled" if wanted == "enabled" else "Disabled"
    said = f"{word} {len(changed)} integration" + ("" if len(changed) == 1 else "s") + "."
    if refused:
        said += " Not changed: " + "; ".join(refused[:5]) + (" and others" if len(refused) > 5 else "")
    tone = "warning" if refused else "good"
    if not 0 < len(changed) <= MOST_UNDONE:
        return visit.go(_back(visit.sent, visit), said, tone=tone)
    opposite = "disabled" if wanted == "enabled" else "enabled"
    undo = visit.path(PATH, "switch")
    return visit.go(_back(visit.sent, visit), said, tone=tone, undo=undo, status=opposite, ids=" ".join(changed))


async def _switch(visit: Visit, ids: Sequence[str], wanted: str) -> tuple[list[str], list[str]]:
    """The ids of those that changed, and why others did not."""
    changed, refused = [], []
    known = await visit.cases.integrations.documents(visit.actor, ids)
    for integration_id in ids:
        document = known.get(integration_id)
        if document is None or document["status"] == wanted:
            continue
        try:
            await visit.cases.integrations.change(visit.actor, integration_id, {"status": wanted})
        except CrossdockError as error:
            refused.append(f"{document['name']} ({error})")
        else:
            changed.append(integration_id)
    return changed, refused


async def make_example(visit: Visit) -> Response:
    """An integration that works, with a key that is shown once and the call that tries it."""
    visit.actor.require("admin")
    cases = visit.cases
    made = await cases.integrations.create(visit.actor, {**HELLO, "name": await _free_name(visit)})
    key = await cases.keys.add(visit.actor, made["id"], "Example")
    curl = sample_call(made["trigger"]).curl(made["url"]).replace("$API_KEY", key["key"])
    onward = visit.path(PATH, made["id"])
    return visit.page(
        "integrations/keys_made.html",
        201,
        made=made,
        keys=[key],
        refused=[],
        said_here="A working example: it answers with a greeting.",
        curl=curl,
        onward=onward,
    )


async def _free_name(visit: Visit) -> str:
    number = 1
    while True:
        name = "Hello" if number == 1 else f"Hello {number}"
        if await visit.cases.integrations.by_name(visit.actor, name) is None:
            return name
        number += 1


def _said(line: Json) -> str:
    return totals_in_words(line["traffic"]["total"])


def _found_systems(words: str) -> list[Json]:
    """The entries of the catalog in which all of these words are."""
    wanted = words.casefold().split()
    systems = external_systems()
    return [one for one in systems if all(word in f"{one['title']} {one['summary']}".casefold() for word in wanted)]


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _back(sent: Form, visit: Visit) -> str:
    """The list as it was: only its query is taken from the form."""
    query = sent.text("query")
    return visit.path(PATH) + (f"?{query}" if query and query.isprintable() and "#" not in query else "")


routes = (
    reads("/integrations", show),
    writes("/integrations/switch", switch_many),
    writes("/integrations/example", make_example),
)
