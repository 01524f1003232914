"""A limit in time for what is evaluated."""

from __future__ import annotations

import time

import pytest

from crossdock.expressions import compile_value
from crossdock.expressions.patience import within
from crossdock.model.expression import ExpressionError

NAMES = {"body": {"name": "Ann"}}


@pytest.mark.parametrize(
    "text",
    [
        "{{ body.name | upper }}",
        "{{ body.name | upper }} and {{ body.name | lower }}",
        "{% for one in body.name | list %}{{ one }}{% endfor %}",
    ],
)
def test_nothing_is_evaluated_when_the_time_is_over(text: str) -> None:
    expression = compile_value(text)

    with pytest.raises(ExpressionError, match="this takes too long"), within(-1.0):
        expression.evaluate(NAMES)

    assert expression.evaluate(NAMES)  # outside there is no limit, and the engine works as before


def test_what_is_under_way_ends_at_the_next_filter() -> None:
    expression = compile_value("{{ body.lines | map('tojson') | list | length }}")

    with pytest.raises(ExpressionError, match="this takes too long"), within(0.05):
        expression.evaluate({"body": {"lines": [[0] * 1_000] * 100_000}})


def test_there_is_time_where_it_is_not_over() -> None:
    with within(60.0):
        assert compile_value("{{ body.name | upper }}").evaluate(NAMES) == "ANN"


def test_a_limit_inside_another_makes_it_no_longer() -> None:
    with within(-1.0), within(60.0), pytest.raises(ExpressionError, match="takes too long"):
        compile_value("{{ 1 + 1 }}").evaluate({})


def test_many_expressions_of_a_text_have_a_time_together() -> None:
    compiled = compile_value("{{ range(10000) | sort | length }}" * 1_700)
    started = time.perf_counter()

    with pytest.raises(ExpressionError, match="takes too long"):
        compiled.evaluate({})

    assert time.perf_counter() - started < 30  # without the limit: many minutes
