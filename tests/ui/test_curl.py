"""A recorded call as a command: a real shell understands it, and nothing in it gets loose."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossdock.ui.curl import curl_command, left_out, shell_word, takes_file

REQUEST = {
    "method": "POST",
    "path": "/hooks/default/orders",
    "query": {"a": ["1", "2"]},
    "headers": {"host": "x", "content-type": "application/json", "x-api-key": "[redacted]", "content-length": "9"},
}


def test_a_call_becomes_a_command_without_its_credential():
    command = curl_command("https://hooks.example", REQUEST, b'{"a": 1}', "evt_1.json")

    assert command.splitlines() == [
        "curl -X POST 'https://hooks.example/hooks/default/orders?a=1&a=2' \\",
        "  -H 'content-type: application/json' \\",
        "  --data-raw '{\"a\": 1}'",
    ]
    assert left_out(REQUEST) == ["x-api-key"]


@pytest.mark.parametrize("body", [b"\xff", b"x" * 20_000, None])
def test_a_body_that_does_not_fit_comes_from_a_file(body):
    assert takes_file(body)
    assert curl_command("http://x", REQUEST, body, "evt_1.bin").endswith("--data-binary @evt_1.bin")


@pytest.mark.parametrize("text", ["it's", "$(id)", "`id`", "a\nb", "\x1b[2J", "\u202e", "-x", "", "a\\b'c\x01"])
def test_a_shell_reads_words_back_as_they_were(text):
    assert _read_back(text) == text


@settings(max_examples=20)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=50))
def test_a_shell_reads_any_word_back(text):
    assert _read_back(text) == text


def test_a_terminal_sees_no_control_characters():
    assert "\x1b" not in shell_word("\x1b]0;title\x07")
    assert "\u202e" not in shell_word("\u202e")


def _read_back(text: str) -> str:
    script = f"printf %s {shell_word(text)}"
    environment = {"LC_ALL": "C.UTF-8"}
    return subprocess.run(["bash", "-c", script], capture_output=True, check=True, env=environment).stdout.decode()
