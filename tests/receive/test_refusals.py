"""Calls that are refused: the stated status, words that help, a count, and nothing recorded."""

from __future__ import annotations

import base64
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import pytest

from crossdock.catalog import LiveIntegration
from crossdock.model.time import later
from crossdock.model.trigger import AuthenticationMode, QueryParameter, RateLimit
from crossdock.store import Store
from tests.support.held import HeldClock
from tests.support.runs import count
from tests.support.yard import Answered, Yard, a_key, deduplicated

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

JSON = (("content-type", "application/json"),)
KEYS = AuthenticationMode.API_KEYS
TOKEN = AuthenticationMode.PLATFORM_TOKEN
BASIC = AuthenticationMode.BASIC


def with_keys(live: LiveIntegration, *keys: Any) -> LiveIntegration:
    return replace(live, keys=MappingProxyType({key.hash: key for key in keys}))


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


async def refused(yard: Yard, status: int, reason: str | None, **call: Any) -> Answered:
    """Make the call; it is a problem with this status, counted under the reason, and nothing is recorded."""
    events = await yard.store.read(count, "event")
    yard.app.tally.take()

    answer = await yard.call(**call)

    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json"), answer
    document = answer.json
    assert document["status"] == status
    assert {"type", "title", "detail"} <= document.keys()
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert await yard.store.read(count, "event") == events
    counted = yard.app.tally.take().rejections
    assert list(counted) == ([("int_a", reason)] if reason is not None else [])
    return answer


# --- who calls -------------------------------------------------------------------------------------------------------

GOOD_KEY = "a good key"


WRONG_KEYS: list[list[tuple[str, str]]] = [
    [],
    [("x-api-key", "wrong")],
    [("x-api-key", "")],
    [("x-api-key", "A good key")],
    [("authorization", "Bearer wrong")],
    [("authorization", "Bearer ")],
    [("authorization", GOOD_KEY)],
    [("authorization", f"Basic {GOOD_KEY}")],
    [("x-platform-token", GOOD_KEY)],
    [("x-api-key", "wrong"), ("authorization", f"Bearer {GOOD_KEY}")],
    [("x-api-key", "\xff\x00")],
    [("cookie", f"x-api-key={GOOD_KEY}")],
]


async def test_a_call_without_the_right_key_is_refused(yard: Yard) -> None:
    yard.know(with_keys(await yard.add(authentication=KEYS), a_key(GOOD_KEY)))

    for headers in WRONG_KEYS:
        answer = await refused(yard, 401, "unauthenticated", headers=headers)

        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert GOOD_KEY not in answer.body.decode()


async def test_missing_and_wrong_credentials_are_told_alike(yard: Yard) -> None:
    yard.know(with_keys(await yard.add(authentication=KEYS), a_key(GOOD_KEY)))

    missing = await yard.call()
    wrong = await yard.call(headers=[("x-api-key", "wrong")])

    assert missing.body == wrong.body


async def test_a_key_that_is_disabled_or_expired_is_refused(yard: Yard, clock: HeldClock) -> None:
    live = await yard.add(authentication=KEYS)
    off = a_key("off", id="key_off", disabled=True)
    old = a_key("old", id="key_old", expires_at=later(clock.now, 10))
    yard.know(with_keys(live, off, old))

    await refused(yard, 401, "unauthenticated", headers=[("x-api-key", "off")])
    assert (await yard.call(headers=[("x-api-key", "old")])).status == 202
    clock.advance(10)
    await refused(yard, 401, "unauthenticated", headers=[("x-api-key", "old")])


@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
async def test_the_right_key_is_accepted_and_counted(yard: Yard, header: str) -> None:
    yard.know(with_keys(await yard.add(authentication=KEYS), a_key("other", id="key_2"), a_key(GOOD_KEY)))
    value = GOOD_KEY if header == "x-api-key" else f"bearer {GOOD_KEY}"

    answer = await yard.call(headers=[(header, value)])

    assert answer.status == 202
    assert {key: used.calls for key, used in yard.app.tally.take().keys.items()} == {"key_1": 1}


async def test_a_key_of_another_integration_is_refused(yard: Yard) -> None:
    yard.know(with_keys(await yard.add(authentication=KEYS), a_key(GOOD_KEY)))
    yard.know(with_keys(await yard.add("int_b", authentication=KEYS), a_key("b's key")))

    await refused(yard, 401, "unauthenticated", headers=[("x-api-key", "b's key")])


async def test_the_platform_token_is_asked_for(yard: Yard) -> None:
    live = await yard.add(authentication=TOKEN)
    yard.know(replace(live, token_hash=sha256(b"token").digest()))

    await refused(yard, 401, "unauthenticated", headers=[("x-platform-token", "wrong")])
    await refused(yard, 401, "unauthenticated", headers=[("x-api-key", "token")])
    assert (await yard.call(headers=[("x-platform-token", "token")])).status == 202
    assert (await yard.call(headers=[("authorization", "Bearer token")])).status == 202


async def test_an_integration_without_its_credential_lets_nobody_in(yard: Yard) -> None:
    for mode in (KEYS, TOKEN, BASIC):
        await yard.add(authentication=mode)
        for headers in ([], [("x-platform-token", "")], [("authorization", basic("", ""))], [("x-api-key", "")]):
            await refused(yard, 401, "unauthenticated", headers=headers)


@pytest.mark.parametrize(
    "value",
    [
        basic("erp", "wrong"),
        basic("Erp", "secret"),
        basic("", "secret"),
        "Basic",
        "Basic !!!",
        "Basic ZXJw",
        "Bearer secret",
        "Basic \xff",
    ],
)
async def test_basic_credentials_that_are_not_right_are_refused(yard: Yard, value: str) -> None:
    live = await yard.add(authentication=BASIC, basic_username="erp")
    yard.know(replace(live, basic_hash=sha256(b"secret").digest()))

    await refused(yard, 401, "unauthenticated", headers=[("authorization", value)])


async def test_the_right_basic_credentials_are_accepted(yard: Yard) -> None:
    live = await yard.add(authentication=BASIC, basic_username="erp")
    yard.know(replace(live, basic_hash=sha256("se:cret ü".encode()).digest()))

    assert (await yard.call(headers=[("authorization", basic("erp", "se:cret ü"))])).status == 202


# --- where and how ---------------------------------------------------------------------------------------------------


UNKNOWN = [
    "/hooks/yard/unknown", "/hooks/yard/int_a/", "/hooks/yard/INT_A", "/hooks/other/int_a", "/hooks/yard/",
    "/hooks/", "/hooks/yard", "/hooks//int_a", "/hooks/yard/../yard/int_a", "/hooks/yard/" + "x" * 60_000,
    "/hooks/yard/int_a\x00", "/hooks/yard/\ufffd",
]  # fmt: skip


async def test_an_unknown_path_is_not_found(yard: Yard) -> None:
    await yard.add()

    for path in UNKNOWN:
        answer = await refused(yard, 404, None, path=path)

        assert len(answer.body) < 1_000


async def test_a_disabled_integration_says_so_to_who_may_know(yard: Yard) -> None:
    yard.know(with_keys(await yard.add(authentication=KEYS, enabled=False), a_key(GOOD_KEY)))

    await refused(yard, 401, "unauthenticated")
    answer = await refused(yard, 403, "disabled", headers=[("x-api-key", GOOD_KEY)])

    assert "disabled" in answer.json["detail"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "TRACE", "NONSENSE"])
async def test_a_wrong_method_is_refused_with_the_right_ones(yard: Yard, method: str) -> None:
    await yard.add(methods=("POST", "PATCH"))

    answer = await refused(yard, 405, "method", method=method)

    assert answer.headers["allow"] == "POST, PATCH"


async def test_head_is_answered_without_a_body(yard: Yard) -> None:
    await yard.add()

    answer = await yard.call(method="HEAD")

    assert (answer.status, answer.body) == (405, b"")


async def test_an_integration_whose_settings_can_not_be_read_is_unavailable(yard: Yard) -> None:
    snapshot = yard.catalog.snapshot
    yard.catalog.snapshot = replace(snapshot, broken_paths=frozenset({("yard", "int_a")}))

    answer = await refused(yard, 503, None)

    assert int(answer.headers["retry-after"]) >= 1


# --- what is sent ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "length"),
    [
        ([b"x" * 11], None),
        ([b"x" * 11], "11"),
        ([b""], "11"),
        ([b""], "9" * 5_000),
        ([b"x" * 6, b"x" * 5], None),
        ([b"x" * 6, b"x" * 5], "10"),
        ([b"", b"", b"x" * 11, b""], None),
        ([b"x"] * 11, "5"),
    ],
)
async def test_a_body_over_the_limit_is_refused(yard: Yard, body: list[bytes], length: str | None) -> None:
    await yard.add(max_body_bytes=10)
    headers = [("content-length", length)] if length is not None else []

    answer = await refused(yard, 413, "too_large", body=body, headers=headers)

    assert "10 bytes" in answer.json["detail"]


async def test_a_body_over_the_limit_is_refused_before_the_rest_of_it_is_read(yard: Yard) -> None:
    await yard.add(max_body_bytes=10)
    pieces = [b"x" * 6] * 1_000

    answer = await yard.call(body=pieces)

    assert answer.status == 413


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "identity, gzip", "GZIP", "zstd", "x"])
async def test_a_compressed_body_is_refused(yard: Yard, coding: str) -> None:
    await yard.add()

    await refused(yard, 415, "media_type", headers=[("content-encoding", coding)], body=b"\x1f\x8b not really")


async def test_identity_is_no_compression(yard: Yard) -> None:
    await yard.add()

    assert (await yard.call(headers=[("content-encoding", "identity"), *JSON])).status == 202


NOT_JSON = [
    b"", b" ", b"{", b'{"a":}', b"NaN", b'{"a": NaN}', b"[Infinity]", b"-Infinity", b"{'a': 1}", b'{"a": 1} x',
    b"\xff", b'"\xff"', b'"\xed\xa0\x80"', rb'"\ud800"', b'"\x00"', b"\xef\xbb\xbf", b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b'"\n"', b"01", b"+1", b"1.", b"tru",
]  # fmt: skip


async def test_a_body_that_is_not_json_is_refused_where_json_is_asked_for(yard: Yard) -> None:
    await yard.add(require_json=True)

    for body in NOT_JSON:
        answer = await refused(yard, 400, "malformed", body=body)

        assert "JSON" in answer.json["detail"]
        assert len(answer.body) < 1_000


async def test_a_body_that_does_not_fit_the_schema_is_refused_with_the_places(yard: Yard) -> None:
    await yard.add(body_schema='{"type": "object", "required": ["id"], "properties": {"n": {"type": "integer"}}}')

    answer = await refused(yard, 422, "invalid", body=b'{"n": "seven"}')

    assert len(answer.json["errors"]) == 2
    assert {error["field"] for error in answer.json["errors"]} == {"body"}
    await refused(yard, 400, "malformed", body=b"{")
    assert (await yard.call(body=b'{"id": 1, "n": 7}')).status == 202


async def test_a_missing_query_parameter_is_refused_by_its_name(yard: Yard) -> None:
    declared = (QueryParameter("customerid", required=True), QueryParameter("region", default="EU"))
    await yard.add(query_parameters=declared)

    answer = await refused(yard, 422, "invalid", query="region=US&customerID=1")

    assert answer.json["errors"] == [{"field": "query.customerid", "message": "is required"}]


async def test_a_query_of_thousands_of_parameters_is_refused(yard: Yard) -> None:
    await yard.add()

    await refused(yard, 400, "malformed", query="&".join(f"a{n}=1" for n in range(1_001)))


NO_KEY = [
    b"{}", b'{"customer": {}}', b'{"customer": {"id": null}}', b'{"customer": {"id": ""}}', b"not json", b"",
    b'{"customer": {"id": true}}', b'{"customer": {"id": [1]}}', b'{"customer": {"id": "a\\nb"}}', b"[" * 100_000,
    b'{"customer": {"id": "a\\u0000b"}}', b'{"customer": {"id": "' + b"x" * 513 + b'"}}',
]  # fmt: skip


async def test_a_call_without_a_usable_ordering_key_is_refused(yard: Yard) -> None:
    await yard.add(ordered=True, ordering_key="{{ body.customer.id }}")

    for body in NO_KEY:
        answer = await refused(yard, 422, "invalid", body=body)

        assert answer.json["errors"][0]["field"] == "ordering_key"


async def test_a_call_without_a_usable_dedupe_key_is_refused(yard: Yard) -> None:
    await yard.add(deduplicate=deduplicated())

    await refused(yard, 422, "invalid")
    await refused(yard, 422, "invalid", headers=[("x-id", "")])


# --- too much --------------------------------------------------------------------------------------------------------


async def test_calls_over_the_rate_are_told_when_to_come_back(yard: Yard, clock: HeldClock) -> None:
    await yard.add(rate_limit=RateLimit(2, 10.0))
    assert (await yard.call()).status == 202
    clock.advance(4)
    assert (await yard.call()).status == 202

    answer = await refused(yard, 429, "rate_limit")
    assert answer.headers["retry-after"] == "6"
    clock.advance(6)
    assert (await yard.call()).status == 202
    await refused(yard, 429, "rate_limit")


async def test_the_rates_of_two_integrations_are_their_own(yard: Yard) -> None:
    await yard.add(rate_limit=RateLimit(1, 10.0))
    await yard.add("int_b", rate_limit=RateLimit(1, 10.0))
    await yard.call()

    assert (await yard.call()).status == 429
    assert (await yard.call("/hooks/yard/int_b")).status == 202


async def test_a_call_without_credentials_does_not_use_the_rate_up(yard: Yard) -> None:
    limit = RateLimit(1, 10.0)
    yard.know(with_keys(await yard.add(authentication=KEYS, rate_limit=limit), a_key(GOOD_KEY)))

    for _ in range(5):
        await refused(yard, 401, "unauthenticated")

    assert (await yard.call(headers=[("x-api-key", GOOD_KEY)])).status == 202


async def test_a_full_queue_refuses_at_the_door(yard: Yard) -> None:
    await yard.add()
    await yard.add("int_b")
    yard.full.add("int_a")

    answer = await refused(yard, 503, None)

    assert int(answer.headers["retry-after"]) >= 1
    assert (await yard.call("/hooks/yard/int_b")).status == 202


async def test_a_caller_who_leaves_in_the_middle_is_not_recorded(yard: Yard) -> None:
    await yard.add()
    sent: list[Any] = []
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/hooks/yard/int_a", "client": None}
    scope |= {"query_string": b"", "headers": []}
    await yard.app(scope, receive, send)

    assert sent == []
    assert await yard.store.read(count, "event") == 0


class Silent:
    """The real store, whose commit has had no answer for a while."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.stalled_seconds = 2.5

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_nobody_is_let_in_to_wait_for_a_silent_database(store: Store, clock: HeldClock, tmp_path: Path) -> None:
    silent = Silent(store)
    yard = Yard(cast("Store", silent), clock, tmp_path / "functions")
    await yard.add()

    refused = await yard.call()
    silent.stalled_seconds = 0.0
    taken = await yard.call()

    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert taken.status == 202
    await yard.close()


async def test_a_node_that_may_not_act_takes_nothing_in(yard: Yard) -> None:
    await yard.add()
    yard.epoch.is_alone = False  # and no heartbeat has ever landed

    answer = await yard.call()

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
