"""Pasted curl commands as the calls that they would make."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.model.errors import Invalid
from crossdock.ui.curl import curl_command
from crossdock.ui.curl_reading import read_curl, split_words


def test_a_post_with_json_is_read():
    call = read_curl(
        "curl -i 'https://hooks.example/hooks/default/orders?site=1&site=2' \\\n"
        '  -H \'Content-Type: application/json\' -H "X-Site: 12" --data-raw $\'{"name": "A\\\'s"}\''
    )

    assert (call.method, call.path) == ("POST", "/hooks/default/orders")
    assert call.query == [("site", "1"), ("site", "2")]
    assert call.headers == [("Content-Type", "application/json"), ("X-Site", "12")]
    assert call.body == '{"name": "A\'s"}'
    assert call.remarks == []


@pytest.mark.parametrize(
    ("command", "method", "body"),
    [
        ("curl http://x/", "GET", ""),
        ("curl -XPUT http://x/ -d a=1 -d b=2", "PUT", "a=1&b=2"),
        ("curl --json '{}' x/y", "POST", "{}"),
        ("curl -sSLk --request=DELETE http://x/", "DELETE", ""),
        ("/usr/bin/curl -I http://x/", "HEAD", ""),
        ("curl -o out.txt --max-time 5 http://x/ --data-urlencode 'q=a b'", "POST", "q=a+b"),
    ],
)
def test_methods_and_bodies(command: str, method: str, body: str):
    call = read_curl(command)

    assert (call.method, call.body) == (method, body)


def test_get_puts_its_data_into_the_query():
    call = read_curl("curl -G http://x/?a=1 -d b=2")

    assert (call.method, call.query, call.body) == ("GET", [("a", "1"), ("b", "2")], "")


def test_a_user_becomes_a_credential():
    assert read_curl("curl -u ann:secret http://x/").headers == [("Authorization", "Basic YW5uOnNlY3JldA==")]


def test_json_that_curl_sends_as_a_form_is_remarked():
    call = read_curl("""curl http://x/ -d '{"a": 1}'""")

    assert call.headers == [("Content-Type", "application/x-www-form-urlencoded")]
    assert "Content-Type: application/json" in call.remarks[0]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", "begins with curl"),
        ("rm -rf /", "begins with curl"),
        ("curl", "no address"),
        ("curl 'http://x/", "not closed"),
        ("curl http://x/ http://y/", "two addresses"),
        ("curl http://x/ -d @order.json", "order.json, which is not here"),
        ("curl http://x/ -H @headers.txt", "from a file"),
        ("curl http://x/ -F file=@a", "form with files"),
        ("curl http://x/ --config evil", "--config"),
        ("curl " + "x" * 2_000_000, "1024 KiB"),
    ],
)
def test_what_can_not_be_read_is_refused_in_words(command: str, words: str):
    with pytest.raises(Invalid, match="the command") as refused:
        read_curl(command)

    assert words in refused.value.errors[0].message


def test_very_many_short_options_are_no_trouble():
    assert read_curl("curl http://x/ -" + "s" * 50_000).method == "GET"


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), max_size=40), max_size=4)
)
def test_what_this_program_writes_is_read_back(texts: list[str]):
    headers = {f"x-{n}": text.replace("\n", " ").strip() for n, text in enumerate(texts)}
    body = "".join(texts) or "{}"
    request = {"method": "POST", "path": "/hooks/a", "query": {"q": texts}, "headers": headers}

    call = read_curl(curl_command("https://x.example", request, body.encode(), "body"))

    assert call.body == body
    assert call.query == [("q", text) for text in texts]


@given(st.text(max_size=200))
def test_any_text_is_split_or_refused(text: str):
    try:
        words = split_words(text)
    except Invalid:
        return
    assert all(isinstance(word, str) for word in words)
