"""Sending a notification: the body from the webhook's present template, the call with its credentials, what came of it.

Deliveries and tests go the same way. `HttpCaller` authenticates, keeps to the guard and bounds the exchange. What is
reported shows no secret: the body is rendered once more with the secrets masked, and wherever the target repeats one it
is hidden.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec
from yarl import URL

from crossdock.model.delivery import ATTEMPT_BODY_BYTES, SendReport
from crossdock.model.outcome import Json
from crossdock.model.time import Instant, seconds_between
from crossdock.notices.template import TemplateFailed
from crossdock.notices.validators import Validation, judge_answer, refusal_of
from crossdock.notices.webhook import NotificationWebhook
from crossdock.outbound.client import redirect_in_words
from crossdock.outbound.connection import Pairs
from crossdock.outbound.redaction import REDACTED, Mask, shown_headers
from crossdock.outbound.redirects import is_redirect
from crossdock.outbound.request import HttpRequest
from crossdock.outbound.signatures import sign
from crossdock.outbound.trying import HttpCalls

ANSWER_BYTES = 1024 * 1024
"""The most that is read of an answer, after it is unpacked."""
_SHORTEST_SECRET = 3
"""Only people read what is masked here, so that nothing is spoilt when a short one turns up by chance."""
_JSON = ("Content-Type", "application/json")

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class NoticeReport:
    """What one try to send a notification looked like, without secrets.

    `refusal` says why an answer with a good status is not what the webhook's validators want: worth another try.
    `request_body` is what was sent, as it may be shown; empty when nothing was.
    """

    report: SendReport
    request_body: bytes = b""
    refusal: str | None = None
    validations: tuple[Validation, ...] = ()

    @property
    def is_delivered(self) -> bool:
        status = self.report.status
        return status is not None and 200 <= status < 300 and self.refusal is None

    @property
    def error(self) -> str | None:
        """Why it was not delivered, in words; None when it was."""
        if self.is_delivered:
            return None
        report = self.report
        if report.status is None:
            return report.error or "no answer came"
        if self.refusal is not None:
            return f"the target answered {report.status}, but {self.refusal}"
        if report.error is not None:
            return f"the target answered {report.status}: {report.error}"
        if report.status == 410:
            return (
                "the target answered 410 Gone: it wants no notifications any more; change the URL or delete the webhook"
            )
        return f"the target answered {report.status}"


@dataclass(frozen=True, slots=True)
class _Body:
    """What goes out, and what may be seen of it."""

    sent: bytes
    shown: bytes


class NoticeSender:
    """Sends notifications; one for the whole process."""

    def __init__(self, calls: HttpCalls) -> None:
        self._calls = calls

    async def send(
        self,
        webhook: NotificationWebhook,
        payload: Mapping[str, Json],
        message_id: str,
        now: Instant,
        *,
        headers: Pairs = (),
    ) -> NoticeReport:
        """Send one payload and report. Nothing that the target or the template does raises.

        `message_id` is the same for every try: receivers know a repeated message by it. `headers` go along.
        """
        try:
            body = await asyncio.to_thread(_compose, webhook, payload)
        except TemplateFailed as failure:
            error = f"the body template can't be rendered, so nothing was sent: {failure}"
            return NoticeReport(SendReport(now, now, (), error=error, permanent=True))
        own = _own_headers(webhook, body.sent, message_id, now)
        request = HttpRequest(webhook.method, "", headers=(*own, *headers), body=body.sent, response_bytes=ANSWER_BYTES)
        report = await self._calls.call(request, webhook.connection)
        return await asyncio.to_thread(_judged, webhook, body, report, own)


def invocation_document(webhook: NotificationWebhook, sent: NoticeReport) -> dict[str, Json]:
    """All that a test tells: how it went, and what was sent, answered and found."""
    report = sent.report
    elapsed = seconds_between(report.started_at, report.finished_at)
    response = None
    if report.status is not None:
        response = {
            "status": report.status,
            "headers": _as_object(report.response_headers),
            "body": _as_text(report.response_body),
            "duration_ms": round(elapsed * 1_000, 1),
        }
    validators = [
        {"json_path": one.json_path, "found": list(one.found), "passed": one.passed}
        | ({} if one.problem is None else {"problem": one.problem})
        for one in sent.validations
    ]
    return {
        "outcome": "successful" if sent.is_delivered else "failed",
        **({} if sent.error is None else {"error": sent.error}),
        "invocation": {
            "request": {
                "method": webhook.method,
                "url": webhook.url,
                "headers": _as_object(report.request_headers),
                "body": _as_text(sent.request_body),
            },
            "response": response,
            "validators": validators,
        },
    }


def _compose(webhook: NotificationWebhook, payload: Mapping[str, Json]) -> _Body:
    if webhook.template is None:
        body = _encode(payload)
        return _Body(body, body)
    sent = webhook.template.render(payload, webhook.secrets)
    if not webhook.secrets:
        return _Body(sent, sent)
    return _Body(sent, webhook.template.render(payload, dict.fromkeys(webhook.secrets, REDACTED)))


def _own_headers(webhook: NotificationWebhook, body: bytes, message_id: str, now: Instant) -> Pairs:
    """What every message carries. A webhook that sets a content type itself knows better."""
    chosen = {name.lower() for name, _ in webhook.connection.headers}
    content_type = () if "content-type" in chosen else (_JSON,)
    signature = () if webhook.signing_key is None else sign(webhook.signing_key, message_id, now, body)
    return (*content_type, ("Idempotency-Key", message_id), *signature)


def _judged(webhook: NotificationWebhook, body: _Body, report: SendReport, own: Pairs) -> NoticeReport:
    validations: tuple[Validation, ...] = ()
    refusal = None
    if report.status is not None and 200 <= report.status < 300:
        validations = judge_answer(webhook.validators, report.response_body, report.error)
        refusal = refusal_of(validations)
    elif is_redirect(report.status) and report.error is None:
        location = next((value for name, value in report.response_headers if name == "location"), None)
        report = replace(report, error=redirect_in_words(URL(webhook.url), location), permanent=True)
    mask = Mask(webhook.secrets.values(), shortest=_SHORTEST_SECRET)
    shown = mask.report(report, started_at=report.started_at, request_headers=_seen(report.request_headers, own))
    return NoticeReport(
        replace(shown, response_headers=shown_headers(shown.response_headers)),
        request_body=body.shown,
        refusal=None if refusal is None else mask.text(refusal),
        validations=tuple(_masked(one, mask) for one in validations),
    )


def _seen(headers: Pairs, own: Pairs) -> Pairs:
    """The headers as they are kept. The signature sounds like a credential, but whoever checks a message needs it."""
    signature = {name: value for name, value in own if name == "webhook-signature"}
    return tuple((name, signature.get(name, value)) for name, value in headers)


def _masked(validation: Validation, mask: Mask) -> Validation:
    found = tuple(_masked_value(value, mask) for value in validation.found)
    problem = None if validation.problem is None else mask.text(validation.problem)
    return replace(validation, found=found, problem=problem)


def _masked_value(value: Json, mask: Mask) -> Json:
    text = _encode(value)
    masked = mask.content(text)
    if masked == text:
        return value
    try:
        return msgspec.json.decode(masked)
    except msgspec.DecodeError:  # a number that was masked leaves no JSON behind
        return masked.decode(errors="replace")


def _as_object(headers: Pairs) -> dict[str, Json]:
    """Headers by name; those that are repeated are joined as one line would have them (RFC 9110, 5.3)."""
    joined: dict[str, Json] = {}
    for name, value in headers:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


def _as_text(body: bytes) -> str:
    """The beginning of a body, as long as an attempt keeps it."""
    return body[:ATTEMPT_BODY_BYTES].decode(errors="replace")
