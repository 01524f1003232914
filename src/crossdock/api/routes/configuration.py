"""Everything that is set up as documents, in and out, and the key that its secrets are sealed with."""

from __future__ import annotations

from fastapi import APIRouter, Response

from crossdock.api import documents
from crossdock.api.answering import answer
from crossdock.api.cases import Cases
from crossdock.api.describing import reads, takes, writes
from crossdock.api.reading import LargeJsonBody, Who, checked

routes = APIRouter(prefix="/api/v1", tags=["configuration"])


@routes.post("/apply", **writes(documents.Plan), openapi_extra=takes(documents.Configuration))
async def apply_configuration(cases: Cases, who: Who, document: LargeJsonBody) -> Response:
    """Make the workspace be as the documents say, or only tell what would change. The body may have 16 MiB."""
    wanted = checked(documents.Configuration, document, "the configuration")
    plan = await cases.apply.plan(who, wanted.documents, wanted.values, prune=wanted.prune)
    return answer(plan.document() if wanted.dry_run else await cases.apply.carry_out(who, plan))


@routes.get("/export", **reads(documents.Exported))
async def export_configuration(cases: Cases, who: Who) -> Response:
    """Everything that is set up, as documents; secrets as `${NAME}`. Applying them changes nothing."""
    return answer({"documents": await cases.apply.export(who)})


@routes.post("/rotate-key", **writes(documents.RotatedKey))
async def rotate_master_key(cases: Cases, who: Who) -> Response:
    """Seal all secrets with a new master key: how many there were, and the key's id."""
    return answer(await cases.master_key.rotate(who))
