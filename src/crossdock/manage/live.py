"""Live: pages learn that something has changed, without each of them asking.

While somebody listens, one task of this node looks every second and hands what is new to all listeners: counts, never
rows, so that a thousand events a second are one small piece of news. A listener that is slow is given the sum of what
it missed: what waits for it never grows beyond one number for each integration.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field

from crossdock import observe
from crossdock.clock import Clock
from crossdock.manage.actor import Actor
from crossdock.manage.traffic import Traffic
from crossdock.model.errors import StoreUnavailable
from crossdock.model.outcome import Json
from crossdock.model.time import Instant, format_instant
from crossdock.model.traffic import Counts
from crossdock.store import Store
from crossdock.store.live import Marks, read_marks, workspaces_of_integrations
from crossdock.store.traffic import Place

LOOK_SECONDS = 1.0
_SHOWN = ("accepted", "succeeded", "failed", "canceled", "rejected")


@dataclass(slots=True)
class LiveNews:
    """What has happened since the news before, in one workspace."""

    at: Instant
    traffic: dict[str, Counts] = field(default_factory=dict)
    """By integration: how many calls came, and how many runs ended, since the news before."""
    health: dict[str, str] = field(default_factory=dict)
    """By integration: the state that it has come into."""
    configuration_changed: bool = False
    is_behind: bool = False
    """The database can't be asked at the moment."""

    @property
    def is_empty(self) -> bool:
        return not (self.traffic or self.health or self.configuration_changed or self.is_behind)

    def add(self, newer: LiveNews) -> None:
        """Take what happened later in."""
        self.at = newer.at
        for integration_id, counts in newer.traffic.items():
            self.traffic.setdefault(integration_id, Counts()).add(counts)
        self.health |= newer.health
        self.configuration_changed |= newer.configuration_changed
        self.is_behind = newer.is_behind

    def of(self, workspace_id: str, workspaces: Mapping[str, str]) -> LiveNews:
        """The part that concerns a workspace."""
        traffic = {one: counts for one, counts in self.traffic.items() if workspaces.get(one) == workspace_id}
        health = {one: status for one, status in self.health.items() if workspaces.get(one) == workspace_id}
        return LiveNews(self.at, traffic, health, self.configuration_changed, self.is_behind)

    def document(self) -> Json:
        """As JSON, for server-sent events."""
        return {
            "at": format_instant(self.at),
            "traffic": {
                one: {name: getattr(counts, name) for name in _SHOWN} for one, counts in sorted(self.traffic.items())
            },
            "health": dict(sorted(self.health.items())),
            "configuration_changed": self.configuration_changed,
            "is_behind": self.is_behind,
        }


@dataclass(slots=True, eq=False)
class _Listener:
    workspace_id: str
    waiting: LiveNews | None = None
    rung: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, news: LiveNews) -> None:
        if self.waiting is None:
            self.waiting = news
        else:
            self.waiting.add(news)
        self.rung.set()

    def take(self) -> LiveNews | None:
        news, self.waiting = self.waiting, None
        self.rung.clear()
        return news


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the last look saw."""

    marks: Marks
    counts: dict[Place, tuple[int, ...]]


class Live:
    """`watch` gives news as long as the node runs; `stop` ends all watching."""

    def __init__(self, store: Store, traffic: Traffic, clock: Clock) -> None:
        self._store = store
        self._traffic = traffic
        self._clock = clock
        self._listeners: set[_Listener] = set()
        self._looking: asyncio.Task[None] | None = None
        self._workspaces: dict[str, str] = {}
        self._is_stopped = False
        self.has_looked = asyncio.Event()
        """Set once what comes from now on is news."""

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    @property
    def is_looking(self) -> bool:
        return self._looking is not None

    async def watch(self, actor: Actor) -> AsyncGenerator[LiveNews, None]:
        """News of the actor's workspace as they come; nothing while nothing happens. It ends with the node.

        Whoever listens closes it in the end (`contextlib.aclosing`).
        """
        actor.require("viewer")
        listener = _Listener(actor.workspace_id)
        self._listeners.add(listener)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_forever(), name="live")
        try:
            while not self._is_stopped:
                await listener.rung.wait()
                news = listener.take()
                if news is not None:
                    yield news
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                await self._end()

    async def stop(self) -> None:
        """End all watching: the connections of browsers would otherwise hold up the stop of the server."""
        self._is_stopped = True
        for listener in self._listeners:
            listener.rung.set()
        await self._end()

    async def _end(self) -> None:
        looking, self._looking = self._looking, None
        self.has_looked.clear()
        if looking is not None:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking

    # --- looking ---------------------------------------------------------------------------------------------------

    async def _look_forever(self) -> None:
        seen: _Seen | None = None
        while True:
            try:
                seen = await self._look(seen)
                self.has_looked.set()
            except StoreUnavailable:
                self._tell(LiveNews(self._clock(), is_behind=True))
            except Exception as error:
                observe.emit(observe.WATCH_FAILED, error=error, turn="live")
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, before: _Seen | None) -> _Seen:
        """Tell what has happened since the look before."""
        await self._traffic.open.look()
        marks = await self._store.read(read_marks, before.marks.last_change if before is not None else None)
        if before is None or marks.configuration != before.marks.configuration:
            self._workspaces = await self._store.read(workspaces_of_integrations)
        counts = {place: _numbers(one) for place, one in self._traffic.open.chunks.items()}
        if before is not None:
            news = LiveNews(self._clock(), _since(before, counts, marks), marks.changed)
            news.configuration_changed = marks.configuration != before.marks.configuration
            self._tell(news)
        return _Seen(marks, counts)

    def _tell(self, news: LiveNews) -> None:
        for listener in self._listeners:
            own = news.of(listener.workspace_id, self._workspaces)
            if not own.is_empty:
                listener.tell(own)


def _numbers(counts: Counts) -> tuple[int, ...]:
    return counts.accepted, counts.succeeded, counts.failed, counts.canceled


def _since(before: _Seen, counts: Mapping[Place, tuple[int, ...]], marks: Marks) -> dict[str, Counts]:
    """What has come and ended since the look before, by integration."""
    found: dict[str, Counts] = {}
    for place, now in counts.items():
        then = before.counts.get(place, (0, 0, 0, 0))
        if now != then:
            accepted, succeeded, failed, canceled = (max(0, new - old) for new, old in zip(now, then, strict=True))
            found.setdefault(place[0], Counts()).add(Counts(accepted, succeeded, failed, canceled))
    for integration_id, refused in marks.refused.items():
        more = refused - before.marks.refused.get(integration_id, 0)
        if more > 0:
            found.setdefault(integration_id, Counts()).rejected += more
    return found
