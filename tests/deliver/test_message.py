"""The message that a reply URL gets: the contract's JSON, signed, without anybody's credentials."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from standardwebhooks import Webhook

from crossdock.clock import system_now
from crossdock.deliver.message import Sealing, reply_body, reply_headers, shown_headers
from crossdock.manage.secrets import write_signing_secret
from crossdock.model.delivery import HandledEvent
from crossdock.model.integration import ReplySettings
from crossdock.model.outcome import Json, Result
from crossdock.model.time import later
from tests.support.held import START
from tests.support.replies import REFUSED, RESULT, an_event

HANDLED = HandledEvent(an_event(START), True, RESULT, None, 2, later(START, 1.5))
SECRET = bytes(range(32))


def with_body(content_type: str, body: bytes) -> HandledEvent:
    request = replace(HANDLED.event.request, content_type=content_type, body=body)
    return replace(HANDLED, event=replace(HANDLED.event, request=request))


def told(handled: HandledEvent) -> Json:
    return json.loads(reply_body(handled, "Orders"))


def test_a_handled_event_is_told_as_the_contract_says() -> None:
    assert told(HANDLED) == {
        "type": "event.handled",
        "id": HANDLED.event.id,
        "integration": {"id": "int_a", "name": "Orders"},
        "status": "succeeded",
        "received_at": "2026-09-21T14:13:20.000Z",
        "handled_at": "2026-09-21T14:13:21.500Z",
        "request": {
            "method": "POST",
            "path": "/hooks/default/orders",
            "query": {"site": "12", "tag": ["a", "b"]},
            "headers": {"content-type": "application/json", "x-trace": "t1"},
            "content_type": "application/json",
            "body": {"order": 1},
        },
        "result": {"status": 201, "headers": {"content-type": "application/json"}, "body": {"id": 7}},
        "error": None,
        "attempts": 2,
    }


def test_a_failed_run_tells_its_error_and_no_result() -> None:
    failed = told(replace(HANDLED, succeeded=False, result=None, error=REFUSED))

    assert failed["status"] == "failed"
    assert failed["result"] is None
    assert failed["error"] == {"kind": "assert", "message": "the order has no lines", "step": "check"}


def test_credentials_of_the_call_are_left_out() -> None:
    text = reply_body(HANDLED, "Orders").decode()

    assert "x-api-key" not in text
    assert "[redacted]" not in text


@pytest.mark.parametrize(
    "number", [b"1.10", b"0.1000000000000000055511151231257827", b"123456789012345678901234567890", b"-0"]
)
def test_numbers_lose_no_digit(number: bytes) -> None:
    body = reply_body(with_body("application/vnd.acme+json; charset=utf-8", b'{"n": %b}' % number), "Orders")

    assert b'{"n": %b}' % number in body


@pytest.mark.parametrize(
    ("content_type", "body", "seen"),
    [
        ("application/json", b"", None),
        ("application/json", b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        ("application/json", b'{"a":1', '{"a":1'),
        ("application/json", b'{"a":1}{"b":2}', '{"a":1}{"b":2}'),
        ("application/json", b"NaN", "NaN"),
        ("", b"[1]", [1]),
        ("text/plain; charset=utf-8", "Zoë".encode(), "Zoë"),
        ("application/x-www-form-urlencoded", b"a=1&a=2&b=3", {"a": ["1", "2"], "b": "3"}),
        ("application/octet-stream", b"\x00\xff", {"base64": "AP8="}),
    ],
)
def test_a_body_of_any_type_is_told_as_expressions_see_it(content_type: str, body: bytes, seen: Json) -> None:
    assert told(with_body(content_type, body))["request"]["body"] == seen


def test_a_result_that_is_not_json_is_text() -> None:
    handled = replace(HANDLED, result=Result(200, (("Content-Type", "text/plain"),), b"[1]"))

    assert told(handled)["result"]["body"] == "[1]"


def test_every_try_sends_the_same_body_and_only_time_and_signature_differ() -> None:
    reply = ReplySettings("https://erp.example/", "PUT", (("X-Site", "12"),))
    body = reply_body(HANDLED, "Orders")

    first = dict(reply_headers(reply, body, Sealing("dlv_1", SECRET, START)))
    second = dict(reply_headers(reply, reply_body(HANDLED, "Orders"), Sealing("dlv_1", SECRET, later(START, 60))))

    assert first["X-Site"] == "12"
    assert first["Content-Type"] == "application/json"
    assert first["Idempotency-Key"] == first["webhook-id"] == "dlv_1"
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {"webhook-timestamp", "webhook-signature"}


def test_the_receiver_can_verify_the_signature() -> None:
    body = reply_body(HANDLED, "Orders")
    headers = dict(reply_headers(ReplySettings("https://erp.example/"), body, Sealing("dlv_1", SECRET, system_now())))

    assert Webhook(write_signing_secret(SECRET)).verify(body, headers)["id"] == HANDLED.event.id


def test_credentials_are_not_kept_with_an_attempt() -> None:
    shown = dict(
        shown_headers(
            [("Authorization", "Bearer a"), ("X-Api-Key", "b"), ("Set-Cookie", "c"), ("X-Site", "12"),
             ("Idempotency-Key", "dlv_1"), ("webhook-signature", "v1,x")]
        )
    )  # fmt: skip

    assert shown == {
        "Authorization": "[redacted]", "X-Api-Key": "[redacted]", "Set-Cookie": "[redacted]", "X-Site": "12",
        "Idempotency-Key": "dlv_1", "webhook-signature": "v1,x",
    }  # fmt: skip
