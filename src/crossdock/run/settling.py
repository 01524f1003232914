"""From how a start of a run ended to the change that records it, and what follows once it is durable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from crossdock.catalog import Catalog
from crossdock.clock import Sources, new_id, new_token
from crossdock.model.advance import Broken, RunEnd
from crossdock.model.delivery import HandledEvent, LeasedReply
from crossdock.model.errors import Unrecordable
from crossdock.model.integration import Integration
from crossdock.model.outcome import Failure
from crossdock.model.retry import NO_RETRY
from crossdock.model.run import JournalEntry, LeasedRun
from crossdock.model.states import RunMove, RunState
from crossdock.model.time import Instant, later, seconds_between
from crossdock.model.trigger import OnExhausted
from crossdock.model.value import value
from crossdock.model.verdict import CANCELED, Outcome, Verdict, judge_run
from crossdock.observe import LANE_BLOCKED, LEASE_LOST, RUN_ENDED, RUN_RETRYING, Observe, emit, is_debugging
from crossdock.store.settle import NewReply, Settle


class Senders(Protocol):
    """The part of the deliver stage that a new reply needs: a free sender, and the reply handed to it."""

    def try_reserve(self, integration_id: str) -> bool: ...
    def unreserve(self, integration_id: str) -> None: ...
    def hand_over(self, deliveries: Sequence[LeasedReply]) -> None: ...
    def wake(self) -> None: ...


class Announce(Protocol):
    """Tells whoever waits for an outcome: here, or at the node where the call came in."""

    def __call__(self, outcome: Outcome, caller_node: str | None = None, /) -> None: ...


@value
class Ending:
    """An end that is about to be recorded."""

    run: LeasedRun
    verdict: Verdict
    settle: Settle
    is_substitute: bool = False
    """It stands for an end that the record refused."""


class Settling:
    """Judges ends, builds their changes and acts on those that landed."""

    def __init__(
        self,
        catalog: Catalog,
        senders: Senders,
        announce: Announce,
        observe: Observe,
        *,
        sources: Sources,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """`ended` is called for each run that has ended or blocks its lane: it is quick."""
        self._catalog = catalog
        self._senders = senders
        self._announce = announce
        self._observe = observe
        self._sources = sources
        self._ended = ended

    def end(self, run: LeasedRun, end: RunEnd) -> Ending:
        """Decide what the end means, and what is to be recorded."""
        now = self._sources.now()
        integration = self._integration(run)
        verdict = judge_run(
            end,
            run,
            policy=integration.run_retry() if integration else NO_RETRY,
            on_exhausted=integration.trigger.on_exhausted if integration else OnExhausted.SKIP,
            now=now,
            fraction=self._sources.fraction(),
        )
        return self._ending(run, verdict, now, integration)

    def cancel(self, run: LeasedRun) -> Ending:
        """The end of a run that somebody stopped while it was worked on."""
        return self._ending(run, Verdict(RunMove.CANCEL, failure=CANCELED), self._sources.now(), None)

    def hand_back(self, run: LeasedRun) -> Ending:
        """The run goes back to the queue untried: this process stops."""
        return self._ending(run, Verdict(RunMove.HAND_BACK), self._sources.now(), None)

    def unrecordable(self, ending: Ending, error: Unrecordable) -> Ending:
        """The end of a run whose own end the record refuses: it fails, without what it wanted to leave behind."""
        self._give_back_sender(ending)
        failure = Failure("unrecordable", f"the end of the run can't be recorded: {error}", permanent=True)
        return replace(self.end(ending.run, Broken(None, failure, None)), is_substitute=True)

    def landed(self, ending: Ending, has_landed: bool) -> None:
        """Act on an end: tell the caller, start the reply. Nothing of it when the lease was lost."""
        run, verdict, reply = ending.run, ending.verdict, ending.settle.reply
        if not has_landed:
            emit(LEASE_LOST, kind="run", id=run.event.id)
            self._observe.lease_lost("run")
            self._give_back_sender(ending)
            return
        if verdict.answers_caller:
            self._announce(Outcome(run.event.id, verdict.result, verdict.failure), run.caller_node)
            self._ended()
        if reply is not None and reply.lease is not None:
            self._senders.hand_over([_leased_reply(ending, reply)])
        elif reply is not None:
            self._senders.wake()
        self._count(ending)

    def _give_back_sender(self, ending: Ending) -> None:
        reply = ending.settle.reply
        if reply is not None and reply.lease is not None:
            self._senders.unreserve(ending.run.event.integration_id)

    def _integration(self, run: LeasedRun) -> Integration | None:
        live = self._catalog.snapshot.by_id.get(run.event.integration_id)
        return live.integration if live else None

    def _ending(self, run: LeasedRun, verdict: Verdict, now: Instant, integration: Integration | None) -> Ending:
        reply = None
        if integration is not None and integration.reply is not None and verdict.is_final:
            reply = self._new_reply(run, integration, now)
        settle = Settle(
            event_id=run.event.id,
            integration_id=run.event.integration_id,
            lease_token=run.lease_token,
            move=verdict.move,
            now=now,
            due_at=verdict.due_at,
            failure=verdict.failure,
            entry=_last_entry(verdict),
            reply=reply,
        )
        return Ending(run, verdict, settle)

    def _new_reply(self, run: LeasedRun, integration: Integration, now: Instant) -> NewReply:
        timeout = integration.trigger.request_timeout
        expires_at = None if timeout is None else later(run.event.received_at, timeout)
        is_expired = expires_at is not None and now >= expires_at
        lease = None
        if not is_expired and self._senders.try_reserve(integration.id):
            lease = (self._sources.node_id, new_token())
        return NewReply(new_id("dlv"), now, expires_at, lease)

    def _count(self, ending: Ending) -> None:
        run, move = ending.run, ending.verdict.move
        if ending.verdict.is_final:
            state = {RunMove.SUCCEED: RunState.SUCCEEDED, RunMove.FAIL: RunState.FAILED}.get(move, RunState.CANCELED)
            total = seconds_between(run.event.received_at, ending.settle.now)
            self._observe.run_finished(run.event.integration_id, state, total)
            if is_debugging():
                emit(RUN_ENDED, event=run.event.id, state=state.value, seconds=total)
        elif move is RunMove.RETRY:
            self._observe.run_retried(run.event.integration_id)
            emit(RUN_RETRYING, event=run.event.id, attempts=run.attempts)
        elif move is RunMove.BLOCK:
            emit(LANE_BLOCKED, event=run.event.id, integration=run.event.integration_id)


def _last_entry(verdict: Verdict) -> JournalEntry | None:
    """The entry with the answer that a failed run chose: replies and the status URL read it from there later."""
    entry = verdict.entry
    if verdict.move is not RunMove.FAIL or verdict.result is None or entry is None or entry.result is not None:
        return entry
    return JournalEntry(entry.position, entry.steps, verdict.result)


def _leased_reply(ending: Ending, reply: NewReply) -> LeasedReply:
    run, verdict = ending.run, ending.verdict
    assert reply.lease is not None
    handled = HandledEvent(
        event=run.event,
        succeeded=verdict.move is RunMove.SUCCEED,
        result=verdict.result,
        error=verdict.failure,
        attempts=run.attempts,
        handled_at=ending.settle.now,
    )
    return LeasedReply(
        id=reply.id,
        integration_id=run.event.integration_id,
        created_at=reply.created_at,
        expires_at=reply.expires_at,
        attempts=1,
        lease_token=reply.lease[1],
        handled=handled,
    )
