"""The whole program tells a collector what it does for an event, as one tree, and never depends on being heard."""

from __future__ import annotations

import asyncio
import base64
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crossdock.model.trace import called_trace, parse_traceparent
from tests.support.collector import Collector, collecting
from tests.support.postgres import ForeignServer
from tests.support.program import Program
from tests.support.sink import Sink
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(180)]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
SECRET = "do-not-tell-anybody"
SENT = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "vendor=1", "x-private": SECRET}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


def traced(folder: Path, collector: Collector | None, **more: str) -> Program:
    """A program that tells `collector` of its traces, soon; with None it tells nobody.

    Names in upper case are variables of its environment, others are its settings.
    """
    settings = {"allowed_targets": "127.0.0.1", "stop_grace": "PT2S", "traces": "otlp" if collector else "none"}
    settings |= {name: text for name, text in more.items() if name.islower()}
    program = Program(folder, settings=settings)
    if collector is not None:
        program.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
    program.environment |= {name: text for name, text in more.items() if name.isupper()}
    return program


@asynccontextmanager
async def running(program: Program) -> AsyncIterator[Program]:
    await asyncio.to_thread(program.start)
    try:
        yield program
    finally:
        await asyncio.to_thread(program.kill)


def orders(sink: Sink, steps: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    """An integration that calls the sink and replies to it."""
    call = {"id": "book", "http": {"url": f"{sink.url}/book?token={SECRET}", "json": {"secret": SECRET}}}
    return {
        "name": "Orders",
        "type": "webhook-trigger",
        "path": "orders",
        "trigger": {"methods": ["POST"], "authentication": {"mode": "none"}},
        "reply": {"url": f"{sink.url}/reply", "method": "POST"},
        "workflow": {"steps": steps or [{"id": "make", "transform": {"a": 1}}, call]},
        **more,
    }


async def accepted(program: Program, headers: dict[str, str] | None = None, path: str = "orders") -> str:
    """Call an integration; the event's id."""
    answer = await asyncio.to_thread(
        program.ask, "POST", f"/hooks/default/{path}", {"secret": SECRET}, headers=headers or {}
    )
    assert answer.status == 202, answer
    return str(answer.document["id"])


async def test_a_call_is_one_tree_from_the_caller_to_the_reply(tmp_path: Path, collector: Collector, sink: Sink):
    async with running(traced(tmp_path, collector)) as program:
        await asyncio.to_thread(program.add_integration, orders(sink))
        event_id = await accepted(program, SENT)
        booked, replied = await sink.wait_for(2)
        spans = await asyncio.to_thread(collector.wait_for, "run", "POST reply", "POST /hooks/{workspace}/{path}")

    server, run = collector.one("POST /hooks/{workspace}/{path}"), collector.one("run")
    step, call, reply = (collector.one(name) for name in ("step http", "POST call", "POST reply"))
    made = collector.one("step transform")
    assert {span.trace_id for span in spans} == {TRACE}
    assert [s.parent_id for s in (server, run, made, step, call, reply)] == [
        CALLER,
        server.span_id,
        run.span_id,
        run.span_id,
        step.span_id,
        run.span_id,
    ]
    assert booked.headers["traceparent"] == f"00-{TRACE}-{call.span_id}-01"
    assert replied.headers["traceparent"] == f"00-{TRACE}-{reply.span_id}-01"
    assert booked.headers["tracestate"] == replied.headers["tracestate"] == "vendor=1"
    assert {s.attributes.get("crossdock.event.id") for s in (server, run, reply)} == {event_id}
    assert [s.kind for s in (server, run, step, call, reply)] == ["server", "internal", "internal", "client", "client"]


async def test_spans_say_what_was_done_and_nothing_private(tmp_path: Path, collector: Collector, sink: Sink):
    sink.will_answer(500, SECRET.encode())
    async with running(traced(tmp_path, collector, OTEL_SERVICE_NAME="yard")) as program:
        await asyncio.to_thread(program.add_integration, orders(sink, retry={"attempts": 1}))
        await accepted(program, SENT)
        await asyncio.to_thread(collector.wait_for, "run", "POST reply", "POST /hooks/{workspace}/{path}")

    call, run = collector.one("POST call"), collector.one("run")
    assert (call.error, call.attributes["http.response.status_code"]) == ("500", 500)
    assert call.attributes["url.full"] == f"{sink.url}/book"
    assert (run.error, run.attributes["crossdock.run.state"]) == ("http_status", "failed")
    assert run.attributes["crossdock.integration.name"] == "Orders"
    assert run.attributes["crossdock.workflow.version"] == 1
    assert run.attributes["crossdock.run.queued_ms"] >= 0
    assert collector.one("step http").attributes["crossdock.step.status"] == "failed"
    assert run.resource["service.name"] == "yard"
    assert all(SECRET.encode() not in body for body in collector.bodies)


async def test_steps_hang_from_their_blocks_and_emitted_events_from_their_steps(
    tmp_path: Path, collector: Collector, sink: Sink
):
    lines = {"id": "lines", "for_each": {"over": [1, 2], "steps": [{"id": "line", "transform": {"a": "{{ item }}"}}]}}
    emit = {"id": "hand_on", "emit": {"integration": "Other", "json": {}}}
    other = orders(sink, [{"id": "look", "transform": "{{ headers.traceparent }}"}], name="Other", path="other")
    async with running(traced(tmp_path, collector)) as program:
        await asyncio.to_thread(program.add_integration, {**other, "reply": None})
        await asyncio.to_thread(program.add_integration, {**orders(sink, [lines, emit]), "reply": None})
        event_id = await accepted(program)
        await asyncio.to_thread(wait_until, lambda: sum(span.name == "run" for span in collector.spans) == 2)

    own = called_trace(event_id, None).context
    block, step = collector.one("step for_each"), collector.one("step emit")
    child = collector.one("run", {"crossdock.integration.name": "Other"})
    inner = [s for s in collector.spans if str(s.attributes.get("crossdock.step.path")).startswith("lines[")]
    assert {s.parent_id for s in inner} == {block.span_id}
    assert len(inner) == 2
    assert child.parent_id == step.span_id
    assert {span.trace_id for span in collector.spans} == {own.trace_id}
    assert collector.one("POST /hooks/{workspace}/{path}").span_id == own.span_id
    assert collector.one("POST /hooks/{workspace}/{path}").parent_id == ""


async def test_a_run_goes_on_in_the_same_trace_after_a_kill(tmp_path: Path, collector: Collector, sink: Sink):
    gate = asyncio.Event()
    sink.will_answer(gate=gate)
    program = traced(tmp_path, collector)
    async with running(program):
        await asyncio.to_thread(program.add_integration, orders(sink))
        event_id = await accepted(program)
        await sink.wait_for(1)
    gate.set()
    async with running(program):
        await sink.wait_for(3)
        await asyncio.to_thread(collector.wait_for, "run", "POST reply")

    first, again, replied = (parse_traceparent(one.headers["traceparent"]) for one in sink.requests[:3])
    assert first is not None
    assert again is not None
    assert replied is not None
    run = collector.one("run")
    assert {first.trace_id, again.trace_id, replied.trace_id, run.trace_id} == {
        called_trace(event_id, None).context.trace_id
    }
    assert collector.one("POST reply").parent_id == run.span_id == called_trace(event_id, None).handled_id
    assert run.attributes["crossdock.run.attempt"] == 2


async def test_nodes_that_share_the_work_tell_one_tree(
    tmp_path: Path, collector: Collector, sink: Sink, postgres: ForeignServer
):
    name = postgres.create_database()
    shared = {"database": postgres.url(name), "master_key": base64.b64encode(bytes(32)).decode()}
    door = traced(tmp_path / "door", collector, roles="receive,web", **shared)
    works = traced(tmp_path / "works", collector, roles="run,deliver", **shared)
    async with running(door), running(works):
        await asyncio.to_thread(door.add_integration, orders(sink))
        await asyncio.to_thread(wait_until, lambda: '"integrations": 1' in works.log)
        await accepted(door, SENT)
        await asyncio.to_thread(collector.wait_for, "run", "POST reply", "POST /hooks/{workspace}/{path}")
    postgres.drop_database(name)

    server, run, reply = (collector.one(name) for name in ("POST /hooks/{workspace}/{path}", "run", "POST reply"))
    assert (server.parent_id, run.parent_id, reply.parent_id) == (CALLER, server.span_id, run.span_id)
    assert server.resource["service.instance.id"] != run.resource["service.instance.id"]


async def test_a_trace_that_is_not_sampled_is_passed_on_and_not_told(tmp_path: Path, collector: Collector, sink: Sink):
    async with running(traced(tmp_path, collector)) as program:
        await asyncio.to_thread(program.add_integration, orders(sink))
        await accepted(program, {"traceparent": f"00-{TRACE}-{CALLER}-00"})
        requests = await sink.wait_for(2)
        await asyncio.to_thread(program.stop)

    assert {one.headers["traceparent"][:36] for one in requests} == {f"00-{TRACE}-"}
    assert {one.headers["traceparent"][-3:] for one in requests} == {"-00"}
    assert collector.spans == []


async def test_without_traces_the_callers_is_passed_on_as_it_came(tmp_path: Path, sink: Sink):
    async with running(traced(tmp_path, None)) as program:
        await asyncio.to_thread(program.add_integration, orders(sink))
        await accepted(program, SENT)
        passed = await sink.wait_for(2)
        await accepted(program)
        silent = (await sink.wait_for(4))[2:]

    assert {(one.headers["traceparent"], one.headers["tracestate"]) for one in passed} == {
        (SENT["traceparent"], "vendor=1")
    }
    assert all("traceparent" not in one.headers and "tracestate" not in one.headers for one in silent)


async def test_a_step_that_sends_the_header_itself_keeps_it(tmp_path: Path, collector: Collector, sink: Sink):
    own = {"id": "call", "http": {"url": sink.url, "headers": {"Traceparent": "mine"}}}
    async with running(traced(tmp_path, collector)) as program:
        await asyncio.to_thread(program.add_integration, {**orders(sink, [own]), "reply": None})
        await accepted(program, SENT)
        (called,) = await sink.wait_for(1)

    assert called.headers["traceparent"] == "mine"
    assert "tracestate" not in called.headers


async def test_a_replay_has_its_own_trace_with_a_link_to_the_original(tmp_path: Path, collector: Collector, sink: Sink):
    async with running(traced(tmp_path, collector)) as program:
        await asyncio.to_thread(program.add_integration, orders(sink))
        event_id = await accepted(program, SENT)
        await sink.wait_for(2)
        await asyncio.to_thread(program.admin, "POST", f"/events/{event_id}/replay", {})
        await sink.wait_for(4)
        await asyncio.to_thread(wait_until, lambda: sum(span.name == "run" for span in collector.spans) == 2)

    run = collector.one("run", {"crossdock.event.replay_of": event_id})
    assert run.trace_id not in ("", TRACE)
    assert run.parent_id == ""
    assert run.links == ((TRACE, called_trace(event_id, None).context.span_id),)


async def test_refused_and_repeated_calls_are_told(tmp_path: Path, collector: Collector, sink: Sink):
    once = {"deduplicate": {"key": "{{ headers['x-id'] }}", "within": "PT1H"}}
    guarded = orders(sink, name="Guarded", path="guarded")
    guarded["trigger"] = {"methods": ["POST"], "authentication": {"mode": "none"}, **once}
    async with running(traced(tmp_path, collector)) as program:
        await asyncio.to_thread(program.add_integration, guarded)
        first = await accepted(program, {"x-id": "1"}, "guarded")
        assert await accepted(program, {"x-id": "1"}, "guarded") == first
        for method, path in (("PUT", "guarded"), ("POST", "nowhere")):
            await asyncio.to_thread(program.ask, method, f"/hooks/default/{path}", {})
        await asyncio.to_thread(wait_until, lambda: sum(span.kind == "server" for span in collector.spans) == 4)

    calls = [span for span in collector.spans if span.kind == "server"]
    told = [(c.attributes.get("crossdock.refusal"), c.attributes["http.response.status_code"]) for c in calls]
    assert sorted(told, key=str) == [("method", 405), ("unknown_path", 404), (None, 202), (None, 202)]
    repeated = collector.one("POST /hooks/{workspace}/{path}", {"crossdock.event.is_duplicate": True})
    assert repeated.attributes["crossdock.event.id"] == first
    assert len({span.span_id for span in calls}) == 4


async def test_a_collector_that_is_away_disturbs_nothing_and_is_counted(tmp_path: Path, sink: Sink):
    with collecting() as gone:
        pass
    program = traced(tmp_path, gone, OTEL_EXPORTER_OTLP_TIMEOUT="1")
    async with running(program):
        await asyncio.to_thread(program.add_integration, orders(sink))
        await accepted(program)
        await sink.wait_for(2)
        await asyncio.to_thread(wait_until, lambda: 'spans_dropped_total{reason="not_sent"}' in metrics(program))
        code = await asyncio.to_thread(program.stop, 20)

    assert code == 0
    assert program.log.count("traces.lost") == 1


async def test_a_collector_that_hangs_holds_up_nothing_and_memory_is_bounded(
    tmp_path: Path, collector: Collector, sink: Sink
):
    collector.is_hanging = True
    queue = {"OTEL_BSP_MAX_QUEUE_SIZE": "8", "OTEL_EXPORTER_OTLP_TIMEOUT": "30"}
    program = traced(tmp_path, collector, **queue)
    async with running(program):
        await asyncio.to_thread(program.add_integration, orders(sink))
        for _ in range(5):
            await accepted(program)
        await sink.wait_for(10)
        await asyncio.to_thread(wait_until, lambda: 'spans_dropped_total{reason="queue_full"}' in metrics(program))
        code = await asyncio.to_thread(program.stop, 20)

    assert code == 0


async def test_what_is_left_is_sent_at_the_stop(tmp_path: Path, collector: Collector, sink: Sink):
    async with running(traced(tmp_path, collector, OTEL_BSP_SCHEDULE_DELAY="600000")) as program:
        await asyncio.to_thread(program.add_integration, orders(sink))
        await accepted(program)
        await sink.wait_for(2)
        assert collector.spans == []
        code = await asyncio.to_thread(program.stop)

    assert code == 0
    assert {"run", "POST reply"} <= {span.name for span in collector.spans}


async def test_a_statement_is_told_without_its_words(tmp_path: Path, collector: Collector, sink: Sink):
    shop = tmp_path / "data" / "databases" / "shop.db"
    shop.parent.mkdir(parents=True)
    with sqlite3.connect(shop) as database:
        database.execute("CREATE TABLE orders (id INTEGER)")
    database.close()
    ask = {"id": "ask", "sql": {"connection": "shop", "statement": f"SELECT id, '{SECRET}' FROM orders"}}
    async with running(traced(tmp_path, collector)) as program:
        document = {"name": "shop", "kind": "sql", "url": "sqlite:///shop.db"}
        await asyncio.to_thread(program.admin, "POST", "/connections", document)
        await asyncio.to_thread(program.add_integration, {**orders(sink, [ask]), "reply": None})
        await accepted(program)
        await asyncio.to_thread(collector.wait_for, "statement", "run")

    statement = collector.one("statement")
    assert statement.parent_id == collector.one("step sql").span_id
    assert statement.attributes == {
        "db.system.name": "sqlite",
        "crossdock.connection.name": "shop",
        "db.response.returned_rows": 0,
    }
    assert SECRET not in json.dumps([span.attributes for span in collector.spans])


def metrics(program: Program) -> str:
    return program.ask("GET", "/metrics").body.decode()
