"""The documents of workflow versions and drafts, as OpenAPI describes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from crossdock.api.documents import Document, FieldProblem, Written


class WorkflowVersion(Document):
    number: int
    published: bool
    created_at: str | None
    created_by: str | None
    document: dict[str, Any]


class Publication(Document):
    number: int = Field(description="0: the workflow was taken away.")
    published_at: str
    published_by: str
    rolled_back: bool


class WorkflowDraft(Document):
    document: dict[str, Any]
    based_on: int = Field(description="The version that it was made from; 0 for none.")
    published_version: int
    revision: int = Field(description="Another one after each save.")
    updated_at: str
    updated_by: str
    problems: list[FieldProblem] = Field(description="What keeps it from being published.")


class StepPlace(Document):
    path: str = Field(description="The step's id behind those of the blocks around it.")
    branch: str = Field(description="The list of the block that it stands in; empty where there is only one.")
    position: int


class ChangedField(Document):
    field: str
    before: Any = Field(default=None, description="Left out where the field was not there.")
    after: Any = Field(default=None, description="Left out where the field is not there any more.")


class StepDifference(Document):
    change: Literal["added", "removed", "moved", "changed"]
    path: str
    id: str
    type: str
    before: StepPlace | None
    after: StepPlace | None
    fields: list[ChangedField] = Field(description="Of a step that has changed; one that moved may have changed too.")


class VersionDifferences(Document):
    from_: str = Field(alias="from")
    to: str
    same: bool
    steps: list[StepDifference]
    fields: list[ChangedField] = Field(description="Outside of the steps.")
    text: str | None = Field(description="A unified difference of both as YAML; null when they are too large for one.")


class DraftToSave(Written):
    document: dict[str, Any]
    based_on: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    revision: Annotated[int, Field(ge=0, le=2**53)] | None = None


class DraftToPublish(Written):
    force: bool = Field(default=False, description="Even if another version was published since.")
    revision: Annotated[int, Field(ge=0, le=2**53)] | None = None
