"""Request bodies as expressions see them."""

from __future__ import annotations

import pytest

from crossdock.expressions import json_problem, read_body

MULTIPART = (
    b'--X\r\nContent-Disposition: form-data; name="note"\r\n\r\nh\xc3\xa9\r\n'
    b'--X\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nabc\r\n'
    b"--X--\r\n"
)


@pytest.mark.parametrize(
    ("content_type", "body", "value"),
    [
        ("application/json", b'{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
        ("application/vnd.acme+json; charset=utf-8", b"[1]", [1]),
        ("", b'{"a": 1}', {"a": 1}),
        ("", b"plain", "plain"),
        ("application/json", b"\xef\xbb\xbf[1]", [1]),
        ("application/json", b'{"a": 1, "a": 2}', {"a": 2}),
        ("application/json", b"123456789012345678901234567890", 123456789012345678901234567890),
        ("application/json", b'{"a": NaN}', '{"a": NaN}'),
        ("application/json", b"1e999", "1e999"),
        ("application/json", rb'"\ud800"', rb'"\ud800"'.decode()),
        ("application/json", b'{"a": ', '{"a": '),
        ("application/json", b'"\xff"', {"base64": "Iv8i"}),
        ("application/json", b"", None),
        ("application/x-www-form-urlencoded", b"a=1&b=x%20y&a=2&c=", {"a": ["1", "2"], "b": "x y", "c": ""}),
        ("application/x-www-form-urlencoded", b"a=%ff", "a=%ff"),
        (
            "multipart/form-data; boundary=X",
            MULTIPART,
            {"note": "hé", "file": {"filename": "a.txt", "content_type": "text/plain", "base64": "YWJj"}},
        ),
        ("multipart/form-data", b"--X", "--X"),
        ("text/plain; charset=iso-8859-1", b"\xe9", "é"),
        ("text/plain; charset=nonsense", "é".encode(), "é"),
        ("text/plain; charset=zip", "é".encode(), "é"),
        ("application/xml", b"<a>1</a>", "<a>1</a>"),
        ("application/octet-stream", b"abc", {"base64": "YWJj"}),
        ("application/unheard-of", b"\xff", {"base64": "/w=="}),
    ],
)
def test_the_body_becomes_a_value(content_type, body, value):
    assert read_body(content_type, body) == value


def test_a_multipart_body_without_an_end_stays_text():
    assert read_body("multipart/form-data; boundary=X", MULTIPART[:-7]) == MULTIPART[:-7].decode()


def test_a_form_with_thousands_of_fields_stays_text():
    body = b"&".join(b"f%d=1" % index for index in range(5_000))

    assert read_body("application/x-www-form-urlencoded", body) == body.decode()


@pytest.mark.parametrize("depth", [101, 100_000])
def test_json_nested_too_deep_stays_text(depth):
    body = b"[" * depth + b"]" * depth

    assert read_body("application/json", body) == body.decode()
    assert json_problem(body) == "it is nested more than 100 deep"


def test_json_may_be_wide_and_a_hundred_deep():
    body = b"[" * 100 + b"]" * 100

    assert json_problem(body) is None
    assert json_problem(b"[" + b",".join([b"[[]]"] * 1_000) + b"]") is None


@pytest.mark.parametrize(
    ("body", "problem"), [(b"", "empty"), (b'{"a": NaN}', "invalid character"), (b"[1", "truncated")]
)
def test_the_problem_with_json_is_told(body, problem):
    assert problem in (json_problem(body) or "")
