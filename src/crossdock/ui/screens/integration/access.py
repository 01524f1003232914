"""Who may call an integration: its keys, and the secret that its replies are signed with."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from crossdock.model.errors import Invalid
from crossdock.model.outcome import Json
from crossdock.model.time import Instant, parse_instant
from crossdock.ui.forms import NO_FORM, Errors
from crossdock.ui.integration_form.summary import sample_call
from crossdock.ui.shown_once import forget_once, keep_once, read_once
from crossdock.ui.visit import Visit

PAGE = "integration/access.html"


async def show(visit: Visit) -> Response:
    """The keys. A secret that was just made is shown with them, once."""
    once = read_once(visit.request)
    response = await _page(visit, once=once)
    if once:
        forget_once(response, _path(visit))
    return response


async def add_key(visit: Visit) -> Response:
    """A new key: generated, or the one that was pasted."""
    sent = visit.sent
    pasted = sent.text("key") if sent.text("way") == "paste" else None
    try:
        made = await visit.cases.keys.add(
            visit.actor, _id(visit), sent.text("label"), pasted, expires_at=_expiry(sent.text("expires_at"))
        )
    except Invalid as error:
        return await _page(visit, 422, typed=sent, errors=Errors.of(error))
    response = visit.go(_path(visit))
    return keep_once(visit.request, response, _path(visit), {"label": made["label"], "key": made["key"]})


async def change_key(visit: Visit) -> Response:
    """Another label, another time at which it expires."""
    sent, key_id = visit.sent, visit.parameter("key_id")
    try:
        patch = {"label": sent.text("label"), "expires_at": _expiry(sent.text("expires_at"))}
        saved = await visit.cases.keys.change(visit.actor, _id(visit), key_id, patch)
    except Invalid as error:
        return await _page(visit, 422, typed=sent, errors=Errors.of(error), wrong_key=key_id)
    return visit.go(_path(visit), f"{saved['label']} was saved.")


async def switch_key(visit: Visit) -> Response:
    """Disable a key, or let it be used again."""
    disabled, key_id = visit.sent.is_on("disabled"), visit.parameter("key_id")
    saved = await visit.cases.keys.change(visit.actor, _id(visit), key_id, {"disabled": disabled})
    said = f"{saved['label']} is refused now." if disabled else f"{saved['label']} can be used again."
    back = "" if disabled else "on"
    return visit.go(_path(visit), said, undo=f"{_path(visit)}/keys/{key_id}/switch", disabled=back)


async def delete_key(visit: Visit) -> Response:
    key_id = visit.parameter("key_id")
    label = (await visit.cases.keys.show(visit.actor, _id(visit), key_id))["label"]
    await visit.cases.keys.delete(visit.actor, _id(visit), key_id)
    return visit.go(_path(visit), f"{label} was deleted. Calls with it are refused now.")


async def show_signing_secret(visit: Visit) -> Response:
    """The secret that receivers check replies with. A POST, because who was shown it is written down."""
    secret = await visit.cases.integrations.signing_secret(visit.actor, _id(visit))
    return keep_once(visit.request, visit.go(_path(visit)), _path(visit), {"signing_secret": secret})


async def rotate_signing_secret(visit: Visit) -> Response:
    secret = await visit.cases.integrations.rotate_signing_secret(visit.actor, _id(visit))
    return keep_once(visit.request, visit.go(_path(visit)), _path(visit), {"signing_secret": secret})


# --- what is shown ---------------------------------------------------------------------------------------------------


async def _page(visit: Visit, status: int = 200, **names: Any) -> Response:
    integration = await visit.cases.integrations.show(visit.actor, _id(visit))
    page = await visit.cases.keys.page(visit.actor, integration["id"], cursor=visit.cursor)
    now = visit.cases.health.now()
    given: dict[str, Any] = {"typed": NO_FORM, "errors": Errors(), "wrong_key": "", "once": {}, **names}
    call = sample_call(integration["trigger"]).curl(integration["url"])
    return visit.page(
        PAGE,
        status,
        integration=integration,
        mode=integration["trigger"]["authentication"]["mode"],
        keys=[{**key, "state": key_state(key, now), "expires": _as_field(key["expires_at"])} for key in page.items],
        next=page.next,
        curl=call.replace("$API_KEY", given["once"].get("key", "$API_KEY")),
        **given,
    )


def key_state(key: Json, now: Instant) -> str:
    """Whether a key can be used: active, disabled or expired."""
    if key["disabled"]:
        return "disabled"
    is_over = key["expires_at"] is not None and parse_instant(key["expires_at"]) <= now
    return "expired" if is_over else "active"


def _expiry(text: str) -> str | None:
    """What a field of date and time sends, in UTC; None for an empty one."""
    if not text:
        return None
    return text if text.endswith("Z") else f"{text}:00Z" if len(text) == len("2026-01-01T00:00") else f"{text}Z"


def _as_field(at: str | None) -> str:
    return "" if at is None else at[:16]


def _id(visit: Visit) -> str:
    return visit.parameter("integration_id")


def _path(visit: Visit) -> str:
    return visit.path("integrations", _id(visit), "access")
