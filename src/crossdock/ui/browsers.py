"""What a browser calls itself, in a few words: "Firefox 148 on Linux". A guess for people; nothing depends on it."""

from __future__ import annotations

import re

_BROWSERS = (  # the first that is named: they all name others for compatibility's sake
    ("Edge", re.compile(r"\bEdg(?:e|A|iOS)?/(\d+)")),
    ("Opera", re.compile(r"\bOPR/(\d+)")),
    ("Firefox", re.compile(r"\b(?:Firefox|FxiOS)/(\d+)")),
    ("Chrome", re.compile(r"\b(?:Headless)?(?:Chrome|CriOS)/(\d+)")),
    ("Safari", re.compile(r"\bVersion/(\d+)[\d.]* (?:Mobile/\S+ )?Safari/")),
    ("curl", re.compile(r"^curl/(\d+)")),
)
_SYSTEMS = (
    ("Android", re.compile(r"Android")),
    ("iPhone", re.compile(r"iPhone")),
    ("iPad", re.compile(r"iPad")),
    ("Windows", re.compile(r"Windows")),
    ("macOS", re.compile(r"Mac OS X|Macintosh")),
    ("ChromeOS", re.compile(r"\bCrOS\b")),
    ("Linux", re.compile(r"Linux")),
)
_LONGEST = 60


def describe_browser(agent: str) -> str:
    """A few words; the beginning of what was sent where nothing is recognised."""
    if not agent:
        return "Unknown browser"
    found = next(((name, match) for name, form in _BROWSERS if (match := form.search(agent))), None)
    if found is None:
        return agent if len(agent) <= _LONGEST else agent[: _LONGEST - 1] + "…"
    name, match = found
    system = next((name for name, form in _SYSTEMS if form.search(agent)), "")
    return f"{name} {match.group(1)} on {system}" if system else f"{name} {match.group(1)}"
