"""JSONPath: what it finds, and which paths are refused because they may take too long."""

from __future__ import annotations

from typing import Any

import pytest

from crossdock.expressions.json_path import BadPath, compile_path, is_same

DOCUMENT = {"data": {"status": "ok", "lines": [{"sku": "A", "price": 1}, {"sku": "B", "price": 20}]}, "a b": None}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$.data.status", ["ok"]),
        ("$['data']['status']", ["ok"]),
        ("$.data.lines[*].sku", ["A", "B"]),
        ("$.data.lines[-1].sku", ["B"]),
        ("$..price", [1, 20]),
        ("$.data.lines[?@.price > 10].sku", ["B"]),
        ("$.data.lines[?@.sku == '$..x..y'].sku", []),
        ("$['a b']", [None]),
        ("$.nothing.here", []),
        ("$", [DOCUMENT]),
    ],
)
def test_a_path_finds_its_values(path: str, found: list[Any]) -> None:
    assert compile_path(path).find(DOCUMENT) == found


def test_a_document_that_is_text_is_not_read_as_json() -> None:
    assert compile_path("$").find('{"a": 1}') == ['{"a": 1}']
    assert compile_path("$.a").find('{"a": 1}') == []


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "no JSONPath"),
        ("data.status", "no JSONPath"),
        ("$.data[", "no JSONPath"),
        ("$.data ", "no JSONPath"),
        ("$[?" + "(" * 300, "no JSONPath"),
        ("$.a | $.b", "at the root"),
        ("$..a..b", "one .. only"),
        ("$..[?@..a]", "one .. only"),
        ("$[?$.limit == @.a]", "at the root"),
        ("$[?match(@.a, '(a+)+b')]", "regular expressions"),
        ("$[?search(@.a, 'x')]", "regular expressions"),
        ("$" + ".a" * 600, "1024 characters"),
    ],
)
def test_what_is_no_path_or_may_take_too_long_is_refused(path: str, reason: str) -> None:
    with pytest.raises(BadPath, match=reason):
        compile_path(path)


def test_a_document_nested_very_deep_ends_in_nothing_found() -> None:
    document: Any = 1
    for _ in range(300):
        document = [document]

    assert compile_path("$..x").find(document) == []


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (None, None, True),
        (None, False, False),
        ("1", 1, False),
        ([1, {"a": True}], [1.0, {"a": True}], True),
        ([1, {"a": True}], [1, {"a": 1}], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ([1], [1, 2], False),
    ],
)
def test_values_are_compared_as_json(left: Any, right: Any, same: bool) -> None:
    assert is_same(left, right) is same
