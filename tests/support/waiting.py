"""Waiting for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable

LIMIT_SECONDS = 40.0


def wait_until(claim: Callable[[], bool], within: float = LIMIT_SECONDS) -> None:
    """Try the claim again and again until it holds; AssertionError after `within` seconds."""
    deadline = time.monotonic() + within
    while not claim():
        assert time.monotonic() < deadline, f"not seen within {within} s"
        time.sleep(0.02)
