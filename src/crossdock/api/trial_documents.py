"""What a trial tells, as OpenAPI describes it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from crossdock.api.documents import Document, Failure, Pairs, Request, Result


class TriedStep(Document):
    id: str = Field(description="The step's path: inside of blocks, behind the ids of these.")
    type: str
    status: Literal["succeeded", "failed", "skipped", "waiting"]
    input: Any
    output: Any
    error: Failure | None
    answered: Literal["performed", "recorded", "given", "simulated"] = Field(
        description="Where the output comes from. performed: the step did its work."
    )
    simulated: bool = Field(description="The output is made up.")
    recorded: bool = Field(description="The output is that of the past event, or the one given in the request.")
    would: Any = Field(description="What would have been called or done; null for steps that did their work.")
    because_of: list[str] = Field(description="The made-up steps that a failed step refers to.")
    until: str | None = None


class TriedEvent(Document):
    id: str
    request: Request


class TrialReply(Document):
    url: str
    method: str
    headers: Pairs
    body: Any


class Trial(Document):
    mode: Literal["dry_run", "live"]
    status: Literal["succeeded", "failed", "stopped"] = Field(description="stopped: it took longer than a minute.")
    event: TriedEvent
    steps: list[TriedStep]
    steps_total: int = Field(description="500 steps are told at most.")
    result: Result | None
    answer: Result = Field(description="What the caller would get.")
    reply: TrialReply | None = Field(description="What would be sent to the reply URL.")
    error: Failure | None
    unused_recorded: list[str] = Field(description="Paths in `recorded` that no step asked for.")


class PreviewedValue(Document):
    value: Any = Field(default=None, description="Left out where there is an error.")
    error: str | None = Field(default=None, description="Why there is no value: left out where there is one.")
    truncated: bool | None = Field(default=None, description="The value is too large to be shown.")
    size: int | None = Field(default=None, description="Of a value that is too large, in bytes.")


class PreviewedName(Document):
    path: str = Field(description="As an expression says it: `body.lines[0].sku`.")
    kind: Literal["null", "true or false", "number", "text", "list", "object"]
    sample: str = Field(description="The beginning of what stands there.")


class Preview(Document):
    values: dict[str, PreviewedValue]
    conditions: dict[str, PreviewedValue]
    names: list[PreviewedName] = Field(description="What expressions may use there, 1,000 at most.")
