"""What is told of runs, replies and calls, by a tracer whose spans are looked at as they are handed on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from crossdock.model.delivery import HandledEvent, LeasedReply, SendReport
from crossdock.model.outcome import Failure
from crossdock.model.run import LeasedRun
from crossdock.model.states import RunMove
from crossdock.model.trace import TraceContext, called_trace, trace_of
from crossdock.model.verdict import Verdict
from crossdock.run.compile import compile_workflow
from crossdock.run.functions import Functions
from crossdock.run.walk import walk
from crossdock.tracing import Call, Span, SpanKind, Tracer, told_url
from crossdock.tracing.tracer import SPANS_HELD, SPANS_OF_A_RUN
from tests.run.walking import World, leased
from tests.support.held import HeldClock


@dataclass
class Heard:
    """Keeps what it is handed."""

    is_on: bool = True
    spans: list[Span] = field(default_factory=list)
    left_out: int = 0

    def is_sampled(self, trace_id: str, caller: TraceContext | None) -> bool:
        return self.is_on

    def take(self, spans: Sequence[Span]) -> None:
        self.spans += spans

    def leave_out(self, count: int) -> None:
        self.left_out += count

    async def close(self, seconds: float) -> None:
        pass


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def tracer(heard: Heard, clock: HeldClock) -> Tracer:
    return Tracer(heard, clock=clock, random_bits=random.Random(7).getrandbits)


DONE = Verdict(RunMove.SUCCEED)
PAUSED = Verdict(RunMove.DELAY, due_at=1)


async def walked(tracer: Tracer, folder: Path, steps: list[Any]) -> LeasedRun:
    """A run that went through the steps, and has ended."""
    functions = Functions(folder, 1)
    run = leased()
    trace = tracer.begin_run(run, "Orders")
    await walk(run, compile_workflow({"steps": steps}, 1, functions), replace(World(functions).ports(), trace=trace))
    trace.ended(DONE)
    functions.close()
    return run


def test_the_start_that_ends_a_run_has_the_id_that_replies_know(tracer: Tracer, heard: Heard):
    run = leased()
    for verdict in (PAUSED, DONE):
        tracer.begin_run(run, "Orders").ended(verdict)

    paused, done = heard.spans
    assert done.context.span_id == trace_of(run.event).handled_id != paused.context.span_id
    assert [span.attributes["crossdock.run.state"] for span in heard.spans] == ["waiting", "succeeded"]
    assert {span.parent_id for span in heard.spans} == {trace_of(run.event).parent_id}


async def test_a_step_that_waits_is_told_so(tracer: Tracer, heard: Heard, tmp_path: Path):
    await walked(tracer, tmp_path, [{"id": "later", "delay": {"for": "PT5M"}}])

    (step,) = [span for span in heard.spans if span.name == "step delay"]
    assert step.attributes["crossdock.step.status"] == "waiting"


async def test_tries_and_skipped_steps_are_told(tracer: Tracer, heard: Heard, tmp_path: Path):
    stop = {"id": "check", "assert": {"that": "{{ false }}", "message": "do not tell"}, "on_error": "continue"}
    await walked(tracer, tmp_path, [{"id": "no", "transform": {}, "when": "{{ false }}"}, stop])

    _, skipped, failed = heard.spans
    assert (skipped.attributes["crossdock.step.status"], skipped.attributes["crossdock.step.attempts"]) == (
        "skipped",
        0,
    )
    assert (failed.attributes["crossdock.step.status"], failed.attributes["crossdock.step.attempts"]) == ("failed", 1)
    assert failed.error == "assertion_failed"
    assert "do not tell" not in str(heard.spans)


async def test_a_long_loop_is_told_in_part_and_the_rest_is_counted(tracer: Tracer, heard: Heard, tmp_path: Path):
    loop = {"over": list(range(SPANS_OF_A_RUN)), "steps": [{"id": "one", "transform": "{{ item }}"}]}
    await walked(tracer, tmp_path, [{"id": "all", "for_each": loop}])

    assert len(heard.spans) == SPANS_OF_A_RUN
    assert heard.left_out == heard.spans[0].attributes["crossdock.run.spans_left_out"] == 2
    assert tracer.room.left == SPANS_HELD


async def test_what_is_not_recorded_takes_no_room_and_tells_nothing(tracer: Tracer, heard: Heard, tmp_path: Path):
    heard.is_on = False
    run = await walked(tracer, tmp_path, [{"id": "one", "transform": {}}])
    tracer.tell_call(Call("POST", 0, None, run.event.id, "Orders", 202))

    assert heard.spans == []
    assert tracer.room.left == SPANS_HELD
    assert not tracer.begin_run(run, "Orders").begin_step("http", "call", None).context.is_sampled


def test_a_start_that_breaks_off_closes_what_was_open(tracer: Tracer, heard: Heard):
    trace = tracer.begin_run(leased(), "Orders")
    trace.begin_step("http", "call", None).begin("POST call", SpanKind.CLIENT, {})

    trace.broken_off("lease_lost")

    run, step, call = heard.spans
    assert [span.error for span in heard.spans] == ["lease_lost", "broken_off", "broken_off"]
    assert (call.parent_id, step.parent_id) == (step.context.span_id, run.context.span_id)
    assert all(span.ended_at for span in heard.spans)
    assert tracer.room.left == SPANS_HELD


def test_runs_in_work_hold_only_so_many_spans(tracer: Tracer, heard: Heard):
    tracer.room.left = 2
    first, second = tracer.begin_run(leased(), "A"), tracer.begin_run(leased(), "B")

    refused = tracer.begin_run(leased(), "C")

    step = refused.begin_step("http", "call", None)
    assert step.context.is_sampled
    assert heard.left_out == 1
    first.ended(DONE)
    second.ended(DONE)
    refused.ended(DONE)
    assert len(heard.spans) == 2
    assert tracer.room.left == 2


@pytest.mark.parametrize(
    ("report", "error"),
    [
        (SendReport(0, 1, (), 204), None),
        (SendReport(0, 1, (), 503, error="words"), "503"),
        (SendReport(0, 1, (), error="no answer"), "unreachable"),
        (SendReport(0, 1, (), error="private address", permanent=True), "refused"),
        (SendReport(0, 1, (), 200, error="too long", permanent=True), "answer"),
        (None, "broken_off"),
    ],
)
def test_a_reply_is_told_with_each_try(tracer: Tracer, heard: Heard, report: SendReport | None, error: str | None):
    event = leased().event
    handled = HandledEvent(event, True, None, None, 1, 0)
    delivery = LeasedReply("dlv_1", "int_1", 0, None, 2, "token", handled)

    tracer.begin_delivery(delivery, "Orders", "POST", "https://user:secret@erp.example/in?key=secret").ended(report)

    (span,) = heard.spans
    assert (span.error, span.parent_id) == (error, trace_of(event).handled_id)
    assert span.attributes["crossdock.delivery.attempt"] == 2
    assert "secret" not in str(span)
    assert tracer.room.left == SPANS_HELD


def test_a_failed_start_names_the_kind_of_its_failure_alone(tracer: Tracer, heard: Heard):
    verdict = Verdict(RunMove.RETRY, due_at=1, failure=Failure("http_status", "the answer says: my secret"))

    tracer.begin_run(leased(), "Orders").ended(verdict)

    assert (heard.spans[0].error, heard.spans[0].attributes["crossdock.run.state"]) == ("http_status", "retrying")
    assert "my secret" not in str(heard.spans)


def test_a_caller_who_goes_away_is_told(tracer: Tracer, heard: Heard):
    tracer.tell_call(Call("POST", 0, None, "", "Orders", None))

    assert heard.spans[0].error == "disconnected"
    assert "http.response.status_code" not in heard.spans[0].attributes


def test_refused_calls_without_an_event_have_traces_of_their_own(tracer: Tracer, heard: Heard):
    for _ in range(2):
        tracer.tell_call(Call("POST", 0, None, "", "", 404, "unknown_path"))

    assert len({span.context.trace_id for span in heard.spans}) == 2
    assert "crossdock.event.id" not in heard.spans[0].attributes


def test_a_call_hangs_from_its_caller(tracer: Tracer, heard: Heard):
    caller = TraceContext("1" * 32, "2" * 16)

    tracer.tell_call(Call("POST", 0, caller, "evt_1", "Orders", 202))

    assert heard.spans[0].parent_id == caller.span_id
    assert heard.spans[0].context.span_id == called_trace("evt_1", caller).context.span_id


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://erp.example/a/b?x=1#y", "https://erp.example/a/b"),
        ("http://u:p@10.0.0.1:8080/a", "http://10.0.0.1:8080/a"),
        ("https://[::1]:8443/", "https://[::1]:8443/"),
        ("https://erp.example:99999/", None),
        ("http://[", None),
        ("", ""),
    ],
)
def test_an_address_is_told_without_what_may_be_private(url: str, told: str | None):
    assert told_url(url).get("url.full") == told
