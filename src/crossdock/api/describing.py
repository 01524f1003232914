"""What OpenAPI tells about a route beyond its signature: problems, bodies that `manage` checks, and the whole."""

from __future__ import annotations

import re
from types import UnionType
from typing import Any, TypeAlias, get_args

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from crossdock import __version__
from crossdock.api import connection_documents, documents, health_documents, workflow_documents
from crossdock.manage.bulk_jobs import NewBulkCancel, NewBulkReplay, NewWhatIf
from crossdock.manage.documents import IntegrationPart
from crossdock.manage.keys import KeyChange, NewKey
from crossdock.manage.trials import NewTrial
from crossdock.manage.user_documents import Member, NewUser, NewWorkspace, UserPart, WorkspacePart
from crossdock.manage.webhook_documents import NotificationWebhookPart

_BODIES: tuple[type[BaseModel], ...] = (
    IntegrationPart,
    NewKey,
    KeyChange,
    documents.NewToken,
    documents.Configuration,
    documents.Note,
    documents.LaneDecision,
    health_documents.Snooze,
    documents.Replay,
    workflow_documents.DraftToSave,
    workflow_documents.DraftToPublish,
    connection_documents.ConnectionToSave,
    NotificationWebhookPart,
    NewBulkReplay,
    NewBulkCancel,
    NewWhatIf,
    NewTrial,
    NewUser,
    UserPart,
    Member,
    NewWorkspace,
    WorkspacePart,
)
_ANSWERS: set[type[BaseModel]] = {documents.Problem}
"""What routes answer; each adds its own. Schemas are made when somebody wants the description: making them takes longer
than the rest of a start."""
_REFERENCE = "#/components/schemas/{model}"
_READING = (400, 401, 403, 404, 414, 422, 500, 503)
_WRITING = (*_READING, 409, 413, 415)
_ANY_OBJECT = {"type": "object", "additionalProperties": True}

DESCRIPTION = """\
Lists come in pages: `{"items": [...], "next": cursor}`, with `limit` and `cursor`. Times are RFC 3339 in UTC, durations
ISO 8601. Every error is a problem document (RFC 9457). A PATCH merges (RFC 7396); with `revision` in it, it is refused
with 409 when somebody else changed the integration in between.
"""

Responses = dict[int | str, dict[str, Any]]
Answer: TypeAlias = type[BaseModel] | UnionType
"""A model, or several of which it is one."""


def reads(model: Answer | None, words: str = "As asked.") -> dict[str, Any]:
    """What a GET route answers."""
    return _told({200: {"description": words, **_content(model)}, **_problems(_READING)})


def writes(model: Answer | None, status: int = 200, words: str = "Done.") -> dict[str, Any]:
    """What a changing route answers; without a model nothing."""
    told: dict[str, Any] = {"description": words, **_content(model)}
    if status == 201:
        address = {"description": "The address of what was made.", "schema": {"type": "string"}, "required": True}
        told["headers"] = {"Location": address}
    return {**_told({status: told, **_problems(_WRITING)}), "status_code": status}


def _told(responses: Responses) -> dict[str, Any]:
    return {"responses": responses, "response_model": None}


def _content(answer: Answer | None) -> dict[str, Any]:
    if answer is None:
        return {}
    models = get_args(answer) if isinstance(answer, UnionType) else (answer,)
    _ANSWERS.update(models)
    references = [_reference(model) for model in models]
    schema = references[0] if len(references) == 1 else {"anyOf": references}
    return {"content": {"application/json": {"schema": schema}}}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    """By the name that pydantic gives a model's schema."""
    return {"$ref": _REFERENCE.format(model=re.sub(r"[^\w.-]", "_", model.__name__))}


def takes(model: type[BaseModel] | None, *, required: bool = True) -> dict[str, Any]:
    """The JSON body of a route that reads it by itself; without a model any object."""
    schema = _ANY_OBJECT if model is None else _reference(model)
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def _problems(statuses: tuple[int, ...]) -> Responses:
    content = {"application/problem+json": {"schema": _reference(documents.Problem)}}
    return {status: {"description": _WORDS[status], "content": content} for status in statuses}


_WORDS = {
    400: "The request can't be read.",
    401: "No API token, or one that is not good.",
    403: "The token's role does not allow it.",
    404: "There is no such thing in this workspace.",
    409: "It collides with another change, or the state does not allow it.",
    414: "Path and query together are over 16 KiB.",
    413: "The body is over 1 MiB.",
    415: "The body is not application/json.",
    422: "Fields or parameters are not acceptable; `errors` names them.",
    500: "A fault of Crossdock; the log tells more.",
    503: "The database can't be reached; try again.",
}


def describe(api: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the API."""
    document = get_openapi(
        title="Crossdock", version=__version__, description=DESCRIPTION, routes=api.routes, openapi_version="3.1.0"
    )
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in _BODIES]
    models += [(model, "serialization") for model in _ANSWERS]
    _, definitions = models_json_schema(models, ref_template=_REFERENCE)
    document["components"]["schemas"] = dict(sorted(definitions["$defs"].items()))
    return document
