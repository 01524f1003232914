"""Integration documents: what is taken, what is refused and in which words."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.manage.documents import MAX_DOCUMENT_BYTES, read_document
from crossdock.manage.fields import PATH_LENGTH, check_path, slug
from crossdock.model.errors import Invalid
from crossdock.model.outcome import Json
from tests.manage.conftest import RULES, trigger, wrong


def refused(document: Json) -> dict[str, str]:
    with pytest.raises(Invalid) as error:
        read_document(document, RULES)
    return wrong(error)


EVERYTHING: Json = {
    "name": "Create customer record",
    "type": "webhook-trigger",
    "status": "enabled",
    "platform_token": "a-token-of-the-erp",
    "path": "erp/CreateCustomerRecord",
    "trigger": {
        "methods": ["POST", "GET"],
        "authentication": {"mode": "basic", "username": "erp", "password": "pass word"},
        "query_parameters": [{"name": "customerid", "required": True}, {"name": "region", "default": "EU"}],
        "response_mode": "async",
        "request_timeout": "PT60S",
        "on_timeout": "accept",
        "ordered_delivery": True,
        "ordering_key": "{{ body.customer.id }}",
        "on_exhausted": "skip",
        "concurrency": 4,
        "rate_limit": {"requests": 100, "per": "PT1S"},
        "max_body_bytes": 4096,
        "require_json": True,
        "deduplicate": {"key": "{{ headers['x-delivery-id'] }}", "within": "PT24H"},
        "body_schema": {"type": "object", "properties": {"a": {"enum": [None, 1]}}},
        "cors": {"origins": ["https://shop.example"]},
    },
    "reply": {"url": "https://erp.example/callback", "method": "PUT", "headers": {"X-Site": "12"}},
    "retry": {"attempts": 5, "delay": "PT2S", "factor": 2, "max_delay": "PT5M"},
    "health": {
        "window": 20,
        "warning_failures": 1,
        "error_failures": 5,
        "silence": "PT1H",
        "backlog": "PT5M",
        "rejected_calls": {"calls": 100, "per": "PT5M"},
    },
    "retention": "P30D",
    "workflow": {"steps": [{"id": "total", "transform": {"value": "{{ body.a }}"}}]},
}


def test_a_document_with_every_field_is_kept_as_written() -> None:
    draft = read_document(EVERYTHING, RULES)

    written = {key: EVERYTHING[key] for key in ("reply", "retry", "health", "retention")}
    assert {key: draft.settings[key] for key in written} == written
    assert draft.settings["trigger"]["body_schema"] == EVERYTHING["trigger"]["body_schema"]
    assert draft.settings["trigger"]["deduplicate"]["within"] == "PT24H"
    assert (draft.platform_token, draft.basic_password) == ("a-token-of-the-erp", "pass word")
    assert "password" not in draft.settings["trigger"]["authentication"]


@pytest.mark.parametrize(
    ("kind", "methods", "mode", "response"),
    [
        ("event-webhook-async", ["POST"], "platform_token", "async"),
        ("event-webhook-sync", ["POST"], "platform_token", "sync"),
        ("webhook-trigger", ["POST", "GET"], "none", "async"),
    ],
)
def test_each_type_starts_from_its_preset(kind: str, methods: list[str], mode: str, response: str) -> None:
    draft = read_document({"name": "A", "type": kind}, RULES)

    made = draft.settings["trigger"]
    assert (made["methods"], made["authentication"]["mode"], made["response_mode"]) == (methods, mode, response)
    assert not draft.enabled


def test_null_counts_as_left_out() -> None:
    draft = read_document(trigger(reply=None, retention=None, trigger={"methods": None, "concurrency": None}), RULES)

    assert draft.settings["reply"] is None
    assert draft.settings["retention"] == "P30D"
    assert draft.settings["trigger"]["methods"] == ["POST", "GET"]
    assert draft.settings["trigger"]["concurrency"] == 16


def test_an_unknown_field_is_refused_with_the_nearest_known_one() -> None:
    found = refused(trigger(trigger={"request_timeut": "PT1S"}))

    assert found == {"trigger.request_timeut": "is an unknown field; did you mean request_timeout?"}


def test_all_wrong_fields_are_told_at_once_with_their_paths() -> None:
    found = refused(
        trigger(
            retention="P1M",
            trigger={"query_parameters": [{"required": "yes"}], "concurrency": "16", "methods": ["post"]},
        )
    )

    assert found == {
        "retention": "years and months are not fixed lengths; use days (P30D)",
        "trigger.query_parameters[0].name": "is required",
        "trigger.query_parameters[0].required": "must be true or false",
        "trigger.concurrency": "must be a whole number",
        "trigger.methods[0]": "must be one of GET, POST, PUT, PATCH, DELETE",
    }


@pytest.mark.parametrize("kind", ["github", 7, None, ["webhook-trigger"]])
def test_an_unknown_type_is_refused_with_the_list(kind: Json) -> None:
    found = refused({"name": "A", "type": kind})

    assert "event-webhook-async, event-webhook-sync, webhook-trigger" in found["type"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "  "}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"name": 7}, "name"),
        ({"status": "on"}, "status"),
        ({"platform_token": "short"}, "platform_token"),
        ({"platform_token": "with a space in it"}, "platform_token"),
        ({"reply": {"url": "http://erp.example/"}}, "reply.url"),
        ({"reply": {"url": "https://127.0.0.1/"}}, "reply.url"),
        ({"reply": {"url": "https://user:pass@erp.example/"}}, "reply.url"),
        ({"reply": {"url": "javascript:alert(1)"}}, "reply.url"),
        ({"reply": {"url": "https://erp.example", "method": "GET"}}, "reply.method"),
        ({"reply": {"url": "https://erp.example", "headers": {"X-A": "1\r\nX-B: 2"}}}, "reply.headers"),
        ({"reply": {"url": "https://erp.example", "headers": {"Transfer-Encoding": "chunked"}}}, "reply.headers"),
        ({"reply": {"url": "https://erp.example", "headers": {"webhook-id": "1"}}}, "reply.headers"),
        ({"reply": {"url": "https://erp.example", "headers": {"X A": "1"}}}, "reply.headers"),
        ({"reply": {"url": "https://erp.example", "headers": {"X-A": "1", "x-a": "2"}}}, "reply.headers"),
        ({"reply": {"url": "https://erp.example", "headers": {"X-A": 1}}}, "reply.headers.X-A"),
        ({"reply": {}}, "reply.url"),
        ({"retry": {"attempts": 0}}, "retry.attempts"),
        ({"retry": {"factor": float("inf")}}, ""),
        ({"retry": {"delay": "2s"}}, "retry.delay"),
        ({"health": {"window": 3, "error_failures": 5}}, "health.error_failures"),
        ({"health": {"rejected_calls": {"per": "PT5M"}}}, "health.rejected_calls.calls"),
        ({"health": {"rejected_calls": {"calls": 1, "per": "P1Y"}}}, "health.rejected_calls.per"),
        ({"retention": "PT1S"}, "retention"),
        ({"trigger": {"methods": []}}, "trigger.methods"),
        ({"trigger": {"max_body_bytes": 2**70}}, "trigger.max_body_bytes"),
        ({"trigger": {"rate_limit": {"requests": 0}}}, "trigger.rate_limit.requests"),
        ({"trigger": {"request_timeout": "PT0S"}}, "trigger.request_timeout"),
        ({"trigger": {"response_mode": "sync", "request_timeout": "P1D"}}, "trigger.request_timeout"),
        ({"trigger": {"ordering_key": "{{ body. }}"}}, "trigger.ordering_key"),
        ({"trigger": {"ordering_key": ""}}, "trigger.ordering_key"),
        ({"trigger": {"deduplicate": {"key": "{{ nothing.here }}"}}}, "trigger.deduplicate.key"),
        ({"trigger": {"deduplicate": {"within": "PT1H"}}}, "trigger.deduplicate.key"),
        ({"trigger": {"body_schema": {"type": "objekt"}}}, "trigger.body_schema"),
        ({"trigger": {"body_schema": {"$ref": "https://schemas.example/order.json"}}}, "trigger.body_schema"),
        ({"trigger": {"body_schema": {"$ref": "file:///etc/passwd"}}}, "trigger.body_schema"),
        ({"trigger": {"cors": {"origins": ["shop.example"]}}}, "trigger.cors.origins[0]"),
        ({"trigger": {"authentication": {"mode": "ldap"}}}, "trigger.authentication.mode"),
        ({"trigger": {"authentication": {"mode": "basic", "username": "a:b"}}}, "trigger.authentication.username"),
        ({"trigger": {"query_parameters": [{"name": "a"}, {"name": "a"}]}}, "trigger.query_parameters[1].name"),
        (
            {"trigger": {"query_parameters": [{"name": "a", "required": True, "default": "1"}]}},
            "trigger.query_parameters[0].default",
        ),
        ({"workflow": {"steps": [{"transform": {}}]}}, "workflow.steps[0].id"),
        ({"workflow": []}, "workflow"),
    ],
)
def test_a_wrong_value_is_refused_at_its_field(change: Json, field: str) -> None:
    with pytest.raises(Invalid) as error:
        read_document({**trigger(), **change}, RULES)

    assert field in wrong(error) or (not field and not wrong(error))


@pytest.mark.parametrize(
    "path", ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a%2fb", "ä", "a b", "a?b", "x" * 201]
)
def test_a_path_that_is_no_plain_path_is_refused(path: str) -> None:
    assert "path" in refused(trigger(path=path))


@pytest.mark.parametrize(
    ("name", "path"),
    [("Create customer record", "create-customer-record"), ("Größe & Preis!", "groe-preis"), ("..A/B..", "a-b")],
)
def test_the_path_is_made_from_the_name(name: str, path: str) -> None:
    assert read_document(trigger(name), RULES).path == path


def test_a_name_that_gives_no_path_asks_for_one() -> None:
    assert "no letter or digit" in refused(trigger("注文"))["path"]
    assert read_document(trigger("注文", path="orders"), RULES).name == "注文"


@given(st.text(max_size=150))
def test_a_path_made_from_any_name_is_acceptable(name: str) -> None:
    made = slug(name)

    assert made == "" or check_path(made) == made
    assert len(made) <= PATH_LENGTH


def test_a_deep_document_is_refused() -> None:
    tree: Json = {}
    for _ in range(100_000):
        tree = {"a": tree}

    with pytest.raises(Invalid, match="nested deeper than 64"):
        read_document(trigger(workflow=tree), RULES)


def test_a_huge_document_is_refused() -> None:
    with pytest.raises(Invalid, match="are allowed"):
        read_document(trigger(workflow={"steps": [], "notes": "x" * MAX_DOCUMENT_BYTES}), RULES)


def test_a_few_aliases_that_stand_for_millions_of_values_are_refused() -> None:
    tree: Json = ["x"] * 10
    for _ in range(12):
        tree = [tree] * 10

    with pytest.raises(Invalid, match="more than 200000 values"):
        read_document(trigger(workflow={"steps": tree}), RULES)


@pytest.mark.parametrize("value", [float("nan"), "\ud800", {1, 2}, Path()])
def test_what_is_not_json_is_refused(value: Json) -> None:
    with pytest.raises(Invalid, match="not JSON"):
        read_document(trigger(workflow={"steps": [], "value": value}), RULES)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(["name", "trigger", "reply", "retry", "health", "retention", "path", "workflow", "status", "x"]),
)
def test_any_value_at_any_field_is_taken_or_refused(value: Json, field: str) -> None:
    with contextlib.suppress(Invalid):  # and nothing else
        assert read_document({**trigger(), field: value}, RULES).type == "webhook-trigger"
