"""Callers that never give up: they go on through crashes, and write down what they were promised."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.support.program import Program
from tests.system.ledger import Promises

PAUSE_SECONDS = 0.004
"""Between two calls of one caller: together they keep the program busy without piling up hours of work."""
AWAY_SECONDS = 0.05

STEPS = ("first", "second")


def integration(name: str, mode: str, trigger: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """An integration whose workflow has two steps with a lasting effect."""
    steps: list[dict[str, Any]] = [
        {
            "id": step,
            "python": {
                "function": "effects:note",
                "arguments": {
                    "event": "{{ event.id }}",
                    "lane": "{{ body.lane }}",
                    "number": "{{ body.number }}",
                    "step": step,
                },
            },
        }
        for step in STEPS
    ]
    steps.append({"id": "answer", "respond": {"json": {"number": "{{ steps.second.number }}"}}})
    base = {"methods": ["POST"], "authentication": {"mode": "none"}, "response_mode": mode, **(trigger or {})}
    return {
        "name": name,
        "type": "webhook-trigger",
        "path": name,
        "trigger": base,
        "workflow": {"steps": steps},
        **more,
    }


def add_integrations(program: Program, reply_url: str) -> None:
    """One with lanes, one without, which also replies, and one that answers its callers."""
    lanes = {"ordered_delivery": True, "ordering_key": "{{ body.lane }}", "on_exhausted": "skip"}
    program.add_integration(integration("lanes", "async", lanes))
    program.add_integration(integration("free", "async", reply={"url": reply_url, "method": "POST"}))
    program.add_integration(integration("asked", "sync"))


@dataclass(slots=True)
class Callers:
    """`lanes` callers with a lane each, `free` without order, `asking` that wait for their answers."""

    program: Program
    promises: Promises
    lanes: int = 6
    free: int = 4
    asking: int = 3

    async def call_until(self, ended: asyncio.Event) -> None:
        limits = aiohttp.ClientTimeout(total=15)
        async with aiohttp.ClientSession(timeout=limits) as session, asyncio.TaskGroup() as tasks:
            for place in range(self.lanes):
                tasks.create_task(self._call(session, ended, "lanes", f"L{place}"))
            for place in range(self.free):
                tasks.create_task(self._call(session, ended, "free", f"F{place}"))
            for place in range(self.asking):
                tasks.create_task(self._call(session, ended, "asked", f"S{place}"))

    async def _call(self, session: aiohttp.ClientSession, ended: asyncio.Event, path: str, lane: str) -> None:
        number = 0
        while not ended.is_set():
            number += 1
            try:
                await self._call_once(session, path, {"lane": lane, "number": number})
                await asyncio.sleep(PAUSE_SECONDS)
            except (aiohttp.ClientError, TimeoutError):
                self.promises.unclear += 1
                await asyncio.sleep(AWAY_SECONDS)

    async def _call_once(self, session: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> None:
        async with session.post(f"{self.program.url}/hooks/default/{path}", json=body) as answer:
            if answer.status == 202:
                self.promises.accept((await answer.json())["id"])
            elif answer.status == 200:
                await answer.read()
                self.promises.answer(answer.headers["X-Crossdock-Event"])
            elif answer.status == 503:
                await asyncio.sleep(AWAY_SECONDS)
            else:
                self.promises.unexpected.append(f"{path}: {answer.status} {await answer.text()}")
