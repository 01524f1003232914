"""What expressions give."""

from __future__ import annotations

from typing import Any

import pytest

from crossdock.expressions import compile_condition, compile_value
from crossdock.model.expression import ExpressionError

NAMES: dict[str, Any] = {
    "body": {
        "id": 7,
        "huge": 10**40,
        "price": 12.0,
        "name": "Ann",
        "none": None,
        "lines": [{"sku": "b", "qty": 2}, {"sku": "a", "qty": 1}],
        "tags": ["x", "y"],
        "keys": {"items": 5},
    },
    "query": {"urgent": "false"},
    "headers": {"x-site": "12"},
    "steps": {"order": {"total": 3}},
}


def value_of(tree: object) -> object:
    return compile_value(tree).evaluate(NAMES)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ body.id }}", 7),
        ("{{ body.huge }}", 10**40),
        ("{{ body.none }}", None),
        ("{{ body.lines }}", NAMES["body"]["lines"]),
        ("{{ body.lines[1].sku }}", "a"),
        ("{{ body.lines[-1]['qty'] }}", 1),
        ("{{ headers['x-site'] }}", "12"),
        ("{{ steps.order.total }}", 3),
        ("{{ body.keys.items }}", 5),
        ("{{ body.id > 5 and body.name == 'Ann' }}", True),
        ("{{ body.id + 1 }}", 8),
        ("{{ body.price * body.id }}", 84),
        ("{{ 2 * (body.id + 1) ** 2 - body.lines[0].qty * 3 }}", 122),
        ("{{ body.tags[0:1] }}", ["x"]),
        ("{{ body.tags == ['x', 'y'] }}", True),
        ("{{ 'x' in body.tags }}", True),
        ("{{ 'name' in body }}", True),
        ("{{ 'big' if body.id > 5 else 'small' }}", "big"),
        ("{{ {'a': body.tags, 'b': [body.id]} }}", {"a": ["x", "y"], "b": [7]}),
        ("{{ body.lines | map(attribute='sku') | sort | list }}", ["a", "b"]),
        ("{{ body.lines | selectattr('qty', '>', 1) | list }}", [{"sku": "b", "qty": 2}]),
        ("{{ body.lines | sum(attribute='qty') }}", 3),
        ("{{ body.lines | length }}", 2),
        ("{{ body.lines | sort(attribute='sku') | first }}", {"sku": "a", "qty": 1}),
        ("{{ [3, 1.5, 2] | sort(reverse=true) }}", [3, 2, 1.5]),
        ("{{ ['b', 'A', 'a'] | sort }}", ["A", "a", "b"]),
        ("{{ [1, 'a', 1, 'A', {'x': 1}, {'x': 1}] | unique }}", [1, "a", "A", {"x": 1}]),
        ("{{ body.keys | items | list }}", [["items", 5]]),
        ("{{ body.tags | join('-') }}", "x-y"),
        ("{{ body.missing | default('none') }}", "none"),
        ("{{ body.missing is defined }}", False),
        ("{{ body.name | upper | replace('A', 'O') }}", "ONN"),
        ("{{ body.id | pad(4, '0') }}", "0007"),
        ("{{ ' 12 ' | int }}", 12),
        ("{{ 'x' | int(0) }}", 0),
        ("{{ (body.huge | string | int) == body.huge }}", True),
        ("{{ '1.5' | float }}", 1.5),
        ("{{ 2.345 | round(1) }}", 2.3),
        ("{{ '{\"a\": [1]}' | fromjson }}", {"a": [1]}),
        ("{{ body.tags | tojson }}", '["x","y"]'),
        ("{{ 'é' | tobase64 | frombase64 }}", "é"),
        ("{{ range(3) | list }}", [0, 1, 2]),
        ("{{ '{{ not code }}' }}", "{{ not code }}"),
    ],
)
def test_a_whole_expression_gives_its_value(text, value):
    found = value_of(text)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Hello {{ body.name }}!", "Hello Ann!"),
        ("{{ body.name }} {{ body.id }}", "Ann 7"),
        ("{{ body.none }}|{{ body.id > 5 }}|{{ body.tags }}|{{ body.price }}", 'null|true|["x","y"]|12.0'),
        (" {{- body.name -}} .", "Ann."),
        ("{% for line in body.lines %}{{ loop.index }}{{ line.sku }};{% endfor %}", "1b;2a;"),
        ("{% for item in body.tags %}{{ item }}{% endfor %}", "xy"),
        ("{% if body.none %}yes{% else %}no{% endif %}\n", "no\n"),
        ("{# why #}{{ body.name }}", "Ann"),
        ("no code, {# not even this #} or }}", "no code, {# not even this #} or }}"),
    ],
)
def test_any_other_text_gives_text(text, value):
    assert value_of(text) == value


def test_a_tree_keeps_its_shape():
    tree = {"id": "{{ body.id }}", "fixed": [1, None, {"name": "<{{ body.name }}>"}]}

    assert value_of(tree) == {"id": 7, "fixed": [1, None, {"name": "<Ann>"}]}


def test_each_makes_one_value_for_each_element():
    tree = {"$each": {"over": "{{ body.lines }}", "as": "line", "value": {"s": "{{ line.sku }}", "n": "{{ body.id }}"}}}

    value = compile_value(tree, has_each=True).evaluate(NAMES)

    assert value == [{"s": "b", "n": 7}, {"s": "a", "n": 7}]


def test_each_can_stand_in_each():
    inner = {"$each": {"over": "{{ outer }}", "value": "{{ item * 2 }}"}}
    tree = {"$each": {"over": [[1, 2], [3]], "as": "outer", "value": inner}}

    assert compile_value(tree, has_each=True).evaluate({}) == [[2, 4], [6]]


def test_each_refuses_what_is_no_list():
    tree = {"$each": {"over": "{{ body.name }}", "value": 1}}

    with pytest.raises(ExpressionError, match="a list is needed"):
        compile_value(tree, "lines", has_each=True).evaluate(NAMES)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("{{ body.id > 5 }}", True),
        ("body.id > 5", True),
        ("body.lines", True),
        ("body.none", False),
        ("query.urgent", False),
        (True, True),
        ("not body.missing is defined", True),
        ("{{ body.none }}\n", False),
        (" {{ body.none }} ", False),
        ("{%- if body.none %}yes{% endif %}", False),
    ],
)
def test_conditions_give_true_or_false(condition, holds):
    assert compile_condition(condition).evaluate(NAMES) is holds


@pytest.mark.parametrize(
    "condition", ["{{ body.none }} and {{ body.id }}", "not {{ body.id }}", "{{ body.none }}{{ body.none }}"]
)
def test_a_condition_with_words_around_its_braces_is_refused_for_it_would_always_hold(condition):
    with pytest.raises(ExpressionError, match="inside one pair of braces"):
        compile_condition(condition)


def test_a_compiled_tree_knows_the_steps_it_refers_to():
    tree = compile_value(
        ["{{ steps.a.x }}", "{{ steps['b'] | default(1) }}{% if steps.c %}{% endif %}", "{{ body.steps }}"]
    )

    assert tree.steps == {"a", "b", "c"}
