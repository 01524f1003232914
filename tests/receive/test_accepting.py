"""Accepted calls: durable before they are answered, kept byte for byte, told apart from duplicates."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Connection, text

from crossdock.model.event import Event
from crossdock.model.time import format_instant, later
from crossdock.model.trigger import AuthenticationMode, Cors, QueryParameter
from crossdock.receive.app import COMMITS_WAITING
from crossdock.store import Store, open_store
from crossdock.store.claims import read_leased
from tests.support.held import HeldClock
from tests.support.runs import Batch, count
from tests.support.yard import LATER, Yard, deduplicated, until

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
postgresql_only = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
ECHO = {"id": "echo", "transform": {"body": "{{ body }}", "query": "{{ query }}"}}


async def event_of(yard: Yard, event_id: str) -> Event:
    (run,) = await yard.store.read(read_leased, [event_id])
    return run.event


async def seen(yard: Yard, event_id: str) -> Any:
    """The body as the workflow saw it."""
    await yard.until(event_id, "succeeded")
    return (await yard.journal(event_id))[0].steps[0].output["body"]


# --- the answer ------------------------------------------------------------------------------------------------------


@sqlite_only
async def test_an_accepted_call_is_told_its_id_and_where_to_ask(yard: Yard, clock: HeldClock) -> None:
    await yard.add(steps=[ECHO], reply=LATER, request_timeout=60.0)

    answer = await yard.call()

    event_id = answer.json["id"]
    assert answer.status == 202
    assert answer.headers["location"] == f"/status/{event_id}"
    assert answer.headers["x-crossdock-event"] == event_id
    assert answer.json == {
        "id": event_id,
        "status": "accepted",
        "integration": "Name of int_a",
        "received_at": format_instant(clock.now),
        "reply_by": format_instant(later(clock.now, 60)),
        "status_url": f"/status/{event_id}",
    }


@sqlite_only
async def test_there_is_no_time_for_a_reply_where_none_is_sent(yard: Yard) -> None:
    await yard.add(request_timeout=60.0)

    assert (await yard.call()).json["reply_by"] is None


async def test_an_event_without_a_workflow_has_succeeded(yard: Yard) -> None:
    await yard.add()

    row = await yard.row(await yard.accepted())

    assert row.state == "succeeded"


# --- durable first ---------------------------------------------------------------------------------------------------


async def test_a_call_is_not_answered_before_it_is_durable(yard: Yard) -> None:
    await yard.add()

    async with Batch(yard.store):
        calling = asyncio.ensure_future(yard.call())
        await until(lambda: yard.store.waiting == 1)
        assert not calling.done()
    answer = await calling

    assert answer.status == 202
    assert (await yard.row(answer.json["id"])).state == "succeeded"


@sqlite_only
async def test_a_call_that_can_not_be_recorded_is_refused_with_when_to_come_back(yard: Yard) -> None:
    await yard.add(steps=[ECHO])
    await yard.store.write(_limit_pages, 1)

    answer = await yard.call(body=b'"' + b"x" * 200_000 + b'"')

    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert await yard.store.read(count, "event") == 0
    assert yard.stage.in_work == 0
    await yard.store.write(_limit_pages, 1_000_000)
    assert (await yard.call()).status == 202


def _limit_pages(connection: Connection, pages: int) -> None:
    connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")


@postgresql_only
async def test_a_commit_that_is_lost_is_never_a_success(yard: Yard) -> None:
    await yard.add(steps=[ECHO])
    await yard.store.write(_refuse_commits)

    answers = await asyncio.gather(*(yard.call() for _ in range(5)))

    assert [answer.status for answer in answers] == [503] * 5
    assert await yard.store.read(count, "event") == 0
    await until(lambda: yard.stage.in_work == 0)


def _refuse_commits(connection: Connection) -> None:
    """The connection is lost in the moment of the commit."""
    connection.execute(text(
        "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"
    ))  # fmt: skip
    connection.execute(text(
        "CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON event DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION cut()"
    ))  # fmt: skip


async def test_what_was_accepted_is_there_after_a_restart(yard: Yard, database_url: str) -> None:
    await yard.add()
    events = [await yard.accepted(body=b"%d" % n) for n in range(5)]
    await yard.stop()
    await yard.store.stop()

    async with open_store(database_url) as again:
        found = await again.read(read_leased, events)

    assert [run.event.request.body for run in found] == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_run_starts_though_its_caller_has_gone(yard: Yard) -> None:
    await yard.add(steps=[ECHO])

    async with Batch(yard.store):
        calling = asyncio.ensure_future(yard.call())
        await until(lambda: yard.store.waiting == 1)
        calling.cancel()
    await until(lambda: yard.stage.in_work == 0)

    (event_id,) = await yard.store.read(lambda c: list(c.execute(text("SELECT id FROM event")).scalars()))
    await yard.until(event_id, "succeeded")


@sqlite_only
class NeverSilent:
    """The real store; a commit that takes long here is no sign of an outage."""

    stalled_seconds = 0.0

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_too_many_waiting_commits_refuse_at_the_door(store: Store, clock: HeldClock, tmp_path: Path) -> None:
    yard = Yard(cast("Store", NeverSilent(store)), clock, tmp_path / "functions")
    await yard.add()
    async with Batch(store):
        calls = [asyncio.ensure_future(yard.call()) for _ in range(COMMITS_WAITING + 20)]
        await until(lambda: sum(call.done() for call in calls) >= 19)
    answers = await asyncio.gather(*calls)

    refused = [answer for answer in answers if answer.status == 503]
    assert len(refused) == 19
    assert all("retry-after" in answer.headers for answer in refused)
    await yard.close()


# --- what is kept ----------------------------------------------------------------------------------------------------


async def test_a_call_is_kept_as_it_came_without_its_credentials(yard: Yard, clock: HeldClock) -> None:
    await yard.add(methods=("PUT",), query_parameters=(QueryParameter("region", default="EU"), QueryParameter("a")))
    secrets = ("authorization", "x-api-key", "x-platform-token", "cookie", "proxy-authorization", "x-auth-token")
    headers = [(name, "secret") for name in secrets] + [("x-a", "1"), ("x-a", "\xff"), ("content-type", "text/plain")]

    event_id = await yard.accepted(
        body=[b"\x00\xff", b"", b"end"], method="PUT", query="a=1&a=&b=%C3%BC+x", headers=headers
    )

    event = await event_of(yard, event_id)
    request = event.request
    assert (event.received_at, request.method, request.path) == (clock.now, "PUT", "/hooks/yard/int_a")
    assert request.query == (("a", "1"), ("a", ""), ("b", "ü x"), ("region", "EU"))
    assert request.body == b"\x00\xffend"
    assert (request.content_type, request.source_ip) == ("text/plain", "192.0.2.7")
    assert request.headers == (
        *((name, "[redacted]") for name in secrets), ("x-a", "1"), ("x-a", "\xff"), ("content-type", "text/plain")
    )  # fmt: skip


async def test_nothing_of_a_credential_is_stored(yard: Yard) -> None:
    await yard.add(steps=[ECHO], authentication=AuthenticationMode.NONE)
    event_id = await yard.accepted(headers=[("authorization", "Bearer s3cr3t"), ("x-api-key", "s3cr3t")])
    await yard.until(event_id, "succeeded")

    everything = await yard.store.read(_dump)

    assert "s3cr3t" not in everything


def _dump(connection: Connection) -> str:
    tables = ("event", "run", "journal", "delivery", "dedupe")
    return "".join(str(connection.execute(text(f"SELECT * FROM {table}")).all()) for table in tables)


MULTIPART = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n'
BODIES: list[tuple[str, bytes, Any]] = [
    ("application/json", b'{"a": 1, "a": 2}', {"a": 2}),
    ("application/json", b"\xef\xbb\xbf[1]", [1]),
    ("application/json", b"123456789012345678901234567890", 123456789012345678901234567890),
    ("application/json", b"1e999", "1e999"),
    ("application/json", b"NaN", "NaN"),
    ("application/json", rb'"\ud800"', r'"\ud800"'),
    ("application/json", b'{"broken', '{"broken'),
    ("application/json", b"\xff\xfe", {"base64": base64.b64encode(b"\xff\xfe").decode()}),
    ("application/json", b"[" * 100_000, "[" * 100_000),
    ("application/json", b"", None),
    ("application/json", b'"a\\u0000b"', "a\x00b"),
    ("application/vnd.x+json; charset=utf-8", b"[true]", [True]),
    ("", b"[true]", [True]),
    ("application/x-www-form-urlencoded", b"a=1&b=2&a=3", {"a": ["1", "3"], "b": "2"}),
    ("multipart/form-data; boundary=b", MULTIPART, {"a": "1"}),
    ("multipart/form-data; boundary=b", MULTIPART[:-6], MULTIPART[:-6].decode()),
    ("multipart/form-data; boundary=b", b"--b\r\n" * 5_000, (b"--b\r\n" * 5_000).decode()),
    ("text/plain", b"hello", "hello"),
    ("text/plain; charset=latin-1", b"\xfc", "ü"),
    ("text/plain; charset=nonsense", b"x", "x"),
    ("text/xml", b"<a/>", "<a/>"),
    ("application/octet-stream", b"abc", {"base64": "YWJj"}),
]


async def test_bodies_of_every_kind_are_kept_exactly_and_understood_as_far_as_they_can_be(yard: Yard) -> None:
    await yard.add(steps=[ECHO])

    for content_type, body, expected in BODIES:
        event_id = await yard.accepted(body=body, headers=[("content-type", content_type)])
        found = await seen(yard, event_id)

        assert (await event_of(yard, event_id)).request.body == body
        assert found == expected, (content_type, body[:40])


async def test_a_form_of_thousands_of_fields_is_its_text(yard: Yard) -> None:
    await yard.add(steps=[ECHO])
    body = b"&".join(b"f%d=1" % n for n in range(5_000))

    event_id = await yard.accepted(body=body, headers=[("content-type", "application/x-www-form-urlencoded")])

    assert await seen(yard, event_id) == body.decode()


async def test_a_query_that_is_no_utf8_is_kept_with_what_can_not_be_read_replaced(yard: Yard) -> None:
    await yard.add()

    event_id = await yard.accepted(query="a=%ff&b=%ED%A0%80&c=%00&%zz=1&=&d")

    event = await event_of(yard, event_id)
    assert event.request.query[0] == ("a", "\ufffd")
    assert event.request.query[2:] == (("c", "\x00"), ("%zz", "1"), ("", ""), ("d", ""))


# --- duplicates ------------------------------------------------------------------------------------------------------


async def test_a_duplicate_gets_the_first_events_answer(yard: Yard, clock: HeldClock) -> None:
    await yard.add(steps=[ECHO], deduplicate=deduplicated(60.0))
    headers = [("x-id", "7")]
    first = await yard.call(headers=headers)
    clock.advance(59)

    second = await yard.call(headers=headers)
    other = await yard.call(headers=[("x-id", "8")])
    clock.advance(1)
    late = await yard.call(headers=headers)

    assert second.status == 202
    assert second.json == {**first.json, "duplicate": True}
    assert "duplicate" not in first.json
    assert len({answer.json["id"] for answer in (first, other, late)}) == 3


async def test_duplicates_that_come_at_once_are_one_event(yard: Yard) -> None:
    await yard.add(steps=[ECHO], deduplicate=deduplicated())

    answers = await asyncio.gather(*(yard.call(headers=[("x-id", "7")]) for _ in range(20)))

    assert len({answer.json["id"] for answer in answers}) == 1
    assert sum(answer.json.get("duplicate", False) for answer in answers) == 19
    assert await yard.store.read(count, "event") == 1
    await until(lambda: yard.stage.in_work == 0)


# --- pages of other origins ------------------------------------------------------------------------------------------

ORIGIN = ("origin", "https://shop.example")
ASKED = (ORIGIN, ("access-control-request-method", "POST"), ("access-control-request-headers", "x-api-key"))


@sqlite_only
async def test_pages_of_other_origins_are_not_let_in_by_default(yard: Yard) -> None:
    await yard.add()

    preflight = await yard.call(method="OPTIONS", headers=ASKED)
    called = await yard.call(headers=[ORIGIN])

    assert preflight.status == 405
    assert not [name for name in (*preflight.headers, *called.headers) if name.startswith("access-control")]


@sqlite_only
async def test_named_origins_are_let_in(yard: Yard) -> None:
    await yard.add(cors=Cors(("https://shop.example",)), methods=("POST", "PUT"))

    preflight = await yard.call(method="OPTIONS", headers=ASKED)
    called = await yard.call(headers=[ORIGIN])
    refused = await yard.call(method="GET", headers=[ORIGIN])

    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == "https://shop.example"
    assert preflight.headers["access-control-allow-methods"] == "POST, PUT"
    assert preflight.headers["access-control-allow-headers"] == "x-api-key"
    assert (called.status, called.headers["access-control-allow-origin"]) == (202, "https://shop.example")
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (405, "https://shop.example")


@sqlite_only
async def test_other_origins_are_not(yard: Yard) -> None:
    await yard.add(cors=Cors(("https://shop.example",)))
    evil = ("origin", "https://evil.example")

    for answer in (
        await yard.call(method="OPTIONS", headers=[evil]),
        await yard.call(headers=[evil]),
        await yard.call(),
    ):
        assert "access-control-allow-origin" not in answer.headers
