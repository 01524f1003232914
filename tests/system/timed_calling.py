"""Callers that also look at the clock: how long each call took, what it was answered, and whether that was polite."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.system.calling import AWAY_SECONDS, Callers


@dataclass(slots=True)
class Waits:
    """Calls by their answers (0: none came), and the longest wait for each answer, in seconds."""

    answers: Counter[int] = field(default_factory=Counter)
    longest: dict[int, float] = field(default_factory=dict)

    def note(self, status: int, seconds: float) -> None:
        self.answers[status] += 1
        self.longest[status] = max(seconds, self.longest.get(status, 0.0))

    @property
    def longest_of_all(self) -> float:
        return max(self.longest.values(), default=0.0)


@dataclass(slots=True)
class TimedCallers(Callers):
    """`pause_seconds` lie between two calls of one caller. A 504 may be right during a fault: the run goes on."""

    pause_seconds: float = 0.0
    waits: Waits = field(default_factory=Waits)

    async def _call_once(self, session: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> None:
        started = time.monotonic()
        status = 0
        try:
            async with session.post(f"{self.program.url}/hooks/default/{path}", json=body) as answer:
                text = await answer.text()
                status = answer.status
                self._take(path, answer, text)
        finally:
            self.waits.note(status, time.monotonic() - started)
        await asyncio.sleep(self.pause_seconds if status < 500 else AWAY_SECONDS)

    def _take(self, path: str, answer: aiohttp.ClientResponse, text: str) -> None:
        promises, event = self.promises, answer.headers.get("X-Crossdock-Event")
        if answer.status == 202:
            promises.accept(answer.headers["Location"].rpartition("/")[2])
        elif answer.status == 200 and event is not None:
            promises.answer(event)
        elif answer.status == 504:
            promises.unclear += 1
        elif answer.status != 503:
            promises.unexpected.append(f"{path}: {answer.status} {text}")
        elif not answer.headers.get("Retry-After", "").isdigit():
            promises.unexpected.append(f"{path}: 503 without Retry-After")
