"""Judging the health of integrations, and what people ask and do about it.

An evaluation is one transaction: what came of runs and replies is taken in and deleted, the health and its issues are
written, the changes are recorded and notification webhooks are told of them, or nothing of it happens. The lock of an
integration's health row makes sure that only one node at a time does this for it; another one passes it over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import ColumnElement, Connection, case, func, select

from crossdock.model.health import Facts, Health, HealthChange, HealthStatus, Issue, Watched
from crossdock.model.health_judging import Judged, NewId, acknowledge, judge, resolve, snooze
from crossdock.model.time import Instant
from crossdock.store import schema
from crossdock.store.health_rows import (
    Kept,
    change_of,
    issue_of,
    lock_kept,
    read_kept,
    write_changes,
    write_health,
    write_issues,
)
from crossdock.store.outcomes import take_outcomes
from crossdock.store.telling import tell_changes

health, health_issue, health_change = schema.health, schema.health_issue, schema.health_change

OUTCOMES_AT_ONCE = 1_000
"""Rows of outcomes that are taken in within one transaction; each tells of one commit."""

# --- judging ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What came of an evaluation. `deliveries` is how many notifications wait to be sent because of it."""

    changes: tuple[HealthChange, ...] = ()
    deliveries: int = 0
    passed_over: frozenset[str] = frozenset()
    """Integrations that another node was judging at the same time, or whose settings are others by now, or gone."""
    has_more: bool = False
    """There may be outcomes left to be taken in."""


@dataclass(frozen=True, slots=True)
class Means:
    """What an evaluation is given besides: ids, and the seconds within which a webhook is told a status once."""

    new_id: NewId
    damping: float = 0.0


def evaluate(
    connection: Connection,
    watched: Sequence[Watched],
    facts: Mapping[str, Facts],
    now: Instant,
    means: Means,
) -> Evaluated:
    """Take in what came of runs and replies of these integrations, and judge them; by time, too, where there are facts
    about them.
    """
    by_id = {one.integration_id: one for one in watched}
    locked = lock_kept(connection, _present(connection, by_id), now, skips_locked=True)
    # Asked again: a node that knows newer settings may have judged by them before this one had the locks.
    held = {name: locked[name] for name in _present(connection, by_id) if name in locked}
    taken = take_outcomes(connection, list(held), OUTCOMES_AT_ONCE)
    work = _Work(connection, now, means)
    for integration_id, kept in held.items():
        outcomes = taken.outcomes.get(integration_id, ())
        judged = judge(kept.health, by_id[integration_id], outcomes, facts.get(integration_id), now, means.new_id)
        work.add(integration_id, kept, judged)
    deliveries = work.write()
    return Evaluated(
        changes=tuple(work.changes),
        deliveries=deliveries,
        passed_over=frozenset(by_id) - held.keys(),
        has_more=taken.has_more,
    )


def _present(connection: Connection, watched: Mapping[str, Watched]) -> list[str]:
    """Those of the integrations whose settings are still those that are known here."""
    owner = schema.integration
    rows = connection.execute(select(owner.c.id, owner.c.revision).where(owner.c.id.in_(list(watched))))
    return [row.id for row in rows if row.revision == watched[row.id].revision]


@dataclass(slots=True)
class _Work:
    """What is to be written at the end of an evaluation."""

    connection: Connection
    now: Instant
    means: Means
    states: dict[str, tuple[Health, int]] = field(default_factory=dict)
    issues: list[tuple[str, Issue]] = field(default_factory=list)
    changes: list[HealthChange] = field(default_factory=list)

    def add(self, integration_id: str, kept: Kept, judged: Judged) -> None:
        """What differs from what is kept."""
        before = {issue.id: issue for issue in kept.health.issues}
        changed = [issue for issue in (*judged.resolved, *judged.health.issues) if before.get(issue.id) != issue]
        self.issues += [(integration_id, issue) for issue in changed]
        self.changes += judged.changes
        if judged.health != kept.health:
            self.states[integration_id] = (judged.health, kept.revision)

    def write(self) -> int:
        """Write it all, and tell the webhooks; how many deliveries that made."""
        write_health(self.connection, self.states, self.now)
        write_issues(self.connection, self.issues)
        write_changes(self.connection, self.changes)
        damping, new_id = self.means.damping, self.means.new_id
        return tell_changes(self.connection, self.changes, self.now, damping=damping, new_id=new_id)


# --- what people do --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Acted:
    """What became of an issue; None when it is not open (any more)."""

    issue: Issue | None
    changes: tuple[HealthChange, ...] = ()
    deliveries: int = 0


@dataclass(frozen=True, slots=True)
class Deed:
    """Who does something about an issue, when, and why."""

    by: str
    note: str | None
    now: Instant


def acknowledge_issue(connection: Connection, integration_id: str, issue_id: str, deed: Deed) -> Issue | None:
    """Note that somebody has seen an open issue; None when it is not open. The state stays as it is."""
    kept = lock_kept(connection, [integration_id], deed.now, skips_locked=False)[integration_id]
    issue = kept.health.issue(issue_id)
    if issue is None:
        return None
    seen = acknowledge(issue, deed.by, deed.note, deed.now)
    write_issues(connection, [(integration_id, seen)])
    return seen


def snooze_issue(
    connection: Connection, watched: Watched, issue_id: str, until: Instant | None, deed: Deed, means: Means
) -> Acted:
    """Let an open issue not count for the state until a moment (None: let it count again), and judge anew."""

    def change(known: Health, issue: Issue) -> tuple[Health, Issue]:
        asleep = snooze(issue, until, deed.by, deed.note, deed.now)
        issues = tuple(asleep if one.id == issue.id else one for one in known.issues)
        return replace(known, issues=issues), asleep

    return _act(connection, watched, issue_id, deed, means, change)


def resolve_issue(connection: Connection, watched: Watched, issue_id: str, deed: Deed, means: Means) -> Acted:
    """End an open issue, forget what was counted under its key so far, and judge anew."""

    def change(known: Health, issue: Issue) -> tuple[Health, Issue]:
        return resolve(known, issue, deed.by, deed.note, deed.now)

    return _act(connection, watched, issue_id, deed, means, change)


def _act(
    connection: Connection,
    watched: Watched,
    issue_id: str,
    deed: Deed,
    means: Means,
    change: Callable[[Health, Issue], tuple[Health, Issue]],
) -> Acted:
    """Judge by what has happened so far, change the issue, and judge by that."""
    own, now = watched.integration_id, deed.now
    kept = lock_kept(connection, [own], now, skips_locked=False)[own]
    outcomes = take_outcomes(connection, [own], OUTCOMES_AT_ONCE).outcomes.get(own, ())
    so_far = judge(kept.health, watched, outcomes, None, now, means.new_id)
    work = _Work(connection, now, means)
    issue = so_far.health.issue(issue_id)
    if issue is None:
        work.add(own, kept, so_far)
        return Acted(None, tuple(work.changes), work.write())
    changed, acted_on = change(so_far.health, issue)
    judged = judge(changed, watched, (), None, now, means.new_id)
    ended = (acted_on,) if acted_on.resolved_at is not None else ()
    together = Judged(judged.health, so_far.changes + judged.changes, so_far.resolved + ended + judged.resolved)
    work.add(own, kept, together)
    return Acted(judged.health.issue(issue_id) or acted_on, tuple(work.changes), work.write())


# --- what people ask -------------------------------------------------------------------------------------------------


def read_health(connection: Connection, integration_id: str) -> Health | None:
    """What is known of an integration, with its open issues; None when it was never judged."""
    kept = read_kept(connection, [integration_id]).get(integration_id)
    return kept.health if kept is not None else None


@dataclass(frozen=True, slots=True)
class StatusSince:
    """An integration's state in a word, since when, and how many issues are open."""

    status: HealthStatus
    since: Instant
    open_issues: int


def health_of_many(connection: Connection, integration_ids: Sequence[str]) -> dict[str, StatusSince]:
    """The states of integrations as they were judged last; those that were never judged are left out."""
    is_open = (health_issue.c.integration_id == health.c.integration_id, health_issue.c.resolved_at.is_(None))
    count = select(func.count()).select_from(health_issue).where(*is_open).scalar_subquery()
    query = select(health.c.integration_id, health.c.status, health.c.since, count.label("open_issues"))
    rows = connection.execute(query.where(health.c.integration_id.in_(integration_ids)))
    return {r.integration_id: StatusSince(HealthStatus(r.status), r.since, r.open_issues) for r in rows}


def effective_status() -> ColumnElement[str]:
    """The state of the integration in the row around it, for lists: what was judged last, but for what its own row
    says by now. Belongs into a query of `schema.integration`.
    """
    owner = schema.integration
    judged = select(health.c.status).where(health.c.integration_id == owner.c.id).scalar_subquery()
    unknown = HealthStatus.INITIALIZING.value
    return case(
        (~owner.c.enabled, HealthStatus.DISABLED.value),
        (judged == HealthStatus.DISABLED.value, unknown),  # it was switched on a moment ago
        else_=func.coalesce(judged, unknown),
    )


def issues_of(
    connection: Connection, integration_id: str, *, are_open: bool, before: str | None = None, limit: int = 100
) -> list[Issue]:
    """An integration's open issues, or those that are over: the newest first, those older than the issue `before`."""
    query = select(health_issue).where(health_issue.c.integration_id == integration_id)
    query = query.where(health_issue.c.resolved_at.is_(None) if are_open else health_issue.c.resolved_at.is_not(None))
    if before is not None:
        query = query.where(health_issue.c.id < before)
    return [issue_of(row) for row in connection.execute(query.order_by(health_issue.c.id.desc()).limit(limit))]


def history_page(
    connection: Connection, integration_id: str, *, before: str | None = None, limit: int = 100
) -> list[HealthChange]:
    """The changes of an integration's health: the newest first, those older than the change `before`."""
    query = select(health_change).where(health_change.c.integration_id == integration_id)
    if before is not None:
        query = query.where(health_change.c.id < before)
    return [change_of(row) for row in connection.execute(query.order_by(health_change.c.id.desc()).limit(limit))]
