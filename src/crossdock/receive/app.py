"""The hot path: `/hooks/{workspace}/{path}` and `/status/{id}`, as one raw ASGI callable."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Protocol

from crossdock import observe
from crossdock.catalog import Catalog, LiveIntegration
from crossdock.clock import Sources, new_id, system_monotonic
from crossdock.event_keys import find_keys
from crossdock.model.errors import (
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
    Refused,
    StoreUnavailable,
    TooLarge,
    TooMany,
    Unauthenticated,
    UnsupportedMedia,
)
from crossdock.model.event import Event, Request
from crossdock.model.outcome import Failure
from crossdock.model.states import FINAL_RUN_STATES, RunState
from crossdock.model.tally import Tally
from crossdock.model.trigger import ResponseMode, sync_timeout
from crossdock.model.verdict import Outcome
from crossdock.observe import Observe
from crossdock.receive import cors
from crossdock.receive.answering import accepted_answer, outcome_answer
from crossdock.receive.answers import Answers
from crossdock.receive.authenticate import authenticate
from crossdock.receive.checks import check_body
from crossdock.receive.rate import open_rates
from crossdock.receive.reading import Disconnected, header, read_body, read_headers, read_query
from crossdock.receive.status import status_answer
from crossdock.server.app import Receive, Scope, Send
from crossdock.server.problems import Answer, problem_response
from crossdock.store import Store
from crossdock.store.accept import Accept, AcceptAnswer, Accepted, DedupeKey, Duplicate, Lease
from crossdock.store.status import EventStatus, read_status, read_statuses

HOOKS = "/hooks/"
STATUS = "/status/"
MAX_PATH_CHARACTERS = 2_048
EVENT = "crossdock.event"
COMMITS_WAITING = 4_096
"""More recorded changes than this in the queue means that the database can't keep up: refuse at the door."""

SILENCE_SECONDS = 2.0
"""A commit that has no answer for so long may get none: whoever comes now is not to wait for it."""

_EVENT_ID = re.compile(r"evt_[0-9a-zA-Z_-]{1,64}")

_REASONS: dict[type[Refused], str] = {
    Unauthenticated: "unauthenticated",
    Forbidden: "disabled",
    MethodNotAllowed: "method",
    TooLarge: "too_large",
    UnsupportedMedia: "media_type",
    Invalid: "invalid",
    TooMany: "rate_limit",
}


class Runs(Protocol):
    """The part of the run stage that a new event needs."""

    def offer(self, live: LiveIntegration) -> Lease | None: ...
    def hand_over(self, accepted: Accepted) -> None: ...
    def withdraw(self, live: LiveIntegration, answer: Duplicate | Exception) -> None: ...


class ReceiveApp:
    """Answers calls of integrations. Every refusal is a problem document; every 2xx is durable."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        runs: Runs,
        answers: Answers,
        observe: Observe,
        *,
        sources: Sources,
        is_full: Callable[[str], bool],
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._runs = runs
        self._answers = answers
        self._observe = observe
        self._clock = sources.now
        self._epoch = sources.epoch
        self._is_shared = store.dialect == "postgresql"
        self._is_full = is_full
        self._rates = open_rates(store, monotonic)
        self.tally = Tally()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        try:
            if path.startswith(HOOKS):
                answer = await self._hook(path, scope, receive)
            else:
                answer = await self._status(path[len(STATUS) :], scope)
        except Disconnected:
            return
        except StoreUnavailable as error:
            self._observe.store_unavailable()
            answer = problem_response(error)
        except Refused as error:
            answer = problem_response(error)
        if scope["method"] == "HEAD":
            answer = answer._replace(body=b"")
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    # --- a call ----------------------------------------------------------------------------------------------------

    async def _hook(self, path: str, scope: Scope, receive: Receive) -> Answer:
        live = self._find(path)
        trigger = live.integration.trigger
        if scope["method"] == "OPTIONS" and trigger.cors.origins:
            return cors.preflight(trigger, scope["headers"])
        try:
            event = await self._admit(live, scope, receive)
            scope[EVENT] = event.id  # for whoever tells of the call
            answer = await self._take_in(live, event)
        except Refused as error:
            self._count_refusal(live, error)
            answer = problem_response(error)
        except StoreUnavailable as error:
            self._observe.store_unavailable()
            answer = problem_response(error)
        return cors.allow(answer, trigger, scope["headers"]) if trigger.cors.origins else answer

    def _find(self, path: str) -> LiveIntegration:
        workspace, _, rest = path[len(HOOKS) :].partition("/")
        snapshot = self._catalog.snapshot
        live = snapshot.by_path.get((workspace, rest))
        if live is not None:
            return live
        if (workspace, rest) in snapshot.broken_paths:
            raise StoreUnavailable("this integration's settings can't be read; an operator has to look at it", 30)
        raise NotFound("no integration has this address")

    async def _admit(self, live: LiveIntegration, scope: Scope, receive: Receive) -> Event:
        """Check the caller, then read and check the input: the event that may be recorded."""
        integration, trigger = live.integration, live.integration.trigger
        headers = scope["headers"]
        now = self._clock()
        if scope["method"] not in trigger.methods:
            raise MethodNotAllowed(f"{scope['method']} is not accepted here", trigger.methods)
        key = authenticate(live, headers, now)
        if not integration.enabled:
            raise Forbidden(f"the integration {integration.name} is disabled")
        await self._check_room(live)
        body = await read_body(receive, headers, trigger)
        client = scope.get("client")
        event = Event(
            id=new_id("evt"),
            integration_id=integration.id,
            received_at=now,
            request=Request(
                method=scope["method"],
                path=scope["path"],
                query=read_query(scope["query_string"], trigger.query_parameters),
                headers=read_headers(headers),
                content_type=header(headers, b"content-type"),
                body=body,
                key_id=key.id if key is not None else None,
                source_ip=client[0] if client else "",
            ),
        )
        check_body(live, event)
        return event

    async def _check_room(self, live: LiveIntegration) -> None:
        integration = live.integration
        if self._store.stalled_seconds > SILENCE_SECONDS or not self._epoch.may_act():
            raise StoreUnavailable("the database does not answer; try again shortly", 1)
        if self._store.waiting > COMMITS_WAITING:
            raise StoreUnavailable("the database can't keep up with the calls; try again shortly", 1)
        if self._is_full(integration.id):
            raise StoreUnavailable(f"the queue of {integration.name} is full; try again later", 5)
        limit = integration.trigger.rate_limit
        if limit is not None:
            wait = await self._rates.admit(integration.id, limit)
            if wait is not None:
                raise TooMany(f"{integration.name} takes {limit.requests} calls in {limit.per:g} s", wait)

    # --- recording and answering -----------------------------------------------------------------------------------

    async def _take_in(self, live: LiveIntegration, event: Event) -> Answer:
        if live.integration.trigger.response_mode is ResponseMode.ASYNC:
            recorded = await self._record(live, event)
            if isinstance(recorded, Duplicate):
                return await self._duplicate_answer(live, recorded.event_id)
            return accepted_answer(live, event.id, event.received_at)
        return await self._answer_sync(live, event)

    def _record(self, live: LiveIntegration, event: Event) -> asyncio.Future[AcceptAnswer]:
        """Record the event; its run starts as soon as it is durable, whether or not the caller still waits."""
        integration = live.integration
        dedupe, lane = find_keys(live, event)
        deduplicate = integration.trigger.deduplicate
        is_awaited = integration.trigger.response_mode is ResponseMode.SYNC
        finished = integration.workflow_number == 0 and integration.reply is None and lane is None
        lease = None if finished else self._runs.offer(live)

        def recorded(answer: AcceptAnswer | Exception) -> None:
            if isinstance(answer, Accepted):
                self._count_accepted(live, event, finished)
                if finished:
                    self._answers.announce(Outcome(event.id))
                else:
                    self._runs.hand_over(answer)
                return
            if isinstance(answer, Duplicate):
                self._observe.duplicate(integration.id)
            if lease is not None:
                self._runs.withdraw(live, answer)

        change = Accept(
            event=event,
            workflow_number=integration.workflow_number,
            lease=lease,
            lane_key=lane,
            dedupe=DedupeKey(dedupe, deduplicate.within) if dedupe is not None and deduplicate is not None else None,
            finished=finished,
            caller_node=self._epoch.node_id if self._is_shared and is_awaited else None,
        )
        return self._store.submit(change, recorded, weight=len(event.request.body))

    async def _answer_sync(self, live: LiveIntegration, event: Event) -> Answer:
        timeout = sync_timeout(live.integration.trigger)
        with self._answers.expect(event.id, timeout) as outcome:
            recorded = await self._record(live, event)
            if isinstance(recorded, Accepted):
                return outcome_answer(live, event.id, event.received_at, await outcome)
        first_id = recorded.event_id
        with self._answers.expect(first_id, timeout) as outcome:
            status = await self._store.read(read_status, first_id)
            if status is not None and (known := _known_outcome(status)) is not None:
                return outcome_answer(live, first_id, status.received_at, known)
            received_at = status.received_at if status is not None else event.received_at
            return outcome_answer(live, first_id, received_at, await outcome)

    async def _duplicate_answer(self, live: LiveIntegration, event_id: str) -> Answer:
        status = await self._store.read(read_status, event_id)
        received_at = status.received_at if status is not None else self._clock()
        return accepted_answer(live, event_id, received_at, duplicate=True)

    async def look_for_answers(self) -> None:
        """Find the outcomes of runs that other nodes worked on while the caller waits here."""
        wanted = self._answers.take_awaited()
        if not wanted:
            return
        for status in (await self._store.read(read_statuses, wanted)).values():
            outcome = _known_outcome(status)
            if outcome is not None:
                self._answers.announce(outcome)

    # --- the status URL --------------------------------------------------------------------------------------------

    async def _status(self, event_id: str, scope: Scope) -> Answer:
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed("the status is read with GET", ("GET", "HEAD"))
        status = await self._store.read(read_status, event_id) if _EVENT_ID.fullmatch(event_id) else None
        live = self._catalog.snapshot.by_id.get(status.integration_id) if status is not None else None
        if status is None or live is None:
            raise NotFound("no event has this id")
        authenticate(live, scope["headers"], self._clock())
        return status_answer(status)

    # --- counting --------------------------------------------------------------------------------------------------

    def _count_accepted(self, live: LiveIntegration, event: Event, finished: bool) -> None:
        self._observe.accepted(live.integration.id)
        if observe.is_debugging():
            observe.emit(observe.EVENT_ACCEPTED, event=event.id, integration=live.integration.name)
        if event.request.key_id is not None:
            self.tally.use_key(event.request.key_id, event.received_at)
        if finished:
            self._observe.run_finished(live.integration.id, "succeeded", 0.0)

    def _count_refusal(self, live: LiveIntegration, error: Refused) -> None:
        reason = _REASONS.get(type(error), "malformed")
        self._observe.rejected(live.integration.id, reason)
        if observe.is_debugging():
            observe.emit(observe.EVENT_REJECTED, integration=live.integration.name, reason=reason, detail=str(error))
        self.tally.reject(live.integration.id, reason, self._clock())


def _known_outcome(status: EventStatus) -> Outcome | None:
    """The outcome of an event that was recorded before, if there is one yet."""
    if status.result is not None:
        return Outcome(status.event_id, status.result)
    if status.state is RunState.SUCCEEDED:
        return Outcome(status.event_id)
    if status.state in FINAL_RUN_STATES or status.is_blocked:
        failure = status.failure or Failure(status.state.value, f"the run was {status.state.value}")
        return Outcome(status.event_id, None, failure)
    return None
