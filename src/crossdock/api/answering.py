"""Documents as answers, and every error of the framework as a problem."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from crossdock.manage.paging import Page
from crossdock.manage.refusals import field_path
from crossdock.model.errors import CrossdockError, FieldError, Invalid, Malformed, MethodNotAllowed, NotFound
from crossdock.model.outcome import Json
from crossdock.server.problems import Answer, problem_response

_PLACES = ("query", "path", "header", "cookie", "body")


def answer(document: Json, status: int = 200, *, location: str | None = None) -> Response:
    """`document` as JSON. msgspec keeps whole numbers of any size as they are."""
    headers = {"cache-control": "no-store"}
    if location is not None:
        headers["location"] = location
    return Response(msgspec.json.encode(document), status, headers, media_type="application/json")


def answer_page(page: Page) -> Response:
    return answer({"items": page.items, "next": page.next})


def answer_nothing() -> Response:
    return Response(status_code=204, headers={"cache-control": "no-store"})


def add_problems(api: FastAPI) -> None:
    """Answer errors with problem documents, those of the framework too."""
    api.add_exception_handler(CrossdockError, _tell_error)
    api.add_exception_handler(RequestValidationError, _tell_fields)
    api.add_exception_handler(HTTPException, _tell_http_error)
    api.add_middleware(LastResort)


class LastResort:
    """Answers what nobody expected. The framework's own way would answer in plain text and raise it once more."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            await _as_response(problem_response(error))(scope, receive, send)


async def _tell_error(_request: Request, error: Exception) -> Response:
    return _as_response(problem_response(error))


async def _tell_fields(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = tuple(FieldError(_field(each["loc"]), _words(each)) for each in error.errors())
    return _as_response(problem_response(Invalid(f"{found[0].field} {found[0].message}", found)))


def _field(location: tuple[str | int, ...]) -> str:
    return field_path(location[1:] if location and location[0] in _PLACES else location)


def _words(found: Any) -> str:
    message = str(found["msg"])
    return message[0].lower() + message[1:]


async def _tell_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _as_response(problem_response(NotFound(f"there is nothing at {request.url.path[:200]}")))
    if error.status_code == 405:
        allowed = allowed_methods(request)
        words = f"{request.method[:20]} is not possible here"
        return _as_response(problem_response(MethodNotAllowed(words, allowed)))
    return _as_response(problem_response(Malformed(str(error.detail))))


def allowed_methods(request: Request) -> tuple[str, ...]:
    """Every method that some route has for this path: the framework tells those of the first one only.

    A route of exactly this path (`/events/replay`) counts before those in which a part of it would be an id.
    """
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    matching = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    exact = [route for route in matching if route.path == request.scope["path"]]
    return tuple(sorted({method for route in exact or matching for method in route.methods or ()}))


def _as_response(told: Answer) -> Response:
    response = Response(told.body, told.status)
    response.raw_headers = list(told.headers)
    return response
