"""Events: looking for them, looking at one, replaying, retrying and stopping it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import msgspec

from crossdock.catalog import Catalog, LiveIntegration
from crossdock.clock import Clock, new_id
from crossdock.event_keys import find_keys
from crossdock.manage.actor import Actor
from crossdock.manage.audit_entries import Subject, entry_of
from crossdock.manage.edited_requests import edited_request
from crossdock.manage.event_documents import line_document, story_document
from crossdock.manage.filters import check_filter, read_time
from crossdock.manage.paging import Page, check_limit, read_text_cursor, write_cursor
from crossdock.manage.ports import Stages
from crossdock.manage.starting_points import NumberedWorkflow, taken_over
from crossdock.manage.step_lists import steps_page
from crossdock.manage.story import story_of
from crossdock.model.errors import Conflict, FieldError, Invalid, NotFound
from crossdock.model.event import Event
from crossdock.model.outcome import Json
from crossdock.model.run import JournalEntry
from crossdock.model.states import FINAL_RUN_STATES, RunState
from crossdock.model.time import format_instant, later, parse_duration
from crossdock.model.verdict import CANCELED, Outcome
from crossdock.store import Store
from crossdock.store.accept import Accept, AcceptAnswer, Accepted
from crossdock.store.attention import refused_calls
from crossdock.store.audit import AuditedAccept, AuditEntry, audited
from crossdock.store.claims import cancel_run
from crossdock.store.event_bites import bite_of_events
from crossdock.store.event_search import count_events, list_events
from crossdock.store.events import EventFilter, EventStory, read_body, read_steps, reply_states, show_event
from crossdock.store.fleet import integration_names
from crossdock.store.journal import read_entries
from crossdock.store.lanes import release_run
from crossdock.store.versions import version

SEARCH_CHARACTERS = 200
SHOWN_REFUSED = 100
"""Kinds of refused calls that are told at once."""


@dataclass(frozen=True, slots=True)
class EventQuery:
    """What a list of events is asked for, as people write it. `status` may name several, divided by commas.

    `q` is looked for in ids, paths and bodies (exact bytes, bodies up to 1 MiB). `key` is an API key's id or label.
    Times are RFC 3339; `received_before` itself is not included.
    """

    integration: str | None = None
    status: str | None = None
    q: str | None = None
    key: str | None = None
    received_after: str | None = None
    received_before: str | None = None
    has_failed_reply: bool | None = None
    method: str | None = None
    replay_of: str | None = None


@dataclass(frozen=True, slots=True)
class EventsFound:
    """A page of a list, `next` being the cursor of the next one; None at the end.

    `searched_until` is when the last event came that was looked at (RFC 3339), where the page is short although there
    is more to look at: go on with `next`.
    """

    items: list[Json]
    next: str | None
    looked_at: int
    searched_until: str | None


class Events:
    def __init__(self, store: Store, catalog: Catalog, clock: Clock, stages: Stages) -> None:
        self._store = store
        self._catalog = catalog
        self._clock = clock
        self._stages = stages

    async def page(
        self, actor: Actor, query: EventQuery, *, limit: int | None = None, cursor: str | None = None
    ) -> Page:
        """The newest events that match. A page of a list with filters may be short, even empty, and not be the last."""
        found = await self.look(actor, query, limit=limit, cursor=cursor)
        return Page(found.items, found.next)

    async def look(
        self, actor: Actor, query: EventQuery, *, limit: int | None = None, cursor: str | None = None
    ) -> EventsFound:
        """A page, with how far it has looked."""
        actor.require("viewer")
        wanted, size, after = read_filter(query), check_limit(limit), read_text_cursor(cursor)
        found = await self._store.read(list_events, actor.workspace_id, wanted, limit=size, after=after)
        replies = await self._store.read(reply_states, [line.id for line in found.lines])
        items = [line_document(line, replies.get(line.id)) for line in found.lines]
        until = None if found.searched_until is None else format_instant(found.searched_until)
        return EventsFound(items, None if found.after is None else write_cursor(found.after), found.looked_at, until)

    async def count(self, actor: Actor, query: EventQuery) -> Json:
        """How many events match: exactly, or at least so many with how far was looked. 10,000 are counted at most."""
        actor.require("viewer")
        found = await self._store.read(count_events, actor.workspace_id, read_filter(query))
        until = None if found.searched_until is None else format_instant(found.searched_until)
        return {"count": found.count, "is_exact": found.is_exact, "searched_until": until}

    async def refused(self, actor: Actor, integration: str | None = None) -> list[Json]:
        """Calls that were refused, by integration and reason, the last ones first. They are counted and not stored."""
        actor.require("viewer")
        names = await self._store.read(integration_names, actor.workspace_id)
        ids = [one for one in names if integration in (None, one)]
        return [
            {
                "integration": {"id": one, "name": names[one]},
                "reason": reason,
                "count": count,
                "last_at": format_instant(last_at),
            }
            for one, reason, count, last_at in await self._store.read(refused_calls, ids, SHOWN_REFUSED)
        ]

    def since(self, duration: str) -> str:
        """The time that lies so long before now, as filters take it; Invalid for what is no duration."""
        try:
            return format_instant(later(self._clock(), -parse_duration(duration)))
        except ValueError as error:
            raise Invalid(f"last is not acceptable: {error}", (FieldError("last", str(error)),)) from None

    async def neighbours(self, actor: Actor, event_id: str, query: EventQuery) -> Json:
        """The ids of the events `newer` and `older` than one that match; None where none is near."""
        actor.require("viewer")
        wanted, workspace_id = read_filter(query), actor.workspace_id
        older = await self._store.read(list_events, workspace_id, wanted, limit=1, after=event_id)
        newer = await self._store.read(bite_of_events, workspace_id, wanted, limit=1, after=event_id)
        return {
            "newer": newer.found[0].id if newer.found else None,
            "older": older.lines[0].id if older.lines else None,
        }

    async def show(self, actor: Actor, event_id: str) -> Json:
        """An event with its run, steps, result and reply; NotFound when the workspace has no such one."""
        actor.require("viewer")
        story = await self._story(actor, event_id)
        return await asyncio.to_thread(story_document, story)  # thousands of steps must not hold up the others

    async def story(self, actor: Actor, event_id: str, accepted: str | None = None) -> tuple[Json, Json]:
        """An event's document, and its story as it is now (`manage.story`). `accepted` is how its first time is to be
        written."""
        document = await self.show(actor, event_id)
        return document, story_of(document, self._clock(), accepted)

    async def steps(
        self, actor: Actor, event_id: str, *, prefix: str = "", limit: int | None = None, cursor: str | None = None
    ) -> Page:
        """The steps of an event's run whose paths begin with `prefix`, in the order of the workflow.

        A page of large outputs may hold fewer than `limit`.
        """
        actor.require("viewer")
        size, after = check_limit(limit), read_text_cursor(cursor)
        lines = await self._store.read(read_steps, actor.workspace_id, event_id)
        if lines is None:
            raise _unknown(event_id)
        return await asyncio.to_thread(steps_page, lines, prefix=prefix, after=after, limit=size)

    async def body(self, actor: Actor, event_id: str) -> tuple[str, bytes]:
        """The content type and the bytes that were sent."""
        actor.require("viewer")
        found = await self._store.read(read_body, actor.workspace_id, event_id)
        if found is None:
            raise _unknown(event_id)
        return found

    async def cancel(self, actor: Actor, event_id: str) -> Json:
        """Stop an event's run: at once when it waits, at its next step when a node works on it. Conflict at its end."""
        actor.require("operator")
        story = await self._story(actor, event_id)
        run = story.line.run
        if run.state in FINAL_RUN_STATES:
            raise Conflict(f"the event has {run.state.value} already; there is nothing to cancel")
        told = self._entry(actor, story, "event.canceled")
        stop = audited(cancel_run, lambda became: told if became else None)
        became = await self._store.write(stop, event_id, told.at)
        if became is None:
            raise Conflict("the event came to its end in this moment; there is nothing to cancel")
        if became is RunState.CANCELED:
            self._stages.announce(Outcome(event_id, None, CANCELED))
        else:
            self._stages.cancel_requested(event_id)
        self._stages.run_changed(run.lane_id)
        return await self.show(actor, event_id)

    async def retry(self, actor: Actor, event_id: str) -> Json:
        """Start a run that waits for its next attempt or for an operator now, with all its attempts."""
        actor.require("operator")
        story = await self._story(actor, event_id)
        run, told = story.line.run, self._entry(actor, story, "event.retried")
        if not await self._store.write(
            audited(release_run, lambda landed: told if landed else None), event_id, told.at
        ):
            raise Conflict(
                f"the event is {run.state.value}; only one that waits or is retrying can be started now. "
                "To handle a finished one once more, replay it"
            )
        self._stages.run_changed(run.lane_id)
        return await self.show(actor, event_id)

    async def replay(self, actor: Actor, event_id: str, document: Json) -> Json:
        """Record the same call once more as a new event, with the published workflow or the version asked for.

        `document` may hold `workflow_version`; `from_step`, the step that the new run starts from, with what the
        original run finished before it; and `request`, whose parts replace those of the original (`edited_request`).
        The new event goes through the ordering key, and not through deduplication.
        """
        actor.require("operator")
        story = await self._story(actor, event_id)
        live = self._live(story.event.integration_id)
        number = await self._workflow_number(live, document.get("workflow_version"))
        request = story.event.request
        event = Event(
            id=new_id("evt"),
            integration_id=story.event.integration_id,
            received_at=self._clock(),
            request=edited_request(request, document["request"], live) if document.get("request") else request,
            replay_of=event_id,
            depth=story.event.depth,
        )
        journal = None
        if document.get("from_step") is not None:
            journal = await self._taken_over(document["from_step"], story, live, number)
        after = {"event_id": event.id, "workflow_version": number, **_asked(document)}
        told = self._entry(actor, story, "event.replayed", after)
        await self._record(live, Accept(event, number, journal=journal), told)
        return {"id": event.id, "replay_of": event_id}

    def _live(self, integration_id: str) -> LiveIntegration:
        live = self._catalog.snapshot.by_id.get(integration_id)
        if live is None:
            raise Conflict("the event's integration can't be used at the moment; see its health")
        if not live.integration.enabled:
            raise Conflict(
                f"the integration {live.integration.name} is disabled; enable it before replaying its events"
            )
        return live

    async def _taken_over(
        self, from_step: str, story: EventStory, live: LiveIntegration, number: int
    ) -> JournalEntry | None:
        """What the original run finished before the step that the new run starts from."""
        went_through, goes_through = [
            NumberedWorkflow(n, await self._catalog.workflow(live.integration.id, n))
            for n in (story.line.run.workflow_number, number)
        ]
        journal = (await self._store.read(read_entries, [story.event.id])).get(story.event.id, ())
        return taken_over(from_step, journal, went_through, goes_through)

    async def _record(self, live: LiveIntegration, accept: Accept, told: AuditEntry) -> None:
        event, journal = accept.event, accept.journal
        _, lane = find_keys(live, event)
        runs = self._stages.runs
        lease = runs.offer(live) if runs is not None else None

        def recorded(answer: AcceptAnswer | Exception) -> None:
            if runs is not None and isinstance(answer, Accepted):
                runs.hand_over(answer)
            elif runs is not None and lease is not None and not isinstance(answer, Accepted):
                runs.withdraw(live, answer)

        change = AuditedAccept(replace(accept, lease=lease, lane_key=lane), told)
        weight = len(event.request.body) + (0 if journal is None else len(msgspec.json.encode(journal.steps)))
        await self._store.submit(change, recorded, weight=weight)

    def _entry(self, actor: Actor, story: EventStory, action: str, after: Json = None) -> AuditEntry:
        subject = Subject(story.event.id, story.line.integration_name)
        return entry_of(actor, action, subject, now=self._clock(), after=after)

    async def _workflow_number(self, live: LiveIntegration, wanted: int | None) -> int:
        if wanted is None:
            return live.integration.workflow_number
        if await self._store.read(version, live.integration.id, wanted) is None:
            raise Invalid(
                "the workflow has no such version",
                (FieldError("workflow_version", f"there is no version {wanted} of this workflow"),),
            )
        return wanted

    async def _story(self, actor: Actor, event_id: str) -> EventStory:
        story = await self._store.read(show_event, actor.workspace_id, event_id)
        if story is None:
            raise _unknown(event_id)
        return story


def _asked(document: Json) -> Json:
    """What a replay does otherwise than the original. Of an edited request only which parts: the new event has it."""
    from_step, request = document.get("from_step"), document.get("request")
    asked: dict[str, Json] = {} if from_step is None else {"from_step": from_step}
    edited = sorted(name for name, value in (request or {}).items() if value is not None)
    return {**asked, "edited": edited} if edited else asked


def _unknown(event_id: str) -> NotFound:
    return NotFound(
        f"there is no event {event_id[:64]} here; events are removed when their retention is over, and can't be"
        " reached any more when their integration was deleted"
    )


def read_filter(query: EventQuery) -> EventFilter:
    """The filter that a query means; Invalid names every field that is wrong."""
    errors: list[FieldError] = []
    wanted = EventFilter(
        integration_id=query.integration,
        states=_read_states(query.status, errors),
        search=query.q or "",
        key=query.key,
        received_after=read_time("received_after", query.received_after, errors),
        received_before=read_time("received_before", query.received_before, errors),
        has_failed_reply=query.has_failed_reply,
        method=query.method.upper() if query.method else None,
        replay_of=query.replay_of,
    )
    if len(wanted.search) > SEARCH_CHARACTERS:
        errors.append(FieldError("q", f"must be {SEARCH_CHARACTERS} characters at most"))
    check_filter(errors)
    return wanted


def _read_states(text: str | None, errors: list[FieldError]) -> tuple[RunState, ...]:
    if text is None:
        return ()
    words = [word.strip() for word in text.split(",")]
    if not set(words) <= set(RunState):
        errors.append(FieldError("status", f"must be one or several of {', '.join(RunState)}"))
        return ()
    return tuple(RunState(word) for word in words)
