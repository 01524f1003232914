"""The overview of an integration: its health over time, what is wrong, its traffic, and what somebody does about it."""

from __future__ import annotations

from typing import Any, Literal

from starlette.responses import Response

from crossdock.connectors import EXTERNAL_SYSTEMS
from crossdock.model.errors import Invalid
from crossdock.model.health import BLOCKED
from crossdock.model.outcome import Json
from crossdock.model.time import SECOND, Instant, format_instant
from crossdock.ui.durations import as_iso
from crossdock.ui.forms import Errors
from crossdock.ui.integration_form.summary import sample_call
from crossdock.ui.pictures.band import band, in_words, span_of, stretches
from crossdock.ui.pictures.durations import duration_rows, durations_chart, slowest
from crossdock.ui.pictures.traffic_chart import highest, traffic_chart, traffic_rows
from crossdock.ui.screens.events.listing import REASONS
from crossdock.ui.visit import Visit

PAGE = "integration/overview.html"
SPANS = (("PT24H", "24 hours"), ("P7D", "7 days"))
STEPS = {"PT24H": "15 minutes", "P7D": "an hour"}
SNOOZES = (("PT1H", "1 hour"), ("PT4H", "4 hours"), ("tomorrow", "until tomorrow, 06:00 UTC"), ("custom", "as I write"))
MOST_CHANGES = 200
MOST_WEBHOOKS = 200
_TABS = frozenset({"events", "workflow", "access", "settings", "code", "lanes"})
_DAY = 86_400 * SECOND


async def show(visit: Visit) -> Response:
    return await _page(visit)


async def switch(visit: Visit) -> Response:
    """Enable or disable, from any tab; the other way round takes it back."""
    integration_id, wanted = visit.parameter("integration_id"), visit.sent.text("status")
    if wanted not in ("enabled", "disabled"):
        raise Invalid("say whether to enable or to disable the integration")
    saved = await visit.cases.integrations.change(visit.actor, integration_id, {"status": wanted})
    tab = visit.sent.text("tab")
    back = visit.path("integrations", integration_id, *([tab] if tab in _TABS else []))
    said = f"{saved['name']} takes calls now." if wanted == "enabled" else f"{saved['name']} refuses calls now."
    opposite = "disabled" if wanted == "enabled" else "enabled"
    undo = visit.path("integrations", integration_id, "status")
    return visit.go(back, said, undo=undo, status=opposite, tab=tab)


async def delete(visit: Visit) -> Response:
    """Delete it for good: its name has to be typed, also where no script asks for it."""
    integration_id = visit.parameter("integration_id")
    current = await visit.cases.integrations.show(visit.actor, integration_id)
    if visit.sent.raw("name") != current["name"]:
        visit.actor.require("admin")
        return await _page(visit, 422, delete_error="This is not its name; nothing was deleted.")
    await visit.cases.integrations.delete(visit.actor, integration_id)
    return visit.go(visit.path("integrations"), f"{current['name']} was deleted.")


async def decide(visit: Visit) -> Response:
    """What somebody does about an issue: acknowledge, snooze, wake or resolve it."""
    integration_id, issue_id = visit.parameter("integration_id"), visit.parameter("issue_id")
    health, note, actor = visit.cases.health, visit.sent.text("note"), visit.actor
    deed = visit.parameter("deed")
    try:
        match deed:
            case "acknowledge":
                await health.acknowledge(actor, integration_id, issue_id, note)
                said = "It is noted that you have seen it."
            case "snooze":
                until = _snooze_end(visit)
                await health.snooze(actor, integration_id, issue_id, until, note)
                said = f"It does not count until {format_instant(until)[:16].replace('T', ' ')} UTC."
            case "wake":
                await health.wake(actor, integration_id, issue_id)
                said = "It counts again."
            case "resolve":
                await health.resolve(actor, integration_id, issue_id, note)
                said = "It is resolved. It comes back when it is met again."
            case _:
                raise Invalid("an issue can be acknowledged, snoozed, woken or resolved")
    except Invalid as error:
        return await _page(visit, 422, issue_errors=Errors.of(error), wrong_issue=issue_id)
    return visit.go(visit.path("integrations", integration_id), said)


def _snooze_end(visit: Visit) -> Instant:
    chosen = visit.sent.text("for")
    if chosen == "tomorrow":
        now = visit.cases.health.now()
        morning = (now // _DAY + 1) * _DAY + _DAY // 4
        return visit.cases.health.snooze_end(None, format_instant(morning))
    length = as_iso(visit.sent.text("custom")) if chosen == "custom" else chosen
    return visit.cases.health.snooze_end(length, None)


# --- what is shown ---------------------------------------------------------------------------------------------------


async def _page(visit: Visit, status: int = 200, **names: Any) -> Response:
    cases, actor = visit.cases, visit.actor
    integration = await cases.integrations.show(actor, visit.parameter("integration_id"))
    integration_id = integration["id"]
    health = await cases.health.show(actor, integration_id, limit=MOST_CHANGES)
    span: Literal["PT24H", "P7D"] = "P7D" if visit.query("span") == "P7D" else "PT24H"
    traffic = await cases.traffic.of_integration(actor, integration_id, span)
    refused = await cases.events.refused(actor, integration_id)
    given: dict[str, Any] = {"issue_errors": Errors(), "wrong_issue": "", "delete_error": "", **names}
    return visit.show(
        PAGE,
        "overview",
        status,
        integration=integration,
        system=EXTERNAL_SYSTEMS[integration["type"]].title,
        health=health,
        issues=health["issues"],
        resolved=(await cases.health.issues(actor, integration_id, "resolved", limit=10)).items,
        standing=await cases.overview.of_integration(actor, integration_id),
        refused=[{**each, "words": REASONS.get(each["reason"], "It could not be taken")} for each in refused],
        webhooks=await _webhooks(visit, integration),
        curl=sample_call(integration["trigger"]).curl(integration["url"]),
        span=span,
        spans=SPANS,
        blocked_key=BLOCKED,
        snoozes=SNOOZES,
        **_band(visit, integration, health, span),
        **_traffic(traffic, dict(SPANS)[span]),
        step=STEPS[span],
        **given,
    )


def _band(visit: Visit, integration: Json, health: Json, span: str) -> dict[str, Any]:
    end = visit.cases.health.now()
    start = end - span_of(span)
    shown = stretches(health, integration["created_at"], start, end)
    picture = band(shown, start, end, f"Health in the last {dict(SPANS)[span]}")
    return {"band": picture, "stretches": list(reversed(shown)), "band_words": in_words(shown), "band_start": start}


def _traffic(traffic: Json, words: str) -> dict[str, Any]:
    return {
        "traffic": traffic,
        "chart": traffic_chart(traffic, f"Last {words}"),
        "highest": highest(traffic),
        "rows": traffic_rows(traffic),
        "durations": durations_chart(traffic, f"Last {words}"),
        "duration_rows": duration_rows(traffic),
        "slowest": slowest(traffic),
    }


async def _webhooks(visit: Visit, integration: Json) -> list[Json]:
    """The notification webhooks that are told when its state changes."""
    page = await visit.cases.webhooks.page(visit.actor, active=True, limit=MOST_WEBHOOKS)
    return [one for one in page.items if _watches(one["filters"], integration)]


def _watches(filters: Json, integration: Json) -> bool:
    named, types = filters["integrations"], filters["types"]
    return (not named or integration["id"] in named) and (not types or integration["type"] in types)
