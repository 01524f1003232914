"""Integrations that fail and recover as their callers say, and the callers."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.support.program import Program
from tests.system.calling import AWAY_SECONDS, Callers
from tests.system.notifying_ledger import Rules

FAILURE = "told_to_fail"
"""The error kind of runs that fail because their caller said so."""
RULES = {"orders": Rules(window=5, warning=1, error=3), "shipments": Rules(window=8, warning=2, error=4)}
COUNTED = "counted"
LIMITS = aiohttp.ClientTimeout(total=15)


def failing_integration(name: str, **more: Any) -> dict[str, Any]:
    """Its runs fail when the body says `fail`; a string there is the message."""
    fail = {"message": "{{ body.fail }}", "kind": FAILURE}
    return {
        "name": name,
        "type": "webhook-trigger",
        "path": name,
        "retry": {"attempts": 1},
        "workflow": {"steps": [{"id": "check", "when": "{{ body.fail | default(false) }}", "fail": fail}]},
        **more,
        "trigger": {"methods": ["POST"], "authentication": {"mode": "none"}, **more.get("trigger", {})},
    }


def health(rules: Rules) -> dict[str, Any]:
    return {"window": rules.window, "warning_failures": rules.warning, "error_failures": rules.error}


def add_integrations(program: Program) -> dict[str, str]:
    """Two with one lane each, whose state follows from the order of their runs, and one that only counts; their ids."""
    lane = {"ordered_delivery": True, "on_exhausted": "skip"}
    made = {
        name: program.add_integration(failing_integration(name, trigger=lane, health=health(rules)))
        for name, rules in RULES.items()
    }
    always = health(Rules(window=1_000, warning=1, error=1))
    return {**made, COUNTED: program.add_integration(failing_integration(COUNTED, health=always))}


@dataclass(slots=True)
class FlappingCallers(Callers):
    """One caller for each integration. Ordered ones get stretches of failures and of successes in turns."""

    chance: random.Random = field(default_factory=random.Random)
    pause_seconds: float = 0.015

    async def call_until(self, ended: asyncio.Event) -> None:
        async with aiohttp.ClientSession(timeout=LIMITS) as session, asyncio.TaskGroup() as tasks:
            for path in RULES:
                tasks.create_task(self._flap(session, ended, path))
            tasks.create_task(self._flap(session, ended, COUNTED))

    async def _flap(self, session: aiohttp.ClientSession, ended: asyncio.Event, path: str) -> None:
        number, left, fails = 0, 0, True
        while not ended.is_set():
            if left == 0:
                fails = not fails
                left = self.chance.randint(1, 4) if fails else self.chance.randint(1, 9)
            left, number = left - 1, number + 1
            body = {"number": number, "fail": f"no {path} today" if fails else False}
            try:
                await self._call_once(session, path, body)
                await asyncio.sleep(self.pause_seconds)
            except (aiohttp.ClientError, TimeoutError):
                self.promises.unclear += 1
                await asyncio.sleep(AWAY_SECONDS)
