"""Sending a notification: what goes out, what comes of it, and that no secret is seen."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from crossdock.clock import system_now
from crossdock.model.outcome import Json
from crossdock.notices.payload import mock_payload, mock_recovery
from crossdock.notices.sending import ANSWER_BYTES, NoticeReport, NoticeSender, invocation_document
from crossdock.notices.webhook import NotificationWebhook, WebhookIdentity, read_webhook
from crossdock.outbound.caller import HttpCaller
from crossdock.outbound.client import HttpSender
from crossdock.outbound.guard import Guard
from tests.outbound.conftest import listening, saying
from tests.outbound.system import System, TokenEndpoint
from tests.support.sink import Received

NOW = 1_790_000_000_000_000
SECRET = "s3cret-token/with+signs"
SIGNING_SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
KEYED = '{"key": "{{ secrets.routing_key }}", "status": "{{ data.status }}"}'

SHARED = '{"name": "{{ data.name | lower }}", "text": "{% if data %}{{ data.name }}!{% endif %}"}'


def webhook_to(url: str, secrets: dict[str, str] | None = None, **document: Any) -> NotificationWebhook:
    identity = WebhookIdentity("nwh_1", "default", "Operations", 1, True)
    return read_webhook(identity, {"url": url, **document}, secrets or {})


async def send(caller: HttpCaller, webhook: NotificationWebhook, payload: Json = None) -> NoticeReport:
    return await NoticeSender(caller).send(webhook, payload or mock_payload(NOW), "dlv_1", system_now())


def seen(webhook: NotificationWebhook, sent: NoticeReport) -> str:
    """Everything that anybody gets to see of it."""
    body = (sent.report.response_body + sent.request_body).decode(errors="replace")
    return repr((webhook, sent, body, sent.error)) + json.dumps(invocation_document(webhook, sent))


async def echo(request: Received) -> web.StreamResponse:
    """Say back whatever was sent, as a debugging page does."""
    told = {"headers": request.headers, "body": request.body.decode(), "status": request.headers.get("x-key")}
    return web.json_response(told, headers={"X-Echo": request.headers.get("authorization", "")})


# --- what goes out -------------------------------------------------------------------------------------------------


async def test_without_a_template_the_whole_payload_is_sent(caller: HttpCaller, system: System) -> None:
    sent = await send(caller, webhook_to(f"{system.url}/hooks?site=12"))

    received = system.requests[0]
    assert (received.method, received.path, received.query) == ("POST", "/hooks", {"site": "12"})
    assert json.loads(received.body) == mock_payload(NOW)
    assert received.headers["content-type"] == "application/json"
    assert received.headers["idempotency-key"] == "dlv_1"
    assert "webhook-signature" not in received.headers
    assert (sent.is_delivered, sent.error, sent.request_body) == (True, None, received.body)


async def test_with_a_template_its_body_is_sent_with_the_headers_that_were_chosen(
    caller: HttpCaller, system: System
) -> None:
    webhook = webhook_to(
        system.url,
        method="PUT",
        body_template='{"text": "{{ data.name }}"}',
        headers={"Content-Type": "application/vnd.x+json", "X-Site": "12"},
    )

    await send(caller, webhook)

    received = system.requests[0]
    assert (received.method, received.body) == ("PUT", b'{"text":"Test of this webhook"}')
    assert (received.headers["content-type"], received.headers["x-site"]) == ("application/vnd.x+json", "12")


async def test_a_signed_message_keeps_its_id_over_tries(caller: HttpCaller, system: System) -> None:
    webhook = webhook_to(system.url, {"signing_secret": SIGNING_SECRET}, signing_secret="[set]")

    sent = await send(caller, webhook)
    await send(caller, webhook)

    first, second = system.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == "dlv_1"
    assert Webhook(SIGNING_SECRET).verify(first.body, first.headers) == mock_payload(NOW)
    sent_at = datetime.fromtimestamp(int(first.headers["webhook-timestamp"]), UTC)
    assert abs((datetime.now(UTC) - sent_at).total_seconds()) < 60
    assert dict(sent.report.request_headers)["webhook-signature"] == first.headers["webhook-signature"]


async def test_headers_of_the_caller_go_along(caller: HttpCaller, system: System) -> None:
    trace = ("traceparent", "00-" + "1" * 32 + "-" + "2" * 16 + "-01")

    await NoticeSender(caller).send(webhook_to(system.url), mock_payload(NOW), "dlv_1", NOW, headers=(trace,))

    assert system.requests[0].headers["traceparent"] == trace[1]


async def test_webhooks_with_the_same_template_send_what_is_theirs(caller: HttpCaller, system: System) -> None:
    webhooks = [webhook_to(f"{system.url}/{number}", body_template=SHARED) for number in range(50)]
    payload = mock_payload(NOW)
    payloads = [payload | {"data": payload["data"] | {"name": f"ERP {number}"}} for number in range(50)]

    await asyncio.gather(*(send(caller, webhook, one) for webhook, one in zip(webhooks, payloads, strict=True)))

    bodies = {request.path: json.loads(request.body) for request in system.requests}
    assert bodies == {f"/{number}": {"name": f"erp {number}", "text": f"ERP {number}!"} for number in range(50)}
    assert all(webhook.template is webhooks[0].template for webhook in webhooks)


# --- credentials ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secrets", "document", "expected"),
    [
        (
            {"authentication.token": SECRET},
            {"authentication": {"type": "bearer_token", "token": "[set]"}},
            {"authorization": f"Bearer {SECRET}"},
        ),
        (
            {"authentication.headers.dd-api-key": SECRET, "authentication.headers.dd-application-key": "other-secret"},
            {"authentication": {"type": "custom", "headers": {"DD-API-KEY": "[set]", "DD-APPLICATION-KEY": "[set]"}}},
            {"dd-api-key": SECRET, "dd-application-key": "other-secret"},
        ),
        ({"headers.x-key": SECRET}, {"headers": {"X-Key": "[set]"}}, {"x-key": SECRET}),
    ],
)
async def test_credentials_go_along_and_are_not_seen(
    caller: HttpCaller, system: System, secrets: dict[str, str], document: Json, expected: dict[str, str]
) -> None:
    system.at("/", echo)
    webhook = webhook_to(system.url, secrets, **document)

    sent = await send(caller, webhook)

    assert expected.items() <= system.requests[0].headers.items()
    assert sent.is_delivered
    assert not any(secret in seen(webhook, sent) for secret in expected.values())
    assert "[redacted]" in sent.report.response_body.decode()


async def test_a_secret_in_the_body_is_masked_wherever_it_turns_up(caller: HttpCaller, system: System) -> None:
    system.at("/", echo)
    secrets = {"secrets.routing_key": 'k"y', "signing_secret": SIGNING_SECRET}
    webhook = webhook_to(
        system.url,
        secrets,
        body_template=KEYED,
        response_validators=[{"json_path": "$.data.body", "expected_values": [1]}],
    )

    sent = await send(caller, webhook)

    assert json.loads(system.requests[0].body) == {"key": 'k"y', "status": "error"}
    assert json.loads(sent.request_body) == {"key": "[redacted]", "status": "error"}
    assert "[redacted]" in sent.report.response_body.decode()
    assert 'k"y' not in seen(webhook, sent).replace("\\", "")
    assert SIGNING_SECRET not in seen(webhook, sent)


@pytest.fixture
def tokens(system: System) -> TokenEndpoint:
    endpoint = TokenEndpoint()
    system.at("/token", endpoint)
    return endpoint


def with_oauth(system: System, secret: str = SECRET) -> NotificationWebhook:
    authentication = {
        "type": "oauth",
        "client_id": "crossdock",
        "client_secret": "[set]",
        "token_endpoint_url": f"{system.url}/token",
        "scopes": ["notify"],
    }
    return webhook_to(f"{system.url}/hook", {"authentication.client_secret": secret}, authentication=authentication)


async def test_one_token_serves_several_notifications(
    caller: HttpCaller, system: System, tokens: TokenEndpoint
) -> None:
    system.at("/hook", echo)

    sent = [await send(caller, with_oauth(system)) for _ in range(3)]

    assert [one.headers["authorization"] for one in system.sent_to("/hook")] == ["Bearer token-number-1"] * 3
    assert b"scope=notify" in tokens.fetched[0].body
    assert all(one.is_delivered for one in sent)
    assert "token-number-1" not in seen(with_oauth(system), sent[0])
    assert SECRET not in seen(with_oauth(system), sent[0])


async def test_a_token_that_is_refused_is_renewed_once(
    caller: HttpCaller, system: System, tokens: TokenEndpoint
) -> None:
    async def only_the_second(request: Received) -> web.StreamResponse:
        good = request.headers["authorization"] == "Bearer token-number-2"
        return web.Response(status=200 if good else 401)

    system.at("/hook", only_the_second)

    sent = await send(caller, with_oauth(system))

    assert (sent.is_delivered, len(tokens.fetched)) == (True, 2)


async def test_a_target_that_refuses_every_token_is_asked_twice(
    caller: HttpCaller, system: System, tokens: TokenEndpoint
) -> None:
    system.says("/hook", status=401)

    sent = await send(caller, with_oauth(system))

    assert (sent.error, len(system.sent_to("/hook")), len(tokens.fetched)) == ("the target answered 401", 2, 2)


@pytest.mark.parametrize(
    ("status", "body", "said", "permanent"),
    [
        (401, b'{"error": "invalid_client"}', "the token endpoint answered 401: invalid_client", True),
        (503, b"", "the token endpoint answered 503", False),
        (200, b"{}", "has no access_token", True),
        (200, b"<html>", "is no JSON object", True),
        (200, json.dumps({"access_token": "line\nbreak"}).encode(), "no header can carry", True),
    ],
)
async def test_without_a_token_nothing_is_sent(
    caller: HttpCaller, system: System, status: int, body: bytes, said: str, permanent: bool
) -> None:
    system.says("/token", status, body)

    sent = await send(caller, with_oauth(system))

    assert said in (sent.error or "")
    assert (sent.report.permanent, system.sent_to("/hook")) == (permanent, [])


async def test_a_token_endpoint_that_hangs_costs_the_webhooks_timeout(
    caller: HttpCaller, system: System, tokens: TokenEndpoint
) -> None:
    tokens.gate = asyncio.Event()
    hanging = with_oauth(system)

    sent = await send(caller, replace_timeout(hanging, 0.2))

    assert sent.error == "no access token within 0.2 s"
    assert not sent.report.permanent


def replace_timeout(webhook: NotificationWebhook, seconds: float) -> NotificationWebhook:
    return replace(webhook, connection=replace(webhook.connection, timeout=seconds))


# --- what the target answers ---------------------------------------------------------------------------------------

OK = [{"json_path": "$.data.status", "expected_values": ["ok"]}]


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b'{"status": "ok"}', None),
        (b'{"data": {"status": "ok"}}', None),
        (b'{"status": "no"}', '"no" is found, and "ok" is expected'),
        (b"{}", "nothing is found there"),
        (b"ok", "the answer is not JSON"),
        (b"", "the answer's body is empty"),
        (b"[" * 5_000, "the answer is not JSON"),
    ],
)
async def test_a_good_status_counts_when_every_validator_holds(
    caller: HttpCaller, system: System, body: bytes, refusal: str | None
) -> None:
    system.says("/", 202, body)

    sent = await send(caller, webhook_to(system.url, response_validators=OK))

    assert sent.is_delivered is (refusal is None)
    assert (refusal or "") in (sent.error or "")
    assert sent.validations[0].passed is (refusal is None)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, "the target answered 404"),
        (410, "410 Gone: it wants no notifications any more"),
        (500, "the target answered 500"),
        (302, "the answer redirects to elsewhere.example; redirects are not followed"),
    ],
)
async def test_another_status_is_no_delivery_and_validators_are_not_asked(
    caller: HttpCaller, system: System, status: int, error: str
) -> None:
    system.says("/", status, b'{"status": "ok"}', Location="https://elsewhere.example/?token=1")

    sent = await send(caller, webhook_to(system.url, response_validators=OK))

    assert error in (sent.error or "")
    assert (sent.is_delivered, sent.validations, len(system.requests)) == (False, (), 1)


async def test_an_answer_that_is_too_long_is_delivered_unless_it_is_to_be_validated(
    caller: HttpCaller, system: System
) -> None:
    system.says("/", 200, gzip.compress(b" " * 100 * ANSWER_BYTES), Content_Encoding="gzip")

    plain = await send(caller, webhook_to(system.url))
    validated = await send(caller, webhook_to(system.url, response_validators=OK))

    assert plain.is_delivered
    assert len(plain.report.response_body) <= ANSWER_BYTES
    assert "the answer is longer than 1048576 bytes" in (validated.error or "")


async def test_an_answer_that_does_not_come_in_time_is_a_fault(caller: HttpCaller) -> None:
    release = asyncio.Event()

    async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await release.wait()

    async with listening(hang) as port:
        sent = await send(caller, replace_timeout(webhook_to(f"http://127.0.0.1:{port}/"), 0.2))
        release.set()

    assert (sent.error, sent.report.permanent) == ("no answer within 0.2 s", False)


async def test_headers_of_the_answer_that_carry_credentials_are_not_kept(caller: HttpCaller) -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: session=1234\r\nContent-Length: 0\r\n\r\n"

    async with listening(saying(answer)) as port:
        sent = await send(caller, webhook_to(f"http://127.0.0.1:{port}/"))

    assert dict(sent.report.response_headers)["set-cookie"] == "[redacted]"


# --- what keeps a message from going out ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://hooks.example/1", "plain http; use https"),
        ("https://10.0.0.1/1", "which is not called; to allow it, list"),
        ("https://user:password@hooks.example/1", "carries credentials before the host"),
        ("https://hooks.example/ 1", "contains a space"),
    ],
)
async def test_a_target_that_must_not_be_called_is_refused_for_good(url: str, reason: str) -> None:
    sender = HttpSender(Guard(), system_now)
    caller = HttpCaller(sender)

    sent = await send(caller, webhook_to(url))

    await caller.close()
    await sender.close()
    assert reason in (sent.error or "")
    assert sent.report.permanent


async def test_a_template_that_fails_is_told_and_nothing_is_sent(caller: HttpCaller, system: System) -> None:
    webhook = webhook_to(system.url, body_template='{"first": "{{ data.issues[0].message }}"}')

    sent = await send(caller, webhook, mock_recovery(NOW))

    assert "the body template can't be rendered, so nothing was sent: first: data.issues[0] is not there" in (
        sent.error or ""
    )
    assert (sent.report.permanent, system.requests) == (True, [])


async def test_a_header_that_would_break_the_request_apart_is_refused(caller: HttpCaller, system: System) -> None:
    sent = await send(caller, webhook_to(system.url, headers={"X-Site": "12\r\nX-Injected: 1"}))

    assert "can't be sent" in (sent.error or "")
    assert (sent.report.permanent, system.requests) == (True, [])


# --- what a test shows ---------------------------------------------------------------------------------------------


async def test_the_invocation_shows_what_was_sent_answered_and_found(caller: HttpCaller, system: System) -> None:
    system.says("/hook", 200, b'{"status": "late"}', Content_Type="application/json")
    webhook = webhook_to(
        f"{system.url}/hook",
        {"authentication.token": SECRET, "secrets.routing_key": "routing-key"},
        authentication={"type": "bearer_token", "token": "[set]"},
        body_template=KEYED,
        response_validators=OK,
    )

    told = invocation_document(webhook, await send(caller, webhook))

    request, response = told["invocation"]["request"], told["invocation"]["response"]
    assert told["outcome"] == "failed"
    assert told["error"] == (
        'the target answered 200, but response validator $.data.status: "late" is found, and "ok" is expected'
    )
    assert (request["method"], request["url"]) == ("POST", f"{system.url}/hook")
    assert request["headers"]["Authorization"] == "[redacted]"
    assert json.loads(request["body"]) == {"key": "[redacted]", "status": "error"}
    assert (response["status"], response["body"]) == (200, '{"status": "late"}')
    assert response["headers"]["content-type"] == "application/json"
    assert response["duration_ms"] > 0
    assert told["invocation"]["validators"] == [
        {
            "json_path": "$.data.status",
            "found": ["late"],
            "passed": False,
            "problem": '"late" is found, and "ok" is expected',
        }
    ]


async def test_the_invocation_of_a_good_test_has_no_error(caller: HttpCaller, system: System) -> None:
    webhook = webhook_to(system.url)

    told = invocation_document(webhook, await send(caller, webhook))

    assert (told["outcome"], "error" in told) == ("successful", False)


async def test_the_invocation_without_an_answer_has_no_response(caller: HttpCaller) -> None:
    webhook = webhook_to("http://127.0.0.1:1/")

    told = invocation_document(webhook, await send(caller, webhook))

    assert told["invocation"]["response"] is None
    assert "127.0.0.1:1" in told["error"]
