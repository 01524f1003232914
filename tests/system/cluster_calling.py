"""Callers of a cluster: they spread over the nodes, try the next one when one is away, and never give up.

Callers with a lane call again with the same number until it is acknowledged, and only then with the next one: each
number must be recorded once, and in this order. The others take the next number after each try.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp

from tests.support.moments import moment
from tests.support.program import Program
from tests.support.waiting import wait_until
from tests.system.calling import STEPS, integration
from tests.system.cluster import Cluster, Place
from tests.system.ledger import Promises

CALL = "call"
CLUSTER_STEPS = (*STEPS, CALL)
"""The steps of `free`; the other integrations have no `call`."""

AWAY_SECONDS = 0.5
"""So long a node is left alone after it did not answer, as a load balancer would."""
REFUSED_SECONDS = 0.1
LIMITS = aiohttp.ClientTimeout(total=5, connect=1)
ASKING_LIMITS = aiohttp.ClientTimeout(total=30, connect=1)


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer, or none: `status` 0."""

    asked_at: int
    at: int
    place: str
    status: int


@dataclass(slots=True)
class ClusterPromises(Promises):
    """What callers were told, where and when."""

    heard: list[Heard] = field(default_factory=list)
    hasty: list[str] = field(default_factory=list)
    """Refusals for the moment that did not say when to come again."""

    def hear(self, place: str, asked_at: int, status: int) -> None:
        self.heard.append(Heard(asked_at, moment(), place, status))

    def acknowledged(self) -> list[Heard]:
        return [each for each in self.heard if each.status in (200, 202)]

    def first_after(self, at: int, place: str | None = None) -> int | None:
        """When somebody was first acknowledged a call that he began after `at`."""
        moments = (e.at for e in self.acknowledged() if e.asked_at >= at and place in (None, e.place))
        return min(moments, default=None)


def witnessed(name: str, mode: str, trigger: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """An integration as `calling.integration` makes it, whose functions tell where and when they begin."""
    document = integration(name, mode, trigger, **more)
    for step in document["workflow"]["steps"]:
        if "python" in step:
            step["python"]["function"] = "witnessed:witness"
    return document


def add_integrations(cluster: Cluster) -> None:
    """Lanes, whose callers insist; without order, with a call and a reply; and one that answers its callers.

    Every node knows them when this returns.
    """
    sink = cluster.sink.url
    key = "{{ body.lane }}-{{ body.number }}"
    lanes = {"ordered_delivery": True, "ordering_key": "{{ body.lane }}", "on_exhausted": "skip"}
    program = cluster.places[0].program
    program.add_integration(witnessed("lanes", "async", {**lanes, "deduplicate": {"key": key, "within": "PT1H"}}))
    free = witnessed("free", "async", reply={"url": f"{sink}/reply", "method": "POST"})
    call = {"id": CALL, "http": {"method": "POST", "url": f"{sink}/call", "json": {"event": "{{ event.id }}"}}}
    free["workflow"]["steps"].insert(1, call)
    program.add_integration(free)
    program.add_integration(witnessed("asked", "sync"))
    for place in cluster.places:
        wait_until(partial(_knows_all, place.program))


def _knows_all(program: Program) -> bool:
    """Whether a node has the integrations: it refuses the method, not the address."""
    return all(program.ask("GET", f"/hooks/default/{path}").status == 405 for path in ("lanes", "free", "asked"))


class Spread:
    """Deals the nodes out in turn; one that did not answer is passed over for a moment."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = list(places)
        self._away_until = dict.fromkeys((place.name for place in places), 0)
        self._next = 0

    def take(self) -> Place | None:
        """The next node that is not away; None when all are."""
        for _ in self._places:
            place = self._places[self._next % len(self._places)]
            self._next += 1
            if self._away_until[place.name] <= moment():
                return place
        return None

    def miss(self, place: Place) -> None:
        self._away_until[place.name] = moment() + round(AWAY_SECONDS * 1e6)


@dataclass(frozen=True, slots=True)
class Load:
    """`lanes` callers with a lane each, `free` without order, `asking` that wait for their answers."""

    lanes: int = 8
    free: int = 4
    asking: int = 3
    pause_seconds: float = 0.1
    """Between two calls of one caller."""
    lane_pause_seconds: float = 0.25
    """The same for callers with a lane: it must keep up with them, or waiting in it hides what a fault costs."""


@dataclass(frozen=True, slots=True)
class ClusterCallers:
    places: Sequence[Place]
    promises: ClusterPromises
    load: Load

    async def call_until(self, ended: asyncio.Event) -> None:
        spread, load = Spread(self.places), self.load
        async with aiohttp.ClientSession(timeout=LIMITS) as session, asyncio.TaskGroup() as tasks:
            for path, count in (("lanes", load.lanes), ("free", load.free), ("asked", load.asking)):
                for number in range(count):
                    lane = f"{path[0].upper()}{number}"
                    tasks.create_task(_Caller(session, spread, self, path, lane).call_until(ended))


@dataclass(slots=True)
class _Caller:
    session: aiohttp.ClientSession
    spread: Spread
    callers: ClusterCallers
    path: str
    lane: str
    number: int = 1

    async def call_until(self, ended: asyncio.Event) -> None:
        while not ended.is_set():
            place = self.spread.take()
            if place is None:
                await asyncio.sleep(AWAY_SECONDS / 10)
                continue
            asked_at = moment()
            try:
                status = await self._call(place)
            except (aiohttp.ClientError, TimeoutError):
                status = 0
                self.callers.promises.unclear += 1
                self.spread.miss(place)
            self.callers.promises.hear(place.name, asked_at, status)
            if self.path != "lanes" or status == 202:
                self.number += 1
            load = self.callers.load
            pause = load.lane_pause_seconds if self.path == "lanes" else load.pause_seconds
            await asyncio.sleep(REFUSED_SECONDS if status == 503 else pause)

    async def _call(self, place: Place) -> int:
        promises = self.callers.promises
        limits = ASKING_LIMITS if self.path == "asked" else LIMITS
        body = {"lane": self.lane, "number": self.number}
        url = f"{place.url}/hooks/default/{self.path}"
        async with self.session.post(url, json=body, timeout=limits) as answer:
            if answer.status == 202:
                promises.accept((await answer.json())["id"])
            elif answer.status == 200:
                await answer.read()
                promises.answer(answer.headers["X-Crossdock-Event"])
            elif answer.status == 503:
                if not answer.headers.get("Retry-After", "").isdigit():
                    promises.hasty.append(f"{place.name} {self.path}: {await answer.text()}")
            else:
                promises.unexpected.append(f"{place.name} {self.path}: {answer.status} {await answer.text()}")
            return answer.status
