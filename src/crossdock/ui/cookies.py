"""The cookie that a session's text travels in: out of reach for scripts and for other sites."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

LAST_WORKSPACE = "crossdock-workspace"
"""The slug of the workspace that was looked at last: where paths without one lead. It opens nothing by itself."""

SESSION_SECONDS = 30 * 86_400
"""How long a browser remembers; the server ends sessions sooner, by its own clock."""


def session_text(request: Request) -> str | None:
    return request.cookies.get(_name(request))


def keep_session(request: Request, response: Response, text: str) -> None:
    response.set_cookie(
        _name(request),
        text,
        max_age=SESSION_SECONDS,
        path="/",
        httponly=True,
        samesite="lax",
        secure=_is_secure(request),
    )


def forget_session(request: Request, response: Response) -> None:
    response.delete_cookie(_name(request), path="/", httponly=True, secure=_is_secure(request))


def keep_last_workspace(request: Request, response: Response, slug: str) -> None:
    """Until the browser is closed."""
    response.set_cookie(LAST_WORKSPACE, slug, path="/", httponly=True, samesite="lax", secure=_is_secure(request))


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"


def _name(request: Request) -> str:
    # `__Host-` binds a cookie to this very host, but browsers take it over HTTPS only
    return "__Host-crossdock" if _is_secure(request) else "crossdock"
