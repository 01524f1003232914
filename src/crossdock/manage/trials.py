"""Trying workflows out: an event goes through one, dry or live, or along what was recorded; nothing of it is kept.

Whoever tries something sees bodies and may call other systems, so it needs an operator.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Protocol, TypeAlias, TypeVar

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from crossdock.catalog import Catalog, LiveIntegration
from crossdock.clock import Clock, new_id
from crossdock.manage.actor import Actor
from crossdock.manage.audit_entries import Subject, entry_of
from crossdock.manage.documents import CompileWorkflow, check_size
from crossdock.manage.edited_requests import edited_request
from crossdock.manage.previews import NewPreview, Passed, preview, seen_outputs
from crossdock.manage.refusals import invalid
from crossdock.manage.trial_documents import trial_document
from crossdock.model.comparison import Comparison, Passage, Verdict, compare
from crossdock.model.delivery import HandledEvent
from crossdock.model.errors import Conflict, FieldError, Invalid, NotFound
from crossdock.model.event import Event, Request
from crossdock.model.history import ends_of_steps
from crossdock.model.outcome import NULL_RESULT, Failure, Json, Result
from crossdock.model.states import FINAL_RUN_STATES, RunState
from crossdock.model.trial import Told, Trial, TrialMode, TrialStatus
from crossdock.model.verdict import Outcome
from crossdock.model.workflow import lenient_steps
from crossdock.observe import WORKFLOW_TESTED_LIVE, emit
from crossdock.store import Store
from crossdock.store.audit import AuditEntry, record
from crossdock.store.connections import connection_kinds
from crossdock.store.drafts import draft_of
from crossdock.store.journal import first_result
from crossdock.store.past_runs import PastRun, past_run
from crossdock.store.settle import clean
from crossdock.store.versions import version

TRIALS_AT_ONCE = 8
WORKED_AT_ONCE = 200
"""Steps that are looked through between two turns of the event loop."""
_COMPILED_KEPT = 8
_LARGEST_NUMBER = 2**31 - 1


_Made = TypeVar("_Made")
_Values: TypeAlias = dict[str, str | list[str]]


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def _visible(headers: _Values) -> _Values:
    for name, given in headers.items():
        values = given if isinstance(given, list) else [given]
        if not name.isascii() or not name.isprintable() or not all(value.isprintable() for value in values):
            raise ValueError("must be names and values of visible characters")
    return headers


class TrialRequest(_Written):
    """A made-up call, or what is edited in a past one. What is left out is empty, or as it was."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] | None = None
    path: str | None = Field(default=None, max_length=2_048)
    query: _Values | None = Field(default=None, description="A name with several values has a list.")
    headers: Annotated[_Values, AfterValidator(_visible)] | None = None
    body: Any = Field(default=None, description="Text as it is; any other JSON value is sent as JSON.")
    body_encoding: Literal["utf-8", "base64"] | None = Field(
        default=None, description="base64: the text stands for bytes."
    )


class NewTrial(_Written):
    """Try a workflow: the published one, the draft, a version, or one that is given here."""

    mode: Literal["dry_run", "live"] = Field(
        default="dry_run", description="live really performs steps with side effects, each once."
    )
    request: TrialRequest | None = Field(
        default=None, description="A made-up call, or what is edited in that of `event_id`."
    )
    event_id: str | None = Field(default=None, max_length=64, description="A past event.")
    workflow: dict[str, Any] | None = None
    version: int | None = Field(default=None, ge=1, le=_LARGEST_NUMBER)
    draft: Literal[True] | None = None
    recorded: dict[str, Any] = Field(
        default={}, description="What steps with side effects give, by their paths, instead of being performed."
    )
    use_recorded: bool | None = Field(
        default=None,
        description="Take what the past event's run recorded for them. Default: in dry runs of past events.",
    )


class Runner(Protocol):
    """The part of the run stage that walks trials. Workflows are those that the compiler gave."""

    async def attempt(self, event: Event, workflow: Any, told: Told, mode: TrialMode) -> Trial: ...
    async def along(self, event: Event, workflow: Any, told: Told) -> Trial: ...


@dataclass(frozen=True, slots=True)
class TrialPorts:
    """What trials need. `answer` gives what a caller would get for an outcome (None: not in time), `reply` the reply
    that would be sent."""

    store: Store
    catalog: Catalog
    clock: Clock
    compile_workflow: CompileWorkflow
    runner: Runner
    answer: Callable[[LiveIntegration, Event, Outcome | None], Result]
    reply: Callable[[LiveIntegration, HandledEvent], Json]


class Trials:
    def __init__(self, ports: TrialPorts) -> None:
        self._ports = ports
        self._free = asyncio.Semaphore(TRIALS_AT_ONCE)
        self._compiled: OrderedDict[tuple[str, bytes], object] = OrderedDict()

    async def attempt(self, actor: Actor, integration_id: str, wanted: NewTrial) -> Json:
        """What each step, the caller and the receiver of the reply would see.

        NotFound when there is no such integration or event; Invalid names the fields that are wrong, those of the
        workflow such as `workflow.steps[0].transform` included.
        """
        actor.require("operator")
        live = await self._integration(actor, integration_id)
        document = await self._document(live, wanted)
        workflow = await self._compile(actor.workspace_id, document)
        past = await self._past(actor, integration_id, wanted.event_id)
        mode = TrialMode(wanted.mode)
        event = self._event(live, past, wanted, mode)
        if mode is TrialMode.LIVE:
            emit(WORKFLOW_TESTED_LIVE, actor=actor.name, integration=integration_id, test=event.id)
            await self._ports.store.write(record, self._entry(actor, live, event, wanted))  # before anything goes out
        async with self._free:
            trial = await self._ports.runner.attempt(event, workflow, self._told(past, wanted), mode)
        return self._tell(live, event, trial, mode)

    async def compare(self, workspace_id: str, event_id: str, target: Json) -> Json:
        """What would have been different for a finished event with the workflow `target["document"]`.

        Rights were checked when the question was asked. NotFound when the event is not there any more, Invalid when
        the workflow does not compile.
        """
        past = await self._ports.store.read(past_run, workspace_id, event_id)
        if past is None or past.event.integration_id != target["integration_id"]:
            raise _no_event(event_id)
        reason = _why_not_comparable(past)
        if reason is not None:
            return _compared(event_id, Comparison(Verdict.UNKNOWN, reason))
        workflow = await self._compile(workspace_id, target["document"])
        lenient = lenient_steps(await self._ports.catalog.workflow(past.event.integration_id, past.workflow_number))
        passage, told = await _apart(_size(past), lambda: (_passage(past, lenient), _told_by(past, lenient)))
        if passage is None:
            reason = "its end was not that of its last step: somebody decided it, or the program could not go on"
            return _compared(event_id, Comparison(Verdict.UNKNOWN, reason))
        trial = await self._ports.runner.along(past.event, workflow, told)
        comparison = await _apart(len(trial.steps), lambda: compare(passage, trial))
        return _compared(event_id, comparison)

    async def preview(self, actor: Actor, integration_id: str, wanted: NewPreview) -> Json:
        """What expressions give for a past event, and the names that they may begin with.

        Nothing outside is reached: steps give what the event's run recorded of them. NotFound when there is no such
        event; Invalid when it belongs to another integration.
        """
        actor.require("operator")
        live = await self._integration(actor, integration_id)
        past = await self._past(actor, integration_id, wanted.event_id)
        assert past is not None  # it is named
        document = wanted.workflow
        if document is None:
            draft = await self._ports.store.read(draft_of, integration_id)
            document = await self._document(live, NewTrial()) if draft is None else draft.document
        else:
            check_size(document, "the workflow")
        async with self._free:
            outputs = await self._outputs(actor, past, document)
        return await preview(wanted, Passed(past.event, live.integration.name, document, outputs))

    async def _outputs(self, actor: Actor, past: PastRun, document: Json) -> dict[str, Json]:
        """What came of each step; of a workflow that does not compile yet, what the event's own run recorded."""
        try:
            workflow = await self._compile(actor.workspace_id, document)
        except Invalid:
            records = [record for entry in past.journal for record in entry.steps]
            return seen_outputs(ends_of_steps(records, (), past.starts))
        told = await _apart(_size(past), lambda: _told_by(past, lenient_steps(document)))
        trial = await self._ports.runner.along(past.event, workflow, told)
        return seen_outputs({step.record.id: step.record for step in trial.steps})

    def _entry(self, actor: Actor, live: LiveIntegration, event: Event, wanted: NewTrial) -> AuditEntry:
        asked = {"version": wanted.version, "draft": wanted.draft, "workflow": wanted.workflow is not None or None}
        after = {"test_id": event.id, "event_id": wanted.event_id, **asked}
        subject = Subject(live.integration.id, live.integration.name)
        told = {name: value for name, value in after.items() if value is not None}
        return entry_of(actor, "workflow.tested_live", subject, now=self._ports.clock(), after=told)

    # --- what is tried -----------------------------------------------------------------------------------------------

    async def _integration(self, actor: Actor, integration_id: str) -> LiveIntegration:
        live = self._ports.catalog.snapshot.by_id.get(integration_id)
        if live is None or live.integration.workspace != actor.workspace:
            if integration_id in self._ports.catalog.snapshot.broken:
                raise Conflict("the integration can't be used at the moment; see its health")
            raise NotFound(f"there is no integration {integration_id[:64]} in this workspace")
        return live

    async def _document(self, live: LiveIntegration, wanted: NewTrial) -> Json:
        named = {"workflow": wanted.workflow, "version": wanted.version, "draft": wanted.draft}
        given = [name for name, value in named.items() if value is not None]
        if len(given) > 1:
            raise _wrong(given[1], f"goes without {given[0]}: one of workflow, version and draft says what to try")
        if wanted.workflow is not None:
            check_size(wanted.workflow, "the workflow")
            return wanted.workflow
        integration_id = live.integration.id
        if wanted.draft is not None:
            draft = await self._ports.store.read(draft_of, integration_id)
            if draft is None:
                raise _wrong("draft", "is wanted, and the integration has none; give a version or a workflow instead")
            return draft.document
        number = wanted.version or live.integration.workflow_number
        if number == 0:
            return {"steps": []}
        row = await self._ports.store.read(version, integration_id, number)
        if row is None:
            raise _wrong("version", f"is not there: the integration has no workflow version {number}")
        return row.document

    async def _compile(self, workspace_id: str, document: Json) -> object:
        """Kept for a while: what-ifs ask for the same one again and again. Invalid when it is wrong."""
        key = (workspace_id, msgspec.json.encode(document))
        if key not in self._compiled:
            connections = await self._ports.store.read(connection_kinds, workspace_id)
            self._compiled[key] = self._ports.compile_workflow(document, 0, connections=connections)
            if len(self._compiled) > _COMPILED_KEPT:
                self._compiled.popitem(last=False)
        return self._compiled[key]

    async def _past(self, actor: Actor, integration_id: str, event_id: str | None) -> PastRun | None:
        if event_id is None:
            return None
        past = await self._ports.store.read(past_run, actor.workspace_id, event_id) if "\x00" not in event_id else None
        if past is None:
            raise _no_event(event_id)
        if past.event.integration_id != integration_id:
            raise _wrong("event_id", "is an event of another integration")
        return past

    def _event(self, live: LiveIntegration, past: PastRun | None, wanted: NewTrial, mode: TrialMode) -> Event:
        """The event as steps see it. One that is recorded keeps its id, unless other systems would learn of it."""
        now = self._ports.clock()
        if past is None:
            integration = live.integration
            path = f"/hooks/{integration.workspace}/{integration.path}"
            blank = Request(integration.trigger.methods[0], path, (), (), "", b"")
            changes = {"query": {}, "body": ""} | _changes(wanted.request)
            return Event(new_id("test"), integration.id, now, _edited(blank, changes, live))
        event = past.event
        if wanted.request is not None:
            event = replace(event, request=_edited(event.request, _changes(wanted.request), live))
        if mode is TrialMode.LIVE:
            event = replace(event, id=new_id("test"), received_at=now, replay_of=past.event.id)
        return event

    def _told(self, past: PastRun | None, wanted: NewTrial) -> Told:
        uses_record = wanted.mode == "dry_run" if wanted.use_recorded is None else wanted.use_recorded
        if past is None or not uses_record:
            return Told(outputs=wanted.recorded)
        records = ends_of_steps([record for entry in past.journal for record in entry.steps], (), past.starts)
        over = {path: record for path, record in records.items() if record.until is None}
        return Told(outputs=wanted.recorded, records=over, starts=past.starts)

    # --- what is told ------------------------------------------------------------------------------------------------

    def _tell(self, live: LiveIntegration, event: Event, trial: Trial, mode: TrialMode) -> Json:
        is_over = trial.status in (TrialStatus.SUCCEEDED, TrialStatus.FAILED)
        outcome = Outcome(event.id, trial.result, trial.failure) if is_over else None
        reply = None
        if is_over and live.reply is not None:
            handled = HandledEvent(
                event=event,
                succeeded=trial.status is TrialStatus.SUCCEEDED,
                result=trial.result,
                error=trial.failure,
                attempts=1,
                handled_at=self._ports.clock(),
            )
            reply = self._ports.reply(live, handled)
        return trial_document(event, trial, mode, answer=self._ports.answer(live, event, outcome), reply=reply)


def _changes(request: TrialRequest | None) -> dict[str, Json]:
    return {} if request is None else request.model_dump(exclude_none=True)


def _edited(request: Request, changes: dict[str, Json], live: LiveIntegration) -> Request:
    path = changes.get("path")
    edited = edited_request(request, {name: value for name, value in changes.items() if name != "path"}, live)
    return edited if path is None else replace(edited, path=path)


def _why_not_comparable(past: PastRun) -> str | None:
    if past.state not in FINAL_RUN_STATES:
        return f"it is {past.state.value}: it has not ended yet, so there is nothing to compare with"
    if past.state is RunState.CANCELED:
        return "it was canceled, so there is nothing to compare with"
    return None


def _passage(past: PastRun, lenient: frozenset[str]) -> Passage | None:
    """The run as it was recorded; None when its end was not that of its steps."""
    records = ends_of_steps([record for entry in past.journal for record in entry.steps], lenient, past.starts)
    result = first_result(past.journal)
    if past.state is RunState.SUCCEEDED:
        return Passage(True, records, result or NULL_RESULT, None)
    failure = _failure_of_the_workflow(past)
    return None if failure is None else Passage(False, records, result, failure)


def _failure_of_the_workflow(past: PastRun) -> Failure | None:
    """The failure that the workflow ended the run with. An operator's word, or a lost node, leave another one."""
    told = past.failure
    if told is None:
        return None
    if told.step is None:  # what every run of a workflow begins with
        return told if told.kind == "expression" and told.message.startswith("vars.") else None
    records = [record for entry in past.journal for record in entry.steps if record.id == told.step]
    error = records[-1].error if records else None
    if error is None or (clean(error.kind), clean(error.message)) != (told.kind, told.message):
        return None
    return error


def _size(past: PastRun) -> int:
    return sum(len(entry.steps) for entry in past.journal)


def _told_by(past: PastRun, lenient: frozenset[str]) -> Told:
    return Told.by(past.journal, lenient, past.starts)


async def _apart(size: int, work: Callable[[], _Made]) -> _Made:
    """Do the work, in a thread where it is so much that others would have to wait for it."""
    if size > WORKED_AT_ONCE:
        return await asyncio.to_thread(work)
    await asyncio.sleep(0)  # many events are compared in a row
    return work()


def _compared(event_id: str, comparison: Comparison) -> Json:
    return {"event_id": event_id, **comparison.document()}


def _no_event(event_id: str) -> NotFound:
    return NotFound(f"there is no event {event_id[:64]} here; events are removed when their retention is over")


def _wrong(field: str, message: str) -> Exception:
    return invalid("the trial", (FieldError(field, message),))
