"""Lanes of ordered integrations: which wait, for what, and the operator's decision about their heads."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from crossdock.clock import Clock
from crossdock.manage.actor import Actor
from crossdock.manage.audit_entries import Subject, entry_of
from crossdock.manage.paging import Page, check_limit, cut_page, read_text_cursor
from crossdock.manage.ports import Stages
from crossdock.model.errors import Conflict, NotFound
from crossdock.model.outcome import Json
from crossdock.model.states import RunState, WaitingFor
from crossdock.model.time import Instant, format_instant
from crossdock.store import Store
from crossdock.store.accept import lane_id
from crossdock.store.audit import audited
from crossdock.store.lanes import LaneState, head_of, list_lanes, park_run, release_run, skip_run
from crossdock.store.webhooks import integration_names

Decision: TypeAlias = Literal["retry", "skip", "park"]

_DECIDED: Mapping[Decision, str] = {"retry": "retried", "skip": "skipped", "park": "parked"}
_PLAIN_KEY = re.compile(r"[A-Za-z0-9._-]{1,100}")


class Lanes:
    def __init__(self, store: Store, clock: Clock, stages: Stages) -> None:
        self._store = store
        self._clock = clock
        self._stages = stages

    async def page(
        self, actor: Actor, integration_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page:
        """The lanes in which something waits, by key."""
        actor.require("viewer")
        await self._integration_name(actor, integration_id)
        size = check_limit(limit)
        after = read_text_cursor(cursor) or ""
        rows = await self._store.read(list_lanes, integration_id, after, size + 1)
        return cut_page(rows, size, lambda row: row.id, lane_document)

    async def decide(
        self,
        actor: Actor,
        integration_id: str,
        lane: str,
        decision: Decision,
        *,
        note: str = "",
        event_id: str | None = None,
    ) -> Json:
        """Retry, skip or park the head of a lane: with `event_id` only while that is the head.

        Conflict when the head is another one, or in a state in which it can't be done.
        """
        actor.require("operator")
        name = await self._integration_name(actor, integration_id)
        wanted = lane_id(integration_id, read_lane_name(lane))
        found = await self._store.read(head_of, wanted)
        if found is None:
            raise NotFound(f"nothing waits in the lane {lane[:120]}; an empty lane needs no decision")
        head = event_id or found
        now, action = self._clock(), f"lane.{_DECIDED[decision]}"
        change, arguments = _change(decision, now, f"{actor.name}: {note}" if note else actor.name)
        head_of_lane = {"lane": lane, "event_id": head}
        subject = Subject(integration_id, name)
        told = entry_of(actor, action, subject, now=now, after=head_of_lane, note=note)
        decided = audited(change, lambda landed: told if landed else None)
        if not await self._store.write(decided, head, *arguments, lane_id=wanted):
            raise Conflict(await self._why_not(wanted, lane, head))
        self._stages.run_changed(wanted)
        self._stages.run_changed(None)
        return {"lane": lane, "event_id": head, "decision": decision}

    async def _why_not(self, wanted: str, lane: str, head: str) -> str:
        found = await self._store.read(head_of, wanted)
        if found == head:
            return f"the head of the lane {lane[:120]}, {head}, is being worked on or has ended; look again"
        now = "nothing waits in it any more" if found is None else f"its head is {found}"
        return f"{head[:64]} is not the head of the lane {lane[:120]} now: {now}; nothing was changed, look again"

    async def _integration_name(self, actor: Actor, integration_id: str) -> str:
        names = await self._store.read(integration_names, actor.workspace_id, {integration_id})
        if integration_id not in names:
            raise NotFound(f"there is no integration {integration_id[:64]} here")
        return names[integration_id]


def _change(decision: Decision, now: Instant, note: str) -> tuple[Callable[..., bool], tuple[Any, ...]]:
    match decision:
        case "retry":
            return release_run, (now,)
        case "skip":
            return skip_run, (now, note)
        case "park":
            return park_run, ()


def lane_document(lane: LaneState) -> Json:
    waits_for_time = lane.head_state is RunState.RETRYING or lane.waiting_for is WaitingFor.DELAY
    return {
        "id": write_lane_name(lane.key),
        "key": lane.key,
        "status": "blocked" if lane.waiting_for is WaitingFor.OPERATOR else lane.head_state.value,
        "waiting": lane.depth - 1,
        "head": {
            "id": lane.head_event_id,
            "status": lane.head_state.value,
            "waiting_for": lane.waiting_for.value if lane.waiting_for else None,
            "received_at": format_instant(lane.head_since),
            "next_attempt_at": format_instant(lane.head_due_at) if waits_for_time else None,
            "attempts": lane.head_attempts,
            "error": None if lane.head_error is None else {"message": lane.head_error},
        },
    }


def write_lane_name(key: str) -> str:
    """A lane's name in an address: its key where that is plain, otherwise `~` and the key in base64url."""
    if _PLAIN_KEY.fullmatch(key) and key not in (".", ".."):
        return key
    return "~" + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def read_lane_name(name: str) -> str:
    """The key that a lane's name stands for; NotFound when it is no name of a lane."""
    if not name.startswith("~"):
        return name
    try:
        padded = name[1:] + "=" * (-len(name[1:]) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise NotFound(f"{name[:120]} is not the name of a lane") from None
