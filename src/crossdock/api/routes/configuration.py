"""Everything that is set up as documents, in and out, and the key that its secrets are sealed with."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from crossdock.api.answering import answer
from crossdock.api.reading import JsonBody, Who, checked
from crossdock.api.use_cases import Cases
from crossdock.manage.apply import Apply

router = APIRouter(tags=["Configuration"])


class ApplyDocument(BaseModel):
    """What the workspace is to be like."""

    model_config = ConfigDict(extra="forbid")

    documents: list[dict[str, Any]] = Field(description="`{kind: Integration, spec: {...}}` each.")
    values: dict[str, str] = Field({}, description="What `${NAME}` in the documents stands for.")
    dry_run: bool = Field(False, description="Tell what would change, and change nothing.")
    prune: bool = Field(False, description="Delete integrations that no document names.")


@router.post("/apply", summary="Make everything as the documents say")
async def apply(cases: Cases, who: Who, document: JsonBody) -> Response:
    """Answers what was done to each integration: create, change, none or prune, with the fields that differ."""
    wanted = checked(ApplyDocument, document, "the configuration")
    use_case = Apply(cases.integrations)
    plan = await use_case.plan(who, wanted.documents, wanted.values, prune=wanted.prune)
    return answer(plan.document() if wanted.dry_run else await use_case.carry_out(who, plan))


@router.get("/export", summary="Everything as documents")
async def export(cases: Cases, who: Who) -> Response:
    """The same documents that `/apply` takes, secrets as `${NAME}`; applying them changes nothing."""
    return answer({"documents": await Apply(cases.integrations).export(who)})


@router.post("/rotate-key", summary="Seal all secrets with a new master key")
async def rotate_key(cases: Cases, who: Who) -> Response:
    """Answers how many secrets were sealed, and the id of the key that they are sealed with now."""
    return answer(await cases.master_key.rotate(who))
