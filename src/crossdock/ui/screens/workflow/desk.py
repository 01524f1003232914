"""What lies open in the workflow editor: the draft, or the published version while there is none.

Each change of a page is saved into the draft at once. A form carries what its page has seen (the revision of the draft
and the number of the published version), so that nobody changes what he has not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crossdock.manage.workflows import NO_WORKFLOW
from crossdock.model.errors import NotFound
from crossdock.model.outcome import Json
from crossdock.ui.visit import Visit


@dataclass(frozen=True, slots=True)
class Desk:
    """`version` is set when a version is only looked at."""

    integration: dict[str, Any]
    document: Json
    published: int
    draft: dict[str, Any] | None = None
    version: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        return str(self.integration["id"])

    @property
    def revision(self) -> int:
        """The draft's; 0 while there is none."""
        return 0 if self.draft is None else int(self.draft["revision"])

    @property
    def seen(self) -> str:
        """What forms of the page carry."""
        return f"{self.revision}-{self.published}"

    @property
    def problems(self) -> Sequence[dict[str, str]]:
        """What keeps the draft from being published."""
        return () if self.draft is None else self.draft["problems"]

    @property
    def is_behind(self) -> bool:
        """Whether another version was published since the draft was begun."""
        return self.draft is not None and self.draft["based_on"] != self.published


async def open_desk(visit: Visit) -> Desk:
    """The draft of the integration in the path; the published workflow where there is none."""
    integration = await visit.cases.integrations.show(visit.actor, visit.parameter("integration_id"))
    published = int(integration["workflow_version"])
    try:
        draft = await visit.cases.drafts.show(visit.actor, integration["id"])
    except NotFound:
        return Desk(integration, integration["workflow"] or NO_WORKFLOW, published)
    return Desk(integration, draft["document"], published, draft)


async def look_at(visit: Visit, version: str) -> Desk:
    """A version, to be looked at only; NotFound when there is none of this number."""
    integration = await visit.cases.integrations.show(visit.actor, visit.parameter("integration_id"))
    if not (version.isascii() and version.isdigit()):
        raise NotFound("There is no such version of the workflow.")
    found = await visit.cases.workflows.version(visit.actor, integration["id"], int(version[:12]))
    return Desk(integration, found["document"], int(integration["workflow_version"]), version=found)


async def keep(visit: Visit, desk: Desk, document: Json) -> Json:
    """Save the document as the draft; Conflict when somebody else was quicker."""
    return await visit.cases.drafts.save(visit.actor, desk.id, document, revision=desk.revision)


def workflow_path(visit: Visit, *parts: str) -> str:
    """A page of the workflow of the integration in the path."""
    return visit.path("integrations", visit.parameter("integration_id"), "workflow", *parts)
