"""Bulk jobs: the same thing done to many events. Here they are asked for, looked at, paused and stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from crossdock.clock import new_id
from crossdock.manage.actor import Actor
from crossdock.manage.audit_entries import Subject, entry_of
from crossdock.manage.documents import check_size
from crossdock.manage.events import EventQuery, read_filter
from crossdock.manage.fields import check_line
from crossdock.manage.integrations import IntegrationPorts, Integrations
from crossdock.manage.paging import Page, check_limit, cut_page, read_text_cursor
from crossdock.manage.ports import Stages
from crossdock.manage.refusals import invalid
from crossdock.model.bulk import (
    DEFAULT_RATE,
    MAX_RATE,
    WHAT_IF_RATE,
    BulkItem,
    BulkKind,
    BulkMove,
    BulkOutcome,
    BulkState,
    progress,
)
from crossdock.model.errors import Conflict, FieldError, Invalid, NotFound
from crossdock.model.outcome import Json
from crossdock.model.time import format_instant
from crossdock.store.audit import audited
from crossdock.store.bulk_jobs import BulkJobRow, add_job, items_page, jobs_page, move_job, show_job
from crossdock.store.drafts import draft_of
from crossdock.store.event_bites import position_before_last
from crossdock.store.events import EventFilter
from crossdock.store.versions import version

MOST_UNFINISHED = 10
"""Jobs of one workspace that have not ended."""
MOST_LAST = 100_000
DEFAULT_LAST = 500
_LARGEST_NUMBER = 2**31 - 1


# --- what is asked for -----------------------------------------------------------------------------------------------


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text


Name = Annotated[str, Field(max_length=64), AfterValidator(_storable)]
Text = Annotated[str, Field(max_length=200), AfterValidator(_storable)]
Reason = Annotated[str, AfterValidator(lambda text: check_line(text, 500) if text else text)]
Rate = Annotated[float, Field(gt=0, le=MAX_RATE, allow_inf_nan=False, description="Events per second.")]
VersionNumber = Annotated[int, Field(ge=1, le=_LARGEST_NUMBER)]


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Selection(_Written):
    """Which events: the filters of the list of events. They have to match all that is given."""

    integration: Name | None = Field(default=None, description="An integration's id.")
    status: Text | None = Field(default=None, description="One or several states, divided by commas.")
    q: Text | None = Field(default=None, description="Text in ids, paths and bodies.")
    key: Text | None = Field(default=None, description="An API key's id or label.")
    received_after: Name | None = None
    received_before: Name | None = None
    has_failed_reply: bool | None = None
    method: Text | None = None
    replay_of: Name | None = Field(default=None, description="The id of the event that was replayed.")


class NewBulkReplay(_Written):
    """Handle many events once more."""

    filter: Selection
    workflow_version: VersionNumber | None = Field(
        default=None, description="Instead of the published one; needs `filter.integration`."
    )
    rate: Rate = DEFAULT_RATE
    reason: Reason | None = Field(default=None, description="Why; kept with the job and in the audit log.")


class NewBulkCancel(_Written):
    """Stop the runs of many events."""

    filter: Selection
    rate: Rate = DEFAULT_RATE
    reason: Reason | None = Field(default=None, description="Why; kept with the job and in the audit log.")


class NewWhatIf(_Written):
    """Try past events with another workflow: the draft, a version, or one that is given here."""

    last: Annotated[int, Field(ge=1, le=MOST_LAST)] | None = Field(
        default=None, description=f"The newest events, {DEFAULT_LAST} when there is no filter either."
    )
    filter: Selection | None = Field(default=None, description="Instead of `last`.")
    draft: Literal[True] | None = Field(default=None, description="With the draft, which is also the default.")
    version: VersionNumber | None = None
    workflow: dict[str, Any] | None = None
    rate: Rate = WHAT_IF_RATE


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a new job does. `target` is the workflow that events are tried with."""

    selection: Selection
    options: Json
    rate: float
    reason: str | None = None
    target: Json = None

    def request(self) -> Json:
        """As it is kept with the job."""
        request = {"filter": self.selection.model_dump(exclude_none=True), "options": self.options, "rate": self.rate}
        more = {"reason": self.reason or None, "target": self.target}
        return {**request, **{name: value for name, value in more.items() if value is not None}}


_MOVED: Mapping[str, str] = {"pause": "paused", "resume": "resumed", "cancel": "canceled"}


# --- use cases -------------------------------------------------------------------------------------------------------


class BulkJobs:
    """The use cases around bulk jobs. A job's events are those that have been accepted when it is made."""

    def __init__(self, ports: IntegrationPorts, integrations: Integrations, stages: Stages) -> None:
        self._stages = stages
        self._ports = ports
        self._integrations = integrations

    async def replay(self, actor: Actor, wanted: NewBulkReplay) -> Json:
        """A job that handles events once more, each as a new event. Invalid names the fields that are wrong."""
        actor.require("operator")
        chosen = await self._check_filter(actor, wanted.filter)
        number = wanted.workflow_version
        if number is not None:
            await self._check_version(chosen, number)
        asked = _Asked(chosen, {"workflow_version": number}, wanted.rate, reason=wanted.reason)
        return await self._add(actor, BulkKind.REPLAY, asked)

    async def cancel_events(self, actor: Actor, wanted: NewBulkCancel) -> Json:
        """A job that stops the runs of events that have not ended. Invalid names the fields that are wrong."""
        actor.require("operator")
        chosen = await self._check_filter(actor, wanted.filter)
        return await self._add(actor, BulkKind.CANCEL, _Asked(chosen, {}, wanted.rate, reason=wanted.reason))

    async def what_if(self, actor: Actor, integration_id: str, wanted: NewWhatIf) -> Json:
        """A job that tells what would change for past events with another workflow, which is kept as it is now."""
        actor.require("operator")
        await self._integrations.stored(actor, integration_id)
        if wanted.filter is not None and wanted.last is not None:
            raise _wrong("last", "goes without filter: either the newest events, or those that match")
        if wanted.filter is not None and wanted.filter.integration not in (None, integration_id):
            raise _wrong("filter.integration", "is the one in the address; leave it out")
        selection = (wanted.filter or Selection()).model_copy(update={"integration": integration_id})
        chosen = await self._check_filter(actor, selection)
        last = (wanted.last or DEFAULT_LAST) if wanted.filter is None else None
        named, document = await self._target(actor, integration_id, wanted)
        target = {"integration_id": integration_id, "document": document}
        asked = _Asked(chosen, {"last": last, **named}, wanted.rate, target=target)
        return await self._add(actor, BulkKind.WHAT_IF, asked)

    async def page(
        self,
        actor: Actor,
        *,
        state: str | None = None,
        kind: BulkKind | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """The jobs of the workspace, newest first. `state` may name several, divided by commas."""
        actor.require("viewer")
        size = check_limit(limit)
        states = _states(state) if state is not None else ()
        rows = await self._ports.store.read(
            jobs_page,
            actor.workspace_id,
            states=states,
            kind=kind,
            before=read_text_cursor(cursor),
            limit=size + 1,
        )
        return cut_page(rows, size, lambda row: row.id, job_document)

    async def show(self, actor: Actor, job_id: str) -> Json:
        """One job; NotFound when the workspace has no such one."""
        actor.require("viewer")
        return job_document(await self._row(actor, job_id))

    async def items(
        self,
        actor: Actor,
        job_id: str,
        *,
        outcome: BulkOutcome | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """What each event came to so far, in the order in which the events were accepted."""
        actor.require("viewer")
        await self._row(actor, job_id)
        size = check_limit(limit)
        rows = await self._ports.store.read(
            items_page,
            job_id,
            outcome=outcome,
            after=read_text_cursor(cursor),
            limit=size + 1,
        )
        return cut_page(rows, size, lambda row: row.event_id, item_document)

    async def move(self, actor: Actor, job_id: str, move: Literal["pause", "resume", "cancel"]) -> Json:
        """Pause, resume or cancel a job: no further event is dealt with from the answer on. Conflict when it can't."""
        actor.require("operator")
        row, now = await self._row(actor, job_id), self._ports.now()
        told = entry_of(actor, f"bulk_job.{_MOVED[move]}", Subject(job_id, row.kind.value), now=now, after=_told(row))
        change = audited(move_job, lambda landed: told if landed else None)
        if not await self._ports.store.write(change, job_id, BulkMove(move), now):
            raise Conflict(f"the job is {row.state.value}; it can't {move}")
        if move == "resume":
            self._stages.bulk_job_added()
        return await self.show(actor, job_id)

    # --- checks ----------------------------------------------------------------------------------------------------

    async def _check_filter(self, actor: Actor, selection: Selection) -> Selection:
        """The filter, if it can be used; Invalid names its fields."""
        given = selection.model_dump(exclude_none=True)
        if not given:
            raise _wrong("filter", "is empty: name at least one condition, such as received_before for all up to now")
        try:
            read_filter(EventQuery(**given))
        except Invalid as error:
            raise invalid(
                "the filter", [FieldError(f"filter.{each.field}", each.message) for each in error.errors]
            ) from None
        if selection.integration is not None:
            try:
                await self._integrations.stored(actor, selection.integration)
            except NotFound:
                raise _wrong("filter.integration", f"there is no integration {selection.integration}") from None
        return selection

    async def _check_version(self, selection: Selection, number: int) -> None:
        if selection.integration is None:
            raise _wrong("workflow_version", "needs filter.integration: a version belongs to one integration")
        await self._version(selection.integration, "workflow_version", number)

    async def _version(self, integration_id: str, field: str, number: int) -> Json:
        found = await self._ports.store.read(version, integration_id, number)
        if found is None:
            raise _wrong(field, f"there is no version {number} of this workflow")
        return found.document

    async def _target(self, actor: Actor, integration_id: str, wanted: NewWhatIf) -> tuple[Json, Json]:
        """Which workflow events are tried with: its name in the job, and its document."""
        given = [name for name in ("draft", "version", "workflow") if getattr(wanted, name) is not None]
        if len(given) > 1:
            raise _wrong(given[1], f"goes without {given[0]}: events are tried with one workflow")
        rules = await self._integrations.rules(actor)
        if wanted.workflow is not None:
            check_size(wanted.workflow)
            rules.check_workflow(wanted.workflow)
            return {"workflow": True}, wanted.workflow
        if wanted.version is not None:
            return {"version": wanted.version}, await self._version(integration_id, "version", wanted.version)
        draft = await self._ports.store.read(draft_of, integration_id)
        if draft is None:
            raise _wrong("draft", "the integration has no draft; save one, or give version or workflow")
        rules.check_workflow(draft.document)  # one mistake, told once, and not for each event
        return {"draft": True}, draft.document

    async def _add(self, actor: Actor, kind: BulkKind, asked: _Asked) -> Json:
        selection, options = asked.selection, asked.options
        row = BulkJobRow(
            id=new_id("job"),
            workspace_id=actor.workspace_id,
            kind=kind,
            request=asked.request(),
            created_at=self._ports.now(),
            created_by=actor.name,
        )
        if options.get("last") is not None:
            before = await self._ports.store.read(position_before_last, selection.integration, options["last"])
            row = replace(row, cursor=before)
        told = entry_of(
            actor,
            "bulk_job.created",
            Subject(row.id, kind.value),
            now=row.created_at,
            after=_told(row),
            note=asked.reason or "",
        )
        change = audited(add_job, lambda landed: told if landed else None)
        if not await self._ports.store.write(change, row, MOST_UNFINISHED):
            raise Conflict(
                f"the workspace has {MOST_UNFINISHED} unfinished bulk jobs already; wait for one to end, or cancel one"
            )
        self._stages.bulk_job_added()
        return await self.show(actor, row.id)

    async def _row(self, actor: Actor, job_id: str) -> BulkJobRow:
        row = await self._ports.store.read(show_job, actor.workspace_id, job_id)
        if row is None:
            raise NotFound(f"there is no bulk job {job_id[:64]} here; ended ones are kept for 30 days")
        return row


def filter_of(job: BulkJobRow) -> EventFilter:
    """The events that a job is about: those that match and were there when it was made.

    Without that bound a replay of everything would replay its own replays for ever.
    """
    wanted = read_filter(EventQuery(**job.request["filter"]))
    before = job.created_at if wanted.received_before is None else min(wanted.received_before, job.created_at)
    return replace(wanted, received_before=before)


def _states(text: str) -> tuple[BulkState, ...]:
    words = [word.strip() for word in text.split(",")]
    if not set(words) <= set(BulkState):
        raise _wrong("state", f"must be one or several of {', '.join(BulkState)}")
    return tuple(BulkState(word) for word in words)


def _wrong(field: str, message: str) -> Invalid:
    return invalid("the request", [FieldError(field, message)])


# --- documents -------------------------------------------------------------------------------------------------------


def job_document(row: BulkJobRow) -> Json:
    """A job as people see it."""
    rate = float(row.request["rate"])
    return {
        "id": row.id,
        "kind": row.kind.value,
        "state": row.state.value,
        "filter": row.request["filter"],
        "options": _options(row),
        "rate": rate,
        "reason": row.request.get("reason"),
        "total": row.total,
        "done": row.done,
        "skipped": row.skipped,
        "failed": row.failed,
        "progress": 1.0 if row.state is BulkState.FINISHED else round(progress(row.dealt_with, row.total), 4),
        "remaining_seconds": _remaining(row, rate),
        "waiting_because": row.waiting_because,
        "summary": row.summary or {},
        "error": row.error,
        "created_at": format_instant(row.created_at),
        "created_by": row.created_by,
        "started_at": None if row.started_at is None else format_instant(row.started_at),
        "finished_at": None if row.finished_at is None else format_instant(row.finished_at),
    }


def _options(row: BulkJobRow) -> Json:
    return {name: value for name, value in row.request["options"].items() if value is not None}


def _told(row: BulkJobRow) -> Json:
    """What the audit log keeps of a job: what was asked for."""
    asked = {"kind": row.kind.value, "filter": row.request["filter"], "rate": row.request["rate"]}
    options = _options(row)
    return {**asked, "options": options} if options else asked


def _remaining(row: BulkJobRow, rate: float) -> float | None:
    """Seconds at full speed; None for a job that is not going on, or whose events are still being counted."""
    if row.state is not BulkState.RUNNING or row.waiting_because is not None or row.total is None:
        return None
    return round(max(0, row.total - row.dealt_with) / rate, 1)


def item_document(item: BulkItem) -> Json:
    """What an event came to, as people see it."""
    told = item.document
    return {
        "event_id": item.event_id,
        "outcome": item.outcome.value,
        "new_event_id": told.get("new_event_id"),
        "reason": told.get("reason"),
        "comparison": told.get("comparison"),
    }
