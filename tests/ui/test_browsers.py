"""What browsers call themselves."""

from __future__ import annotations

import pytest

from crossdock.ui.browsers import describe_browser

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} HeadlessChrome/156.0.0.0 Safari/537.36", "Chrome 156 on Linux"),
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/150.0 Safari/537.36 Edg/150.0",
            "Edge 150 on Windows",
        ),
        ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:148.0) Gecko/20100101 Firefox/148.0", "Firefox 148 on Linux"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Mobile/15E148 Safari/604.1",
            "Safari 19 on iPhone",
        ),
        ("curl/8.1.2", "curl 8"),
        ("", "Unknown browser"),
        ("<script>" * 20, ("<script>" * 20)[:59] + "…"),
    ],
)
def test_browsers_are_told_in_a_few_words(agent: str, words: str):
    assert describe_browser(agent) == words
