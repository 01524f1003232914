"""The overview: what needs attention first."""

from __future__ import annotations

from starlette.responses import Response

from crossdock.ui.visit import Visit, reads


async def show(visit: Visit) -> Response:
    return visit.page("overview/overview.html")


routes = (reads("", show),)
