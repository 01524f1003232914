"""What is read of a request before its use case: who asks, the JSON body, and nothing that nobody expects."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Depends, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from crossdock.manage.actor import Actor
from crossdock.manage.paging import DEFAULT_LIMIT, MAX_LIMIT
from crossdock.manage.refusals import field_errors, invalid
from crossdock.manage.use_cases import UseCases
from crossdock.model.errors import (
    FieldError,
    Invalid,
    Malformed,
    NotFound,
    TooLarge,
    Unauthenticated,
    UnsupportedMedia,
)
from crossdock.model.outcome import Json

MAX_BODY_BYTES = 1024 * 1024
MAX_CONFIGURATION_BYTES = 16 * 1024 * 1024
"""Of a whole configuration, which holds many documents."""

_Model = TypeVar("_Model", bound=BaseModel)

_bearer = HTTPBearer(
    auto_error=False, scheme_name="token", description="An API token: `crossdock token create`, or the web workspace."
)


async def _admit(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Actor:
    """Unauthenticated before anything else is said of the request."""
    cases: UseCases = request.app.state.use_cases
    if credentials is None:
        raise Unauthenticated("an API token is needed: Authorization: Bearer TOKEN")
    actor = cases.tokens.authenticate(credentials.credentials)
    if actor is None:
        raise Unauthenticated("this API token is unknown, has expired or was revoked")
    _refuse_the_unexpected(request)
    return actor


Who = Annotated[Actor, Depends(_admit)]
"""Who asks. Every route has it, and thereby takes nothing that it does not know."""


def _refuse_the_unexpected(request: Request) -> None:
    """Invalid for query parameters that the route does not have or has once; what no database holds is NotFound."""
    if any("\x00" in str(value) for value in request.path_params.values()):
        raise NotFound("there is nothing of this id here")
    known = _query_names(request.scope["route"].dependant)
    errors = []
    for name in dict.fromkeys(request.query_params):
        values = request.query_params.getlist(name)
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            errors.append(FieldError(name[:100], f"is an unknown query parameter; known here: {listed}"))
        elif len(values) > 1:
            errors.append(FieldError(name, "is there more than once"))
        elif "\x00" in values[0]:
            errors.append(FieldError(name, "must not contain NUL characters"))
    if errors:
        raise Invalid(f"the query is not acceptable: {errors[0].field} {errors[0].message}", tuple(errors))


def _query_names(dependant: Any) -> set[str]:
    """The query parameters of a route, and of what it depends on."""
    inner = (_query_names(one) for one in dependant.dependencies)
    return {field.alias for field in dependant.query_params}.union(*inner)


async def _read_json(request: Request) -> Json:
    """The body as JSON, an object; Malformed, TooLarge or UnsupportedMedia when it can't be one."""
    return _needed(await _read_object(request, MAX_BODY_BYTES))


async def _read_large_json(request: Request) -> Json:
    return _needed(await _read_object(request, MAX_CONFIGURATION_BYTES))


async def _read_optional_json(request: Request) -> Json:
    """The body as a JSON object; None without a body."""
    return await _read_object(request, MAX_BODY_BYTES)


JsonBody = Annotated[Any, Depends(_read_json)]
LargeJsonBody = Annotated[Any, Depends(_read_large_json)]
OptionalJsonBody = Annotated[Any, Depends(_read_optional_json)]


def _needed(document: Json) -> Json:
    if document is None:
        raise Malformed("a JSON body is needed, and there is none")
    return document


async def _read_object(request: Request, limit: int) -> Json:
    body = await _read_limited(request, limit)
    if not body:
        return None
    _check_type(request)
    try:
        document = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"the body is not readable as JSON: {_why(error)}") from None
    if not isinstance(document, dict):
        raise Invalid("the body must be a JSON object", (FieldError("", "must be an object"),))
    return document


async def _read_limited(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise TooLarge(f"the body is over {limit} bytes")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise TooLarge(f"the body is over {limit} bytes")
    except ClientDisconnect:
        raise Malformed("the body broke off") from None
    return bytes(body)


def _check_type(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise UnsupportedMedia("bodies with a Content-Encoding are not accepted here; send plain JSON")
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != "application/json" and not (given.startswith("application/") and given.endswith("+json")):
        raise UnsupportedMedia(f"the body must be application/json, not {given[:100] or 'without a Content-Type'}")


def _why(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def checked(model: type[_Model], document: Json, subject: str) -> _Model:
    """`document` as a model; Invalid names every field that is wrong."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise invalid(subject, field_errors(error, model)) from None


Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description=f"Items in a page, {MAX_LIMIT} at most.")]
Cursor = Annotated[str | None, Query(description="`next` of the page before.")]
PAGE = DEFAULT_LIMIT
