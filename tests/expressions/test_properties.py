"""What holds for all trees and all values."""

from __future__ import annotations

import contextlib
import copy

from hypothesis import given
from hypothesis import strategies as st

from crossdock.expressions import compile_value, json_problem, read_body
from crossdock.model.expression import ExpressionError

texts = st.text(max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=20
)


def is_literal(value: object) -> bool:
    if isinstance(value, dict):
        return all(is_literal(key) and is_literal(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(is_literal, value))
    return not isinstance(value, str) or ("{{" not in value and "{%" not in value)


@given(values.filter(is_literal))
def test_a_tree_without_code_is_its_own_value(tree):
    assert compile_value(tree).evaluate({}) == tree


@given(st.dictionaries(st.sampled_from(["a", "items", "keys", "b c", "_x"]), values, min_size=1, max_size=4))
def test_a_reference_gives_exactly_what_stands_there(body):
    for key, value in body.items():
        found = compile_value("{{ body['" + key + "'] }}").evaluate({"body": body})

        assert found is value


@given(st.dictionaries(st.sampled_from(["a", "items", "b"]), values, min_size=1, max_size=3))
def test_a_value_that_passes_through_the_engine_is_the_same(body):
    found = compile_value("{{ [body] | first }}").evaluate({"body": body})

    assert found == body


pieces = st.sampled_from(
    [
        *["{{", "}}", "{%", "%}", "{#", "#}", " ", "body", "steps", ".a", "['a']", "[0]", "|", "upper", "default(1)"],
        *["if", "for x in", "endif", "endfor", "else", "is", "not", "and", "(", ")", "[", "]", "{", "}", ":", ",", "*"],
        *["+", "-", "/", "**", "~", "==", "<", "'a'", '"', "1", "1.5", "range(3)", "loop.index", "x", "join(',')"],
        *["tojson", "map(attribute='a')", "list", "sort", "in", "null", "é", "\n", "\\"],
    ]
)


@given(st.lists(pieces, max_size=14).map("".join), values)
def test_nothing_but_expression_errors_is_raised_and_nothing_is_changed(text, body):
    names = {"body": body, "steps": {}, "query": {}, "headers": {}, "event": {}, "vars": {}, "item": 1}
    before = copy.deepcopy(names)

    with contextlib.suppress(ExpressionError):
        compile_value(text).evaluate(names)

    assert names == before


@given(st.lists(pieces, max_size=10).map(lambda parts: "{{ " + " ".join(parts) + " }}"), values)
def test_code_over_missing_names_never_does_more_than_fail(text, body):
    with contextlib.suppress(ExpressionError):
        compile_value(text).evaluate({"body": body, "steps": {}})


content_types = st.sampled_from(
    [
        *["", "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "image/png"],
        *["text/plain; charset=latin-1", "text/plain; charset=nonsense", "application/xml", "text/plain"],
    ]
)
fragments = st.sampled_from(
    [b"--x", b"\r\n", b"--", b"a=1", b": ", b"{", b'"', b"Content-Disposition: form-data; name=a"]
)


@given(content_types | texts, st.binary(max_size=60) | st.lists(fragments, max_size=9).map(b"".join))
def test_every_body_can_be_read(content_type, body):
    read_body(content_type, body)
    json_problem(body)
