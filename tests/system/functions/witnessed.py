"""Functions for `python` steps that tell, beside what they did, which node began it and when."""

from __future__ import annotations

import os
import time

WORK_SECONDS = 0.01
"""So long a step is under way between its beginning and its line: a fault may fall into it."""


def witness(event: str, lane: str, number: int, step: str) -> dict[str, int]:
    """Note when it began, work a little, then append one line with a single write."""
    began_at = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000
    time.sleep(WORK_SECONDS)
    line = f"{event}\t{lane}\t{number}\t{step}\t{os.environ['PLACE']}\t{began_at}\n".encode()
    file = os.open(os.environ["EFFECT_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line)
    finally:
        os.close(file)
    return {"number": number}
