"""The names that an event gives to expressions."""

from __future__ import annotations

import pytest

from crossdock.expressions import compile_value
from crossdock.expressions.names import event_names
from crossdock.model.event import Event, Request
from crossdock.model.expression import ExpressionError

EVENT = Event(
    "evt_1",
    "int_1",
    1_795_312_606_935_152,
    Request(
        "POST",
        "/hooks/default/orders",
        (("region", "EU"), ("tag", "a"), ("tag", "b"), ("tag", "c")),
        (("X-Site", "12"), ("accept", "a"), ("accept", "b")),
        "application/json",
        b'{"number": 17}',
    ),
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ body.number }}", 17),
        ("{{ query.region }}", "EU"),
        ("{{ query.tag }}", ["a", "b", "c"]),
        ("{{ headers['x-site'] }}", "12"),
        ("{{ headers.accept }}", "a, b"),
        ("{{ event.id }}", "evt_1"),
        ("{{ event.received_at }}", "2026-11-22T01:56:46.935Z"),
        ("{{ event.method }} {{ event.path }}", "POST /hooks/default/orders"),
        ("{{ event.integration.name }}", "Orders"),
        ("{{ event.integration.id }}", "int_1"),
        ("{{ event.replay_of }}", None),
        ("{{ event.attempt + 1 }}", 3),
        ("{{ vars }}", {}),
        ("{{ steps }}", {}),
    ],
)
def test_an_event_is_seen_through_its_names(text, value):
    assert compile_value(text).evaluate(event_names(EVENT, "Orders", 2)) == value


def test_item_is_known_only_where_a_list_is_gone_through():
    with pytest.raises(ExpressionError, match="item is not there"):
        compile_value("{{ item.x | default(1) }}").evaluate(event_names(EVENT))
