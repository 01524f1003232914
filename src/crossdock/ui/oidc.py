"""The way to the OpenID provider and back: two addresses without a page of their own."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from crossdock.manage.single_sign_on import ATTEMPT_SECONDS, ArrivalRefused, SingleSignOn
from crossdock.model.errors import Forbidden
from crossdock.ui.cookies import keep_session
from crossdock.ui.said import is_own_path

BEGIN = "/sign-in/oidc"
CALLBACK = "/sign-in/oidc/callback"
KEPT = "crossdock-sign-on"
"""The cookie with what a sign-in has to remember meanwhile; sealed, and of no use to anybody else."""


class SignOnPages:
    """Mounted where a provider is set up."""

    def __init__(self, single_sign_on: SingleSignOn) -> None:
        self._single_sign_on = single_sign_on

    @property
    def routes(self) -> list[Route]:
        return [Route(BEGIN, self._begin, methods=["GET"]), Route(CALLBACK, self._finish, methods=["GET"])]

    async def _begin(self, request: Request) -> Response:
        then = request.query_params.get("next", "")
        departure = await self._single_sign_on.begin(then if is_own_path(then) else "")
        if isinstance(departure, ArrivalRefused):
            raise _refusal(departure)
        response = RedirectResponse(departure.url, 303)
        response.set_cookie(
            _kept(request),
            departure.kept,
            max_age=round(ATTEMPT_SECONDS),
            path="/",
            httponly=True,
            samesite="lax",  # it comes back with a link from the provider's page
            secure=request.url.scheme == "https",
        )
        return response

    async def _finish(self, request: Request) -> Response:
        arrival = await self._single_sign_on.finish(
            request.query_params,
            request.cookies.get(_kept(request)),
            source_ip=request.client.host if request.client is not None else "",
            agent=request.headers.get("user-agent", ""),
        )
        if isinstance(arrival, ArrivalRefused):
            raise _refusal(arrival)
        response = RedirectResponse(arrival.then if is_own_path(arrival.then) else "/", 303)
        keep_session(request, response, arrival.begun.text)
        response.delete_cookie(_kept(request), path="/", httponly=True, secure=request.url.scheme == "https")
        return response


def _refusal(arrival: ArrivalRefused) -> Forbidden:
    """Why nobody is signed in, as a sentence of its page."""
    return Forbidden(f"{arrival.words[:1].upper()}{arrival.words[1:]}.")


def _kept(request: Request) -> str:
    # `__Host-` keeps other hosts of the domain from planting an attempt of their own; over HTTPS only
    return f"__Host-{KEPT}" if request.url.scheme == "https" else KEPT
