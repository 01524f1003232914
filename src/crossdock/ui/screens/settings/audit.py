"""The audit log: who changed what, with before and after."""

from __future__ import annotations

from starlette.responses import Response

from crossdock.manage.audit import AuditQuery
from crossdock.model.errors import Invalid
from crossdock.ui.forms import NO_ERRORS, Errors
from crossdock.ui.visit import Visit, reads

LIST, ONE = "settings/audit.html", "settings/audit_entry.html"


async def show_list(visit: Visit) -> Response:
    names = ("subject", "actor", "action", "q", "since", "until")
    query = AuditQuery(**{name: visit.query(name) or None for name in names})
    try:
        found = await visit.cases.audit.page(visit.actor, query, cursor=visit.cursor)
    except Invalid as error:
        return visit.page(LIST, 422, entries=[], next=None, fields=visit.fields, errors=Errors.of(error))
    return visit.show(LIST, "list", entries=found.items, next=found.next, fields=visit.fields, errors=NO_ERRORS)


async def show_one(visit: Visit) -> Response:
    return visit.page(ONE, entry=await visit.cases.audit.show(visit.actor, visit.parameter("entry_id")))


routes = (
    reads("/settings/audit", show_list),
    reads("/settings/audit/{entry_id}", show_one),
)
