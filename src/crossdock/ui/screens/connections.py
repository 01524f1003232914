"""Connections: the list, the forms of both kinds with their test, and who uses them."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from crossdock.model.errors import Conflict, Invalid
from crossdock.model.outcome import Json
from crossdock.ui.conflicts import differences
from crossdock.ui.credential_form import pair_rows
from crossdock.ui.forms import NO_ERRORS, Errors
from crossdock.ui.screens.connection_form import (
    KINDS,
    LABELS,
    as_patch,
    comparable,
    empty_document,
    outcome_in_words,
    read_connection_form,
    with_password,
)
from crossdock.ui.visit import Visit, reads, writes

LIST, FORM = "connections/list.html", "connections/form.html"
SHOWN_PATHS = (*LABELS, "client_certificate.certificate", "client_certificate.key")


async def show_list(visit: Visit) -> Response:
    kind: Any = visit.query("kind") if visit.query("kind") in KINDS else None
    page = await visit.cases.connections.page(visit.actor, q=visit.query("q"), kind=kind, cursor=visit.cursor)
    is_narrowed = bool(visit.query("q") or kind or visit.cursor)
    return visit.show(
        LIST, "list", connections=page.items, next=page.next, fields=visit.fields, is_narrowed=is_narrowed
    )


async def show_new(visit: Visit) -> Response:
    visit.actor.require("admin")
    return _form(visit, empty_document("sql" if visit.query("kind") == "sql" else "http"))


async def create(visit: Visit) -> Response:
    document = read_connection_form(visit.sent, _kind(visit.sent.text("kind")))
    try:
        made = await visit.cases.connections.create(visit.actor, with_password(document, visit.sent))
    except Invalid as error:
        return _form(visit, {**empty_document(document["kind"]), **document}, 422, errors=Errors.of(error))
    return visit.go(visit.path("connections"), f"{made['name']} was created. Steps name it by its name.")


async def show_one(visit: Visit) -> Response:
    return _form(visit, await visit.cases.connections.show(visit.actor, visit.parameter("connection_id")))


async def save(visit: Visit) -> Response:
    """Save the form; with what differs, where somebody else has saved another since it was opened."""
    present = await visit.cases.connections.show(visit.actor, visit.parameter("connection_id"))
    document = read_connection_form(visit.sent, present["kind"])
    revision = visit.sent.whole("revision")
    shown = {**present, **document, "revision": revision}
    try:
        patch = as_patch(with_password(document, visit.sent), present, revision)
        saved = await visit.cases.connections.change(visit.actor, present["id"], patch)
    except Invalid as error:
        return _form(visit, shown, 422, errors=Errors.of(error))
    except Conflict as error:
        if revision == present["revision"]:  # its name can't change while it is used
            return _form(visit, shown, 409, errors=Errors({"name": str(error)}, str(error)))
        differing = differences(comparable(document), comparable(present), LABELS)
        return _form(visit, {**present, **document}, 409, differing=differing)
    return visit.go(visit.path("connections"), f"{saved['name']} was saved.")


async def delete(visit: Visit) -> Response:
    """Delete it, unless a workflow uses it: then say which."""
    connection_id = visit.parameter("connection_id")
    name = (await visit.cases.connections.show(visit.actor, connection_id))["name"]
    try:
        await visit.cases.connections.delete(visit.actor, connection_id)
    except Conflict as error:
        return visit.go(visit.path("connections", connection_id), str(error), tone="bad")
    return visit.go(visit.path("connections"), f"{name} was deleted.")


async def test(visit: Visit) -> Response:
    """Use it once as the form says now, saved or not."""
    connection_id = visit.request.path_params.get("connection_id")
    cases = visit.cases.connections
    if connection_id is None:
        kind = _kind(visit.sent.text("kind"))
        present, document = empty_document(kind), read_connection_form(visit.sent, kind)
        shown = {**present, **document}
    else:
        present = await cases.show(visit.actor, connection_id)
        document = read_connection_form(visit.sent, present["kind"])
        shown = {**present, **document, "revision": visit.sent.whole("revision")}
    try:
        written = with_password(document, visit.sent)
        if connection_id is None:
            tried = await cases.test_unsaved(visit.actor, written)
        else:
            tried = await cases.test(visit.actor, connection_id, as_patch(written, present, present["revision"]))
    except Invalid as error:
        tried = {"outcome": "failed", "error": str(error), "details": {}}
    if visit.is_partial:
        return visit.part(FORM, "outcome", tried=_told(tried, document))
    return _form(visit, shown, tried=_told(tried, document))


async def test_saved(visit: Visit) -> Response:
    """Use it once as it is saved: also for whoever may not change it, and from the list."""
    connection_id = visit.parameter("connection_id")
    document = await visit.cases.connections.show(visit.actor, connection_id)
    tried = _told(await visit.cases.connections.test(visit.actor, connection_id), document)
    if visit.is_partial:
        return visit.part(FORM, "outcome", tried=tried)
    word = "Test successful" if tried["outcome"] == "successful" else "Test failed"
    tone = "good" if tried["outcome"] == "successful" else "bad"
    back = visit.path("connections") if visit.sent.is_on("from_list") else visit.path("connections", connection_id)
    return visit.go(back, f"{document['name']}: {word}. {tried['words']}", tone=tone)


def _form(visit: Visit, connection: Json, status: int = 200, **names: Any) -> Response:
    given: dict[str, Any] = {"errors": NO_ERRORS, "tried": None, "differing": None, **names}
    authentication = connection.get("authentication", {})
    return visit.page(
        FORM,
        status,
        connection=connection,
        is_new="id" not in connection,
        header_rows=pair_rows(connection.get("headers", {})),
        secret_rows=pair_rows(authentication.get("headers", {})),
        shown_paths=SHOWN_PATHS,
        **given,
    )


def _told(tried: Json, document: Json) -> Json:
    return {**tried, "words": outcome_in_words(tried, document)}


def _kind(word: str) -> str:
    if word not in KINDS:
        raise Invalid("a connection is of the kind http or sql")
    return word


routes = (
    reads("/connections", show_list),
    reads("/connections/new", show_new),
    writes("/connections", create),
    writes("/connections/test", test),
    reads("/connections/{connection_id}", show_one),
    writes("/connections/{connection_id}", save),
    writes("/connections/{connection_id}/test", test),
    writes("/connections/{connection_id}/test-saved", test_saved),
    writes("/connections/{connection_id}/delete", delete),
)
