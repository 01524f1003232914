"""Expressions reach plain values and nothing else, and neither their authors nor senders can make them grow."""

from __future__ import annotations

import contextlib

import pytest

from crossdock.expressions import Uncompilable, compile_value
from crossdock.model.expression import EXPRESSION_BYTES, OUTPUT_BYTES, TEMPLATE_BYTES, ExpressionError


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ body.lines.append(5) }}", "calls a method"),
        ("{{ body.items() }}", "calls a method"),
        ("{{ 'a'.upper() }}", "calls a method"),
        ("{{ body['pop']('x') }}", "calls a value"),
        ("{{ (body)('x') }}", "calls a value"),
        ("{{ (body | attr('pop'))('x') }}", "no filter 'attr'|calls a value"),
        ("{{ body | attr('items') }}", "no filter 'attr'"),
        ("{{ '%0999999999d' | format(1) }}", "no filter 'format'"),
        ("{{ 'x' | indent(1000000000) }}", "no filter 'indent'"),
        ("{{ body | slice(100000000) }}", "no filter 'slice'"),
        ("{{ now() }}", "no function 'now'"),
        ("{{ debug() }}", "no function 'debug'"),
        ("{{ namespace(a=1) }}", "no function 'namespace'"),
        ("{{ loop(body) }}", "no function 'loop'"),
        ("{{ caller() }}", "no function 'caller'"),
        ("{{ secrets.token }}", "no 'secrets'"),
        ("{{ self }}", "no 'self'"),
        ("{{ item }}{{ nothing }}", "no 'nothing'"),
        ("{% set x = 1 %}{{ x }}", "set"),
        ("{% macro f() %}{% endmacro %}", "macro"),
        ("{% include 'code' %}", "include"),
        ("{% import 'os' as os %}", "import"),
        ("{% extends 'x' %}", "extends"),
        ("{% raw %}{{ x }}{% endraw %}", "raw"),
        ("{% for x in body recursive %}{% endfor %}", "recursive"),
        ("{% for body in body.lines %}{{ body }}{% endfor %}", "'body' is taken"),
        ("{{ body.x | uper }}", "did you mean upper"),
        ("{{ body.x is strange }}", "no test 'strange'"),
        ("{{ }}", "empty"),
        ("{{ body.x", "has no }}"),
        ("{{ body.x } }}", "closes nothing"),
        ("{{ (body.x }}", "closes nothing"),
        ("{% if body.x %}", "end of|unexpected"),
        ("{{ body.x ? 1 : 2 }}", r"'\?' can't stand here"),
        ("{{ 1 2 }}", "unexpected"),
    ],
)
def test_what_is_not_part_of_the_language_is_refused_when_it_is_compiled(text, reason):
    with pytest.raises(Uncompilable, match=reason):
        compile_value(text)


def test_the_place_in_the_tree_is_named():
    with pytest.raises(Uncompilable) as caught:
        compile_value({"a": [1, {"b": "{{ x }}"}]}, "transform")

    assert caught.value.field == "transform.a[1].b"


@pytest.mark.parametrize(
    "text",
    [
        "{{ '" + "a" * EXPRESSION_BYTES + "' }}",
        "{{ body }}" + "a" * TEMPLATE_BYTES,
        "{{ " + "(" * 100_000 + "1" + ")" * 100_000 + " }}",
        "{{ " + "[" * 2_000 + "]" * 2_000 + " }}",
        "{% if body %}" * 100 + "{% endif %}" * 100,
    ],
)
def test_too_long_or_too_deep_is_refused_when_it_is_compiled(text):
    with pytest.raises(Uncompilable):
        compile_value(text)


@pytest.mark.parametrize("sign", ["-", "not ", "1+", "1**", "body or ", "body.x if 1 else "])
def test_long_chains_do_not_overrun_the_parser(sign):
    text = "{{ " + sign * (EXPRESSION_BYTES // len(sign) - 8) + "1 }}"

    with contextlib.suppress(ExpressionError):
        compile_value(text).evaluate({"body": {"x": 1}})


@pytest.mark.parametrize(
    "text",
    [
        "{{ body.price * body.quantity }}",
        "{{ body.quantity * body.price }}",
        "{{ body.list * body.quantity }}",
        "{{ 2 * -body.quantity * body.list }}",
        "{{ ([[0]] * 100000 | list) * 100000 }}",
        "{{ body.price | replace('a', body.price) }}",
        "{{ body.list | join(body.price) }}",
        "{{ range(1000000000) | list }}",
        "{{ 2 ** 100000 }}",
        "{{ body.price | pad(1000000000) }}",
        "{{ [" + "body.list, " * 600 + "1] }}",
        "{{ [" + "body.list, " * 600 + "1] | tojson }}",
        "{% for x in range(100000) %}{% for y in range(100000) %}x{% endfor %}{% endfor %}",
        "{% for x in range(100000) %}" + "x" * 60_000 + "{% endfor %}",
        "{% for x in range(1000) %}{{ body.price }}{% endfor %}",
        "{{ body.price }}" * 100,
    ],
)
def test_nothing_grows_without_bound(text):
    names = {"body": {"price": "a" * 1_000_000, "quantity": 10**9, "list": ["a"] * 100_000}}

    with pytest.raises(ExpressionError):
        compile_value(text).evaluate(names)


@pytest.mark.parametrize(
    "field", ["items", "keys", "values", "get", "pop", "copy", "update", "count", "index", "append"]
)
def test_fields_named_like_methods_are_missing_when_they_are_missing(field):
    names: dict[str, object] = {"body": {"object": {}, "list": []}}

    for holder in ("object", "list"):
        assert compile_value(f"{{{{ body.{holder}.{field} is defined }}}}").evaluate(names) is False
        with pytest.raises(ExpressionError):
            compile_value(f"{{{{ body.{holder}.{field} ~ '' }}}}").evaluate(names)


@pytest.mark.parametrize(
    "made", ["('{}' | fromjson)", "([body.object] | unique | first)", "([body.object] | sort(attribute='a') | first)"]
)
def test_what_filters_make_has_no_methods_either(made):
    names = {"body": {"object": {"a": 1}}}

    assert compile_value(f"{{{{ {made}.items is defined }}}}").evaluate(names) is False


@pytest.mark.parametrize(
    "text",
    [
        "{{ body.text.__class__ ~ '' }}",
        "{{ body.__class__.__mro__ ~ '' }}",
        "{{ body['__class__'] ~ '' }}",
        "{{ body.list['__class__'] ~ '' }}",
        "{{ body._value ~ '' }}",
        "{{ body | map('attr', '__class__') | list }}",
        "{{ body.list | map('pop') | list }}",
    ],
)
def test_python_can_not_be_reached(text):
    names = {"body": {"text": "t", "list": [1]}}

    with pytest.raises(ExpressionError):
        compile_value(text).evaluate(names)


def test_attributes_of_elements_are_fields_only():
    names = {"body": {"list": [{"a": 1}, {"a": 2}]}}

    found = compile_value("{{ body.list | map(attribute='__class__') | list }}").evaluate(names)

    assert found == [None, None]


def test_evaluating_changes_nothing():
    names = {"body": {"list": [3, 1, 2], "object": {"b": 1, "a": 2}}}

    compile_value(
        ["{{ body.list | sort }}", "{{ body.list | reverse | list }}", "{{ body.object | dictsort }}"]
    ).evaluate(names)

    assert names == {"body": {"list": [3, 1, 2], "object": {"b": 1, "a": 2}}}
    assert list(names["body"]["object"]) == ["b", "a"]


def test_an_output_may_be_as_large_as_allowed():
    names = {"body": {"text": "a" * (OUTPUT_BYTES - 1)}}

    assert len(compile_value("{{ body.text }}!").evaluate(names)) == OUTPUT_BYTES
    with pytest.raises(ExpressionError, match="8 MiB"):
        compile_value("{{ body.text }}!!").evaluate(names)
