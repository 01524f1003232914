"""Errors of evaluation name what is missing, and what is there instead."""

from __future__ import annotations

import pytest

from crossdock.expressions import compile_value
from crossdock.model.expression import ExpressionError

NAMES = {
    "body": {"customer": {"id": 1, "name": "Ann"}, "lines": [1, 2], "text": "t", "none": None, "empty": {}},
    "query": {},
    "steps": {"order": {"total": 1}},
}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ body.customer.nr }}", "body.customer.nr is not there; body.customer has id, name"),
        ("{{ body.customer.nr | upper }}", "body.customer.nr is not there; body.customer has id, name"),
        ("{{ body.customer.id > 0 and body.customer.nr > 0 }}", "body.customer.nr is not there"),
        ("no. {{ body.customer.nr }}", "body.customer.nr is not there"),
        ("{% if body.customer.nr %}x{% endif %}", "body.customer.nr is not there"),
        ("{{ body.customer['e-mail'] }}", r"body.customer\['e-mail'\] is not there"),
        ("{{ body.lines[2] }}", r"body.lines\[2\] is not there; body.lines is a list of 2"),
        ("{{ body.text.x }}", "body.text.x is not there; body.text is text"),
        ("{{ body.none.x }}", "body.none.x is not there; body.none is null"),
        ("{{ body.empty.x }}", "body.empty.x is not there; body.empty is an empty object"),
        ("{{ body.nothing.deep | default(1) }}", "body.nothing is not there"),
        ("{{ steps.price.total }}", "steps.price is not there; steps has order"),
        ("{{ body.customer.items }}", "body.customer.items is not there"),
        ("{% for line in body.lines %}{{ line.sku }}{% endfor %}", "'line.sku' needs a value that is not there"),
    ],
)
def test_what_is_missing_is_named(text, message):
    with pytest.raises(ExpressionError, match=message):
        compile_value(text).evaluate(NAMES)


def test_values_do_not_appear_in_messages():
    names = {"body": {"secret": "s3cr3t-value", "other": {"a": "s3cr3t-value"}}}

    with pytest.raises(ExpressionError) as caught:
        compile_value("{{ body.secret.x ~ body.other.b }}").evaluate(names)

    assert "s3cr3t-value" not in str(caught.value)


def test_a_long_list_of_fields_is_cut():
    names = {"body": {f"field_{index}": 1 for index in range(100)}}

    with pytest.raises(ExpressionError, match="field_11 and 88 more$"):
        compile_value("{{ body.x }}").evaluate(names)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ body.text | int }}", "'t' is not a number"),
        ("{{ body.lines | int }}", "not a list"),
        ("{{ 1 / 0 }}", "unable to calculate"),
        ("{{ body.text | replace('t') }}", "replace"),
        ("{{ body.text | fromjson }}", "not JSON"),
        ("{{ 1e308 * 10 }}", "not finite"),
        ("{{ {1: 2} }}", "keys are text"),
        ("{{ body.text | frombase64 }}", "Base64"),
        ("{{ body.text | join }}", "a list is needed"),
        ("{{ [1, 'a'] | sort }}", "texts or numbers"),
        ("{{ [body.customer] | sort }}", "name the attribute"),
        ("{{ [body.customer] | sort(attribute='nr') }}", "an element has no nr"),
    ],
)
def test_other_errors_say_why(text, message):
    with pytest.raises(ExpressionError, match=message):
        compile_value(text).evaluate(NAMES)
