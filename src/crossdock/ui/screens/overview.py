"""The overview: what needs attention first, then the last 24 hours, the slowest and the busiest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from starlette.responses import Response

from crossdock.model.outcome import Json
from crossdock.ui.pictures.traffic_chart import highest, traffic_chart, traffic_rows
from crossdock.ui.rendering import format_count, format_took
from crossdock.ui.visit import Visit, reads

PAGE = "overview/overview.html"
_HEALTH = ("error", "warning", "active", "initializing", "disabled")


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that is wrong: in words, since when, and an event that shows it (its path)."""

    text: str
    since: str | None = None
    event: str | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """An integration or a webhook that needs attention, and all that is wrong with it, the worst first."""

    state: str
    word: str
    name: str
    path: str
    points: list[Point] = field(default_factory=list)

    def add(self, point: Point) -> None:
        if all(point.text != other.text for other in self.points):
            self.points.append(point)


async def show(visit: Visit) -> Response:
    overview = await visit.cases.overview.show(visit.actor)
    traffic = overview["traffic"]
    return visit.show(
        PAGE,
        "overview",
        overview=overview,
        troubles=[*_of_integrations(visit, overview), *_of_webhooks(visit, overview)],
        counts=[(name, overview["integrations"][name]) for name in _HEALTH],
        chart=traffic_chart(traffic, "Last 24 hours"),
        highest=highest(traffic),
        rows=traffic_rows(traffic),
        rankings=(("Busiest", "calls", overview["busiest"]), ("Slowest", "took", overview["slowest"])),
    )


def _of_integrations(visit: Visit, overview: Json) -> list[Trouble]:
    """Those in error and warning first, then those with blocked lanes, failing replies, and what piles up."""
    found: dict[str, Trouble] = {}
    for one, state, word, point in _points(visit, overview):
        integration_id, name = one["integration"]["id"], one["integration"]["name"]
        trouble = Trouble(state, word, name, visit.path("integrations", integration_id))
        found.setdefault(integration_id, trouble).add(point)
    return list(found.values())


def _points(visit: Visit, overview: Json) -> Iterator[tuple[Json, str, str, Point]]:
    for one in overview["troubled"]:
        reason = one["reason"] or "Its issues are snoozed."
        yield one, one["status"], one["status"].capitalize(), Point(reason, one["since_issue"], _event(visit, one))
    for lane in overview["blocked_lanes"]:
        text = f"Lane {lane['key']} waits for a decision" if lane["key"] else "The order waits for a decision"
        why = f": {lane['error']}" if lane["error"] else ""
        yield lane, "blocked", "Blocked", Point(text + why, lane["since"], visit.path("events", lane["head"]))
    for reply in overview["failed_replies"]:
        yield reply, "failed", "Replies", Point(reply["message"], reply["first_seen"], _event(visit, reply))
    for queue in overview["backlogs"]:
        count = format_count(queue["waiting"]) + ("+" if queue["is_more"] else "")
        oldest = format_took(queue["oldest_seconds"] * 1_000)
        text = f"{count} {'call waits' if count == '1' else 'calls wait'}, the oldest for {oldest}"
        yield queue, "waiting", "Backlog", Point(text, queue["oldest_at"])


def _of_webhooks(visit: Visit, overview: Json) -> Iterator[Trouble]:
    for webhook in overview["webhooks"]:
        path = visit.path("notification-webhooks", webhook["id"])
        times = "The last delivery" if webhook["failures"] == 1 else f"{format_count(webhook['failures'])} in a row"
        text = f"{times} failed: {webhook['last_error'] or 'no reason was given'}"
        yield Trouble("failed", "Webhook", webhook["name"], path, [Point(text, webhook["failing_since"])])


def _event(visit: Visit, one: Json) -> str | None:
    return visit.path("events", one["sample_event"]) if one["sample_event"] else None


routes = (reads("", show),)
