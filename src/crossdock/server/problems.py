"""Errors as HTTP answers: the only place that maps `model.errors` to status codes.

Every answer is an `application/problem+json` document (RFC 9457): `type`, `title`, `status`, `detail`, and `errors` for
fields. `type` is `/problems/<slug>`; the slugs are explained in `docs/reference/problems.md`, and a test keeps the two
alike. A program's own fault is answered with an id that stands in the log too, never with what went wrong inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import msgspec

from crossdock import observe
from crossdock.clock import new_id
from crossdock.model import errors
from crossdock.model.outcome import Json


@dataclass(frozen=True, slots=True)
class Problem:
    """A kind of refusal: what a program can tell it by (`slug`, `status`) and its name for people."""

    slug: str
    status: int
    title: str


MALFORMED = Problem("malformed", 400, "The request can't be read")
UNAUTHENTICATED = Problem("unauthenticated", 401, "A valid credential is needed")
FORBIDDEN = Problem("forbidden", 403, "This is not allowed")
NOT_FOUND = Problem("not-found", 404, "There is nothing here")
METHOD_NOT_ALLOWED = Problem("method-not-allowed", 405, "The method is not allowed here")
REQUEST_TIMEOUT = Problem("request-timeout", 408, "The request took too long to arrive")
CONFLICT = Problem("conflict", 409, "The change collides with another one")
TOO_LARGE = Problem("too-large", 413, "The body is too large")
TARGET_TOO_LONG = Problem("target-too-long", 414, "The address is too long")
UNSUPPORTED_MEDIA = Problem("unsupported-media", 415, "This kind of body is not accepted")
INVALID = Problem("invalid", 422, "The request is not acceptable as it is")
TOO_MANY = Problem("too-many", 429, "Too many requests")
HEAD_TOO_LARGE = Problem("head-too-large", 431, "The header fields are too large")
INTERNAL = Problem("internal", 500, "Crossdock failed to answer")
RUN_FAILED = Problem("run-failed", 502, "The workflow failed")
UNAVAILABLE = Problem("unavailable", 503, "Not available at the moment")
RUN_TIMEOUT = Problem("run-timeout", 504, "The workflow did not end in time")

PROBLEMS = (
    *(MALFORMED, UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, METHOD_NOT_ALLOWED, REQUEST_TIMEOUT, CONFLICT, TOO_LARGE),
    *(TARGET_TOO_LONG, UNSUPPORTED_MEDIA, INVALID, TOO_MANY, HEAD_TOO_LARGE),
    *(INTERNAL, RUN_FAILED, UNAVAILABLE, RUN_TIMEOUT),
)

_PROBLEM_OF: dict[type[BaseException], Problem] = {
    errors.Malformed: MALFORMED,
    errors.Unauthenticated: UNAUTHENTICATED,
    errors.Forbidden: FORBIDDEN,
    errors.NotFound: NOT_FOUND,
    errors.MethodNotAllowed: METHOD_NOT_ALLOWED,
    errors.Conflict: CONFLICT,
    errors.WrongTransition: CONFLICT,
    errors.TooLarge: TOO_LARGE,
    errors.UnsupportedMedia: UNSUPPORTED_MEDIA,
    errors.Invalid: INVALID,
    errors.Unrecordable: INVALID,
    errors.TooMany: TOO_MANY,
    errors.StoreUnavailable: UNAVAILABLE,
}

CHALLENGE = b'Bearer realm="crossdock"'


class Answer(NamedTuple):
    """An HTTP answer, ready to be sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def problem_response(error: BaseException, **extra: Json) -> Answer:
    """The answer to a request that ended in `error`; `extra` members are added to the document.

    Anything but an error of `model.errors` is a fault of the program: it is logged with its trace under an id, and
    the answer carries the id alone.
    """
    problem = next((_PROBLEM_OF[kind] for kind in type(error).__mro__ if kind in _PROBLEM_OF), None)
    if problem is None:
        return _internal_response(error, extra)
    if isinstance(error, errors.Invalid) and error.errors:
        extra["errors"] = [{"field": each.field, "message": each.message} for each in error.errors]
    return problem_answer(problem, str(error), _headers_for(error), **extra)


def problem_answer(
    problem: Problem, detail: str, headers: list[tuple[bytes, bytes]] | None = None, /, **extra: Json
) -> Answer:
    """The answer for a kind of problem, with `detail` for this one and further header fields."""
    document = {
        "type": f"/problems/{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        **extra,
    }
    body = msgspec.json.encode(document)
    fields = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    return Answer(problem.status, fields + (headers or []), body)


def _headers_for(error: BaseException) -> list[tuple[bytes, bytes]]:
    match error:
        case errors.MethodNotAllowed():
            return [(b"allow", ", ".join(error.allowed).encode())]
        case errors.Unauthenticated():
            return [(b"www-authenticate", CHALLENGE)]
        case errors.TooMany() | errors.StoreUnavailable():
            return [(b"retry-after", str(max(1, ceil(error.retry_after_seconds))).encode())]
        case _:
            return []


def _internal_response(error: BaseException, extra: dict[str, Json]) -> Answer:
    error_id = new_id("err")
    observe.emit(observe.REQUEST_CRASHED, error=error, id=error_id)
    detail = f"This is a fault of Crossdock, not of the request. The log tells more under {error_id}."
    return problem_answer(INTERNAL, detail, **{**extra, "error_id": error_id})
