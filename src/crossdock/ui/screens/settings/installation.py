"""The installation: its settings, allowed targets and retention, the version, the database and the nodes."""

from __future__ import annotations

from starlette.responses import Response

from crossdock.manage.administration import require_administrator
from crossdock.ui.visit import Visit, reads


async def show_settings(visit: Visit) -> Response:
    """What is configured where the server is started; secrets only say whether they are set."""
    require_administrator(visit.actor)
    settings = visit.cases.settings()
    by_name = {one["name"]: one for one in settings}
    targets = str(by_name["allowed_targets"]["value"] or "").split(",") if "allowed_targets" in by_name else []
    return visit.page(
        "settings/installation.html",
        settings=settings,
        targets=[one for one in targets if one],
        retention=[by_name[name] for name in ("retention", "audit_retention") if name in by_name],
    )


async def show_about(visit: Visit) -> Response:
    nodes = (await visit.cases.fleet.nodes(visit.actor)).items
    return visit.show("settings/about.html", "nodes", nodes=nodes, about=await visit.cases.fleet.about(visit.actor))


routes = (
    reads("/settings/installation", show_settings),
    reads("/settings/about", show_about),
)
