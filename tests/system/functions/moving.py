"""A function that does what its argument asks for while the file named by `GATE` is missing, and just ends then."""

from __future__ import annotations

import os
import time
from pathlib import Path

from effects import note  # type: ignore[import-not-found]

from crossdock.workflows import Stop


def work(event: str, lane: str, number: int, deed: str) -> dict[str, int]:
    """`hold` waits for the gate, `fail` fails while it is closed, `stop` fails for good meanwhile."""
    gate = Path(os.environ["GATE"])
    if deed == "fail" and not gate.exists():
        raise RuntimeError("not yet")
    if deed == "stop" and not gate.exists():
        raise Stop("not before an operator says so")
    while deed == "hold" and not gate.exists():
        time.sleep(0.02)
    noted: dict[str, int] = note(event, lane, number, "work")
    return noted
