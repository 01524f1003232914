"""Functions for `python` steps whose side effect is a line in a file: it survives the process, unlike memory."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any


def note(event: str, lane: str, number: int, step: str) -> dict[str, int]:
    """Append one line with a single write, so that lines of different threads and processes do not mix."""
    line = f"{event}\t{lane}\t{number}\t{step}\n".encode()
    file = os.open(os.environ["EFFECT_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line)
    finally:
        os.close(file)
    return {"number": number}


def mark(context: dict[str, Any]) -> dict[str, str]:
    """A line of the step that calls, under its path."""
    note(context["event_id"], "", context["attempt"], context["step"])
    return {"step": context["step"]}


def wait_for_gate(event: str) -> dict[str, str]:
    """Say that the step has begun, then go on only when the file named by `GATE` is there."""
    note(event, "", 0, "begun")
    while not Path(os.environ["GATE"]).exists():
        time.sleep(0.02)
    note(event, "", 0, "ended")
    return {"event": event}
