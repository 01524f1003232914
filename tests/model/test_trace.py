"""Trace headers are read strictly and written plainly; the trace of an event follows from the event alone."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.model.event import Event, Request
from crossdock.model.trace import (
    STATE_CHARACTERS,
    TraceContext,
    called_trace,
    caller_trace,
    format_traceparent,
    original_of,
    parse_traceparent,
    parse_tracestate,
    read_trace,
    trace_headers,
    trace_of,
    with_trace,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
SENT = f"00-{TRACE}-{SPAN}-01"

hex_digits = st.sampled_from("0123456789abcdef")


def ids(length: int) -> st.SearchStrategy[str]:
    return st.text(hex_digits, min_size=length, max_size=length).filter(lambda text: text.strip("0"))


contexts = st.builds(TraceContext, ids(32), ids(16), st.integers(0, 3))
keys = st.from_regex(r"[a-z][a-z0-9_*/-]{0,20}(@[a-z][a-z0-9]{0,5})?", fullmatch=True)
values = st.from_regex(r"[!-+\--<>-~]{1,60}", fullmatch=True)
members = st.lists(st.tuples(keys, values), max_size=32, unique_by=lambda pair: pair[0])


def an_event(*headers: tuple[str, str], **more: Any) -> Event:
    request = Request("POST", "/hooks/default/orders", (), headers, "application/json", b"{}")
    return replace(Event("evt_1", "int_a", 0, request), **more)


# --- traceparent -----------------------------------------------------------------------------------------------------


def test_the_example_of_the_specification_is_read():
    assert parse_traceparent(SENT) == TraceContext(TRACE, SPAN, 1)


@given(contexts)
def test_what_is_written_is_read_again(context: TraceContext):
    assert parse_traceparent(format_traceparent(context)) == context


@given(st.text(max_size=80))
def test_any_text_is_a_context_or_none(text: str):
    found = parse_traceparent(text)

    assert found is None or parse_traceparent(format_traceparent(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        SENT.upper(),
        f"00-{TRACE.replace('b', 'B')}-{SPAN}-01",
        f"{SENT}-more",
        f"{SENT}-",
        f"{SENT}.",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}",
        f"0-{TRACE}-{SPAN}-01",
        f"0x-{TRACE}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01.more",
        f"00_{TRACE}_{SPAN}_01",
        f"00-{TRACE}-{SPAN}-0١",
        f"{SENT}\n",
    ],
)
def test_what_is_not_right_is_refused(text: str):
    assert parse_traceparent(text) is None


@pytest.mark.parametrize(
    "text", [f"cc-{TRACE}-{SPAN}-01", f"01-{TRACE}-{SPAN}-01-what-the-future-will-be", f" {SENT}\t"]
)
def test_later_versions_and_white_space_are_tolerated(text: str):
    assert parse_traceparent(text) == TraceContext(TRACE, SPAN, 1)


@pytest.mark.parametrize(("sent", "kept"), [("00", 0), ("01", 1), ("03", 3), ("ff", 3), ("fe", 2), ("80", 0)])
def test_unknown_flags_are_not_passed_on(sent: str, kept: int):
    found = parse_traceparent(f"00-{TRACE}-{SPAN}-{sent}")

    assert found is not None
    assert (found.flags, found.is_sampled) == (kept, kept % 2 == 1)


# --- tracestate ------------------------------------------------------------------------------------------------------


@given(members)
def test_a_right_state_is_carried_on_as_it_was_sent(pairs: list[tuple[str, str]]):
    text = ",".join(f"{key}={value}" for key, value in pairs)

    kept = parse_tracestate(text)

    assert len(kept) <= STATE_CHARACTERS
    assert kept == text if len(text) <= STATE_CHARACTERS else set(kept.split(",")) < set(text.split(","))


@given(st.text(max_size=700))
def test_any_text_is_a_state_or_nothing(text: str):
    kept = parse_tracestate(text)

    assert len(kept) <= STATE_CHARACTERS
    assert parse_tracestate(kept) == kept


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a=",
        "A=1",
        "a=1,a=2",
        "a=1;b=2",
        "a =1",
        "@b=1",
        "a@=1",
        "a=b=c",
        "a=ü",
        f"{'k' * 257}=1",
        f"a={'v' * 257}",
    ],
)
def test_a_wrong_state_is_left_out_whole(text: str):
    assert parse_tracestate(f"right=1,{text}") == ""


def test_more_than_32_members_are_no_state():
    assert parse_tracestate(",".join(f"k{n}=1" for n in range(32))).count("=") == 32
    assert parse_tracestate(",".join(f"k{n}=1" for n in range(33))) == ""


def test_a_long_state_loses_its_large_members_first_and_then_its_oldest():
    large, small = f"large={'v' * 140}", [f"k{n}={'v' * 95}" for n in range(6)]

    assert parse_tracestate(",".join([large, *small])).split(",") == small[:5]


def test_empty_members_and_white_space_are_dropped():
    assert parse_tracestate(" a=1 ,, b=2\t,") == "a=1,b=2"


# --- headers ---------------------------------------------------------------------------------------------------------


def test_several_states_are_one_and_several_parents_are_none():
    parent = ("traceparent", SENT)

    assert read_trace([parent, ("tracestate", "a=1"), ("tracestate", "b=2")]) == TraceContext(TRACE, SPAN, 1, "a=1,b=2")
    assert read_trace([parent, parent]) is None
    assert read_trace([("tracestate", "a=1")]) is None


def test_a_wrong_state_does_not_cost_the_trace():
    assert read_trace([("traceparent", SENT), ("tracestate", "WRONG")]) == TraceContext(TRACE, SPAN, 1)


def test_headers_that_speak_of_a_trace_are_left_as_they_are():
    context = TraceContext(TRACE, SPAN, 1, "a=1")

    assert with_trace((("X-Site", "12"),), context) == (("X-Site", "12"), *trace_headers(context))
    assert with_trace((("TraceParent", "mine"),), context) == (("TraceParent", "mine"),)
    assert with_trace((("tracestate", "mine"),), context) == (("tracestate", "mine"),)
    assert with_trace((("X-Site", "12"),), None) == (("X-Site", "12"),)


# --- events ----------------------------------------------------------------------------------------------------------


def test_an_event_without_a_caller_trace_has_the_same_one_of_its_own_everywhere():
    trace = trace_of(an_event())

    assert trace == trace_of(an_event(("traceparent", "not readable")))
    assert trace.context.trace_id == sha256(b"evt_1").hexdigest()[:32]
    assert trace.parent_id == trace.context.span_id
    assert parse_traceparent(format_traceparent(trace.context)) == trace.context


def test_an_event_goes_on_in_the_trace_of_its_caller():
    trace = trace_of(an_event(("traceparent", SENT), ("tracestate", "a=1")))

    assert trace.caller == TraceContext(TRACE, SPAN, 1, "a=1")
    assert (trace.context.trace_id, trace.context.state) == (TRACE, "a=1")
    assert trace.context.span_id not in (SPAN, trace.handled_id)


def test_an_emitted_event_hangs_from_the_step_that_made_it():
    trace = trace_of(an_event(("traceparent", SENT), emitted_by="evt_0"))

    assert (trace.context.trace_id, trace.parent_id) == (TRACE, SPAN)
    assert trace_of(an_event(emitted_by="evt_0")).parent_id is None


def test_a_replay_has_a_trace_of_its_own_that_points_to_the_original():
    original = an_event(("traceparent", SENT))
    replay = replace(original, id="evt_2", replay_of="evt_1")

    assert caller_trace(replay) is None
    assert trace_of(replay).context.trace_id != TRACE
    assert trace_of(replay).parent_id is None
    assert original_of(replay) == trace_of(original).context
    assert original_of(original) is None


@given(st.text(min_size=1), st.text(min_size=1))
def test_traces_of_different_events_differ(one: str, other: str):
    first, second = called_trace(one, None), called_trace(other, None)

    assert (first == second) == (one == other)
