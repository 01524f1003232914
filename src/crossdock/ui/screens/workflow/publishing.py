"""Versions: what differs between them, publishing the draft or an older one, going back, dropping the draft."""

from __future__ import annotations

from starlette.responses import Response

from crossdock.model.errors import Conflict, Invalid, NotFound
from crossdock.model.outcome import Json
from crossdock.ui.forms import NO_ERRORS, Errors
from crossdock.ui.screens.workflow.cards import cards_with_problems, deal
from crossdock.ui.screens.workflow.desk import Desk, keep, look_at, open_desk, workflow_path
from crossdock.ui.screens.workflow.editing import changed_meanwhile
from crossdock.ui.screens.workflow.text_differences import side_by_side, unified
from crossdock.ui.visit import Visit, reads, writes

VERSIONS_OFFERED = 100


async def show_publish(visit: Visit) -> Response:
    """What publishing the draft would change."""
    visit.actor.require("admin")
    return await _publish_page(visit, await _with_draft(visit))


async def publish(visit: Visit) -> Response:
    """Make the draft the published version."""
    visit.actor.require("admin")
    desk = await _with_draft(visit)
    if visit.sent.text("seen") != desk.seen:
        return await _publish_page(
            visit, desk, Errors(summary="The draft was changed meanwhile. Look at it again."), 409
        )
    try:
        made = await visit.cases.drafts.publish(
            visit.actor, desk.id, force=visit.sent.is_on("force"), revision=desk.revision
        )
    except Invalid as error:
        return await _publish_page(visit, desk, Errors.of(error), 422)
    except Conflict as error:
        return await _publish_page(visit, await _with_draft(visit), Errors(summary=str(error)), 409)
    return visit.go(
        workflow_path(visit),
        f"Version {made['number']} is published. Calls that come from now on run through it."
        if made["number"]
        else "The workflow without steps is published.",
    )


async def _publish_page(visit: Visit, desk: Desk, errors: Errors = NO_ERRORS, status: int = 200) -> Response:
    found = await visit.cases.workflows.differences(visit.actor, desk.id, "published", "draft")
    return visit.page(
        "workflow/publish.html",
        status,
        integration=desk.integration,
        desk=desk,
        found=found,
        lines=unified(found["text"]),
        cards=cards_with_problems(deal(desk.document, desk.problems)),
        errors=errors,
        at=lambda *parts: workflow_path(visit, *parts),
    )


async def _with_draft(visit: Visit) -> Desk:
    desk = await open_desk(visit)
    if desk.draft is None:
        raise NotFound("There is no draft: it was published or dropped meanwhile. Change a step to begin a new one.")
    return desk


async def show_drop(visit: Visit) -> Response:
    """What dropping the draft would lose."""
    visit.actor.require("admin")
    desk = await _with_draft(visit)
    found = await visit.cases.workflows.differences(visit.actor, desk.id, "published", "draft")
    return visit.page(
        "workflow/drop.html",
        integration=desk.integration,
        desk=desk,
        found=found,
        at=lambda *parts: workflow_path(visit, *parts),
    )


async def drop(visit: Visit) -> Response:
    """Forget the draft."""
    visit.actor.require("admin")
    desk = await _with_draft(visit)
    if visit.sent.text("seen") != desk.seen:
        return changed_meanwhile(visit, desk)
    await visit.cases.drafts.discard(visit.actor, desk.id, revision=desk.revision)
    return visit.go(workflow_path(visit), "The draft was dropped.")


# --- versions --------------------------------------------------------------------------------------------------------


async def show_versions(visit: Visit) -> Response:
    """All versions, and what was published when."""
    desk = await open_desk(visit)
    page = await visit.cases.workflows.versions(visit.actor, desk.id, cursor=visit.cursor)
    published = await visit.cases.workflows.publications(visit.actor, desk.id)
    return visit.page(
        "workflow/versions.html",
        integration=desk.integration,
        desk=desk,
        versions=page.items,
        next=page.next,
        published=published.items,
        at=lambda *parts: workflow_path(visit, *parts),
    )


async def publish_version(visit: Visit) -> Response:
    """Let new events run through an older or newer version."""
    number = _number(visit.parameter("number"))
    made = await visit.cases.workflows.publish(visit.actor, visit.parameter("integration_id"), number)
    return visit.go(workflow_path(visit, "versions"), f"Version {made['number']} is published.")


async def roll_back(visit: Visit) -> Response:
    """Publish the version that was published before."""
    made = await visit.cases.workflows.roll_back(visit.actor, visit.parameter("integration_id"))
    return visit.go(workflow_path(visit, "versions"), f"Version {made['number']} is published again.")


async def edit_version(visit: Visit) -> Response:
    """Begin a draft with what a version says."""
    visit.actor.require("admin")
    desk = await open_desk(visit)
    if desk.draft is not None:
        raise Conflict("There is a draft already: publish or drop it first, then begin one from this version.")
    version = await look_at(visit, visit.parameter("number"))
    await keep(visit, desk, version.document)
    number = _number(visit.parameter("number"))
    return visit.go(workflow_path(visit), f"The draft begins as version {number} is. Nothing is published yet.")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise NotFound("There is no such version of the workflow.")
    return int(text)


async def show_differences(visit: Visit) -> Response:
    """What differs between two versions, side by side or one below the other."""
    desk = await open_desk(visit)
    before = visit.query("from") or "published"
    after = visit.query("to") or ("draft" if desk.draft else "published")
    view = "unified" if visit.query("view") == "unified" else "side"
    errors, found = NO_ERRORS, None
    try:
        found = await visit.cases.workflows.differences(visit.actor, desk.id, before[:20], after[:20])
    except (Invalid, NotFound) as error:
        errors = Errors(summary=str(error))
    return visit.page(
        "workflow/differences.html",
        404 if found is None else 200,
        integration=desk.integration,
        desk=desk,
        found=found,
        errors=errors,
        before=before,
        after=after,
        view=view,
        choices=await version_choices(visit, desk),
        lines=unified(found["text"]) if found and view == "unified" else (),
        pairs=side_by_side(found["text"]) if found and view == "side" else (),
        at=lambda *parts: workflow_path(visit, *parts),
    )


async def version_choices(visit: Visit, desk: Desk) -> list[tuple[str, str]]:
    """The draft and the versions of the workflow, newest first."""
    page = await visit.cases.workflows.versions(visit.actor, desk.id, limit=VERSIONS_OFFERED)
    versions = [(str(each["number"]), _version_words(each)) for each in page.items]
    draft = [("draft", "The draft")] if desk.draft else []
    return [*draft, ("published", "The published version"), *versions]


def _version_words(version: Json) -> str:
    when = (version["created_at"] or "")[:10]
    return f"Version {version['number']}, {when}, {version['created_by']}"[:80]


_WORKFLOW = "/integrations/{integration_id}/workflow"

routes = (
    reads(f"{_WORKFLOW}/publish", show_publish),
    writes(f"{_WORKFLOW}/publish", publish),
    reads(f"{_WORKFLOW}/drop", show_drop),
    writes(f"{_WORKFLOW}/drop", drop),
    reads(f"{_WORKFLOW}/versions", show_versions),
    writes(f"{_WORKFLOW}/versions/{{number}}/publish", publish_version),
    writes(f"{_WORKFLOW}/versions/{{number}}/edit", edit_version),
    writes(f"{_WORKFLOW}/rollback", roll_back),
    reads(f"{_WORKFLOW}/differences", show_differences),
)
