"""Telling notification webhooks of changes of health: what is sent now becomes a delivery, what waits a held notice.

It happens in the transaction that records the change, so that none is lost between the two. Who holds which lock: a
change locks its integration's health, then the webhooks against being changed, then what is held for them. Releasing
locks what is held, passing over what others have. Changing a webhook locks it, then what is held for it. `told` and
the deliveries come after all of these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import msgspec
from sqlalchemy import (
    BigInteger,
    Connection,
    Executable,
    Select,
    String,
    Subquery,
    and_,
    delete,
    exists,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.sql.dml import Insert

from crossdock.model.delivery import DeliveryKind
from crossdock.model.health import HealthChange, HealthStatus
from crossdock.model.notification import (
    MOST_HOLD_SECONDS,
    Held,
    HoldReason,
    Standing,
    Told,
    WebhookRules,
    follow,
    next_digest,
    release,
    rules_of,
)
from crossdock.model.states import DELIVERY_MOVES, DeliveryMove, DeliveryState
from crossdock.model.time import Instant, later
from crossdock.observe import WEBHOOK_UNREADABLE, emit
from crossdock.store import schema
from crossdock.store.health_rows import read_changes
from crossdock.store.settle import clean, insert_deliveries
from crossdock.store.statements import RowInsert, RowUpdate

webhook, held_notice, told_table = schema.notification_webhook, schema.held_notice, schema.told
delivery = schema.delivery

NewId: TypeAlias = Callable[[str], str]
UNREADABLE_SECONDS = 60.0
"""How soon a held notice of a webhook that this node can't read is looked at again."""

DIGEST_CHANGES = 1_000
"""At so many changes a digest that waits is shortened to half of them and the last of each integration."""

HASTENED_TRIES = 6
"""After so many tries, news have nothing tried sooner: however many come, the last pauses leave a target its time."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

# --- a change is told ------------------------------------------------------------------------------------------------


def tell_changes(
    connection: Connection, changes: Sequence[HealthChange], now: Instant, *, damping: float, new_id: NewId
) -> int:
    """Tell the webhooks of changes, the oldest first, or hold what is to be told later; how many deliveries it made.

    To be called in the transaction that records the changes, with the health of their integrations locked. `damping`
    is in seconds.
    """
    about = {change.integration_id for change in changes}
    asked = _webhooks_for(connection, about) if about else []
    if not asked:
        return 0
    webhook_ids = {one.webhook_id for one in asked}
    held = connection.execute(_held_for(webhook_ids, {*about, ""})).all()
    standings = _Standings(held, read_told(connection, webhook_ids, about))
    written = _Written(new_id)
    for one in asked:
        key = one.place if one.rules.digest_seconds is None else (one.webhook_id, "")
        for change in (c for c in changes if c.integration_id == one.integration_id):
            before = Standing(standings.told.get(one.place), standings.held.get(key))
            after, is_told = follow(one.rules, change, standing=before, now=now, damping=damping)
            standings.put(after, one.place, key)
            if is_told:
                written.send(one.place, (change.id,), after, now)
    standings.shorten(connection)
    standings.write(connection, new_id)
    written.write(connection)
    return len(written.deliveries)


Place: TypeAlias = tuple[str, str]
"""A webhook's id and an integration's; '' for the webhook's digest."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A webhook that changes of an integration are of interest to."""

    webhook_id: str
    integration_id: str
    rules: WebhookRules

    @property
    def place(self) -> Place:
        return self.webhook_id, self.integration_id


def _webhooks_for(connection: Connection, integration_ids: set[str]) -> list[_Asked]:
    integration = schema.integration
    query = (
        select(webhook.c.id, webhook.c.document, integration.c.id.label("integration_id"), integration.c.type)
        .join(integration, integration.c.workspace_id == webhook.c.workspace_id)
        .where(integration.c.id.in_(integration_ids), webhook.c.active)
        .order_by(webhook.c.id)
        .with_for_update(read=True, of=webhook)
    )
    asked = []
    for row in connection.execute(query):
        rules = _rules(row.id, row.document, active=True)
        if rules is not None and rules.is_about(row.integration_id, row.type):
            asked.append(_Asked(row.id, row.integration_id, rules))
    return asked


def _rules(webhook_id: str, document: str, *, active: bool) -> WebhookRules | None:
    """None for what this node can't read: a newer version's, or damaged. The others must hear of the change."""
    try:
        return rules_of(_decode(document), active)
    except (ValueError, TypeError, AttributeError) as error:
        emit(WEBHOOK_UNREADABLE, webhook=webhook_id, reason=str(error))
        return None


def _held_for(webhook_ids: set[str], integration_ids: set[str]) -> Select[Any]:
    """Waits for whoever is releasing it: what was told is true after that only."""
    return (
        select(held_notice)
        .where(held_notice.c.webhook_id.in_(webhook_ids), held_notice.c.integration_id.in_(integration_ids))
        .order_by(held_notice.c.webhook_id, held_notice.c.integration_id)
        .with_for_update()
    )


# --- what was held is told -------------------------------------------------------------------------------------------


def release_held(connection: Connection, now: Instant, *, damping: float, new_id: NewId, limit: int = 500) -> int:
    """Tell up to `limit` held notices that are due, or hold them on where their webhook's present rules say so; how
    many deliveries it made. Any node may do this at any time: nothing is told twice.
    """
    rows = connection.execute(_due(now, damping, limit)).all()
    if not rows:
        return 0
    webhook_ids, integration_ids = {row.webhook_id for row in rows}, {row.integration_id for row in rows}
    rules = _read_rules(connection, webhook_ids)
    present = {*_present(connection, integration_ids), ""}
    standings = _Standings(rows, read_told(connection, webhook_ids, integration_ids))
    written = _Written(new_id)
    for place, held in list(standings.held.items()):
        told = standings.told.get(place)
        if place[0] not in rules or place[1] not in present:
            standings.put(Standing(told), place, place)
            continue
        after, is_told = _released(rules[place[0]], held, told, now, damping)
        standings.put(after, place, place)
        if is_told:
            written.send(place, held.change_ids, after, now)
    standings.write(connection, new_id)
    written.write(connection)
    return len(written.deliveries)


def _due(now: Instant, damping: float, limit: int) -> Select[Any]:
    """What is due, and what a clock far ahead has held for longer than anything is held."""
    due_at, reason = held_notice.c.due_at, held_notice.c.reason
    is_damped = reason == HoldReason.DAMPING.value
    is_far = or_(due_at > later(now, MOST_HOLD_SECONDS), and_(is_damped, due_at > later(now, damping)))
    query = select(held_notice).where(or_(due_at <= now, is_far)).order_by(due_at).limit(limit)
    return query.with_for_update(skip_locked=True)


def _read_rules(connection: Connection, webhook_ids: set[str]) -> dict[str, WebhookRules | None]:
    query = select(webhook.c.id, webhook.c.document, webhook.c.active).where(webhook.c.id.in_(webhook_ids))
    return {row.id: _rules(row.id, row.document, active=row.active) for row in connection.execute(query)}


def _present(connection: Connection, integration_ids: set[str]) -> set[str]:
    ids = schema.integration.c.id
    return set(connection.execute(select(ids).where(ids.in_(integration_ids))).scalars())


def _released(
    rules: WebhookRules | None, held: Held, told: Told | None, now: Instant, damping: float
) -> tuple[Standing, bool]:
    if rules is None:
        return Standing(told, replace(held, due_at=later(now, UNREADABLE_SECONDS))), False
    return release(rules, held, told=told, now=now, damping=damping)


# --- what is not to be told any more ---------------------------------------------------------------------------------


def drop_notices_of(connection: Connection, webhook_id: str, now: Instant, reason: str) -> int:
    """Forget what is held for a webhook and cancel what waits to be sent; how many deliveries that were.

    For a webhook that is deleted or switched off, in the transaction that does that, after it. What is being sent at
    this moment is sent to its end.
    """
    connection.execute(delete(held_notice).where(held_notice.c.webhook_id == webhook_id))
    connection.execute(delete(told_table).where(told_table.c.webhook_id == webhook_id))
    is_mine = (delivery.c.webhook_id == webhook_id, IS_UNFINISHED_NOTICE, delivery.c.state.in_(_WAITING))
    canceled = {"state": DELIVERY_MOVES[DeliveryMove.CANCEL][1].value, "finished_at": now, "last_error": clean(reason)}
    return connection.execute(update(delivery).where(*is_mine).values(**canceled)).rowcount


IS_UNFINISHED_NOTICE = text("delivery.webhook_id IS NOT NULL AND delivery.finished_at IS NULL")
"""The very words of the index `delivery_notifying`."""
_WAITING = sorted(state.value for state in DELIVERY_MOVES[DeliveryMove.CANCEL][0])


def drop_notices_about(connection: Connection, integration_id: str) -> None:
    """Forget what is held for any webhook about an integration that was removed, and what they were told of it."""
    for table in (held_notice, told_table):
        connection.execute(delete(table).where(table.c.integration_id == integration_id))


def review_notices_of(connection: Connection, webhook_id: str, rules: WebhookRules, now: Instant) -> None:
    """Let the next release judge what is held for a webhook by its rules, which have been changed. A digest comes when
    the next one does by these rules, if not sooner.
    """
    is_digest = held_notice.c.reason == HoldReason.DIGEST.value
    for some, due_at in ((is_digest, next_digest(rules, now)), (~is_digest, now)):
        is_later = (held_notice.c.webhook_id == webhook_id, some, held_notice.c.due_at > due_at)
        connection.execute(update(held_notice).where(*is_later).values(due_at=due_at))


# --- what is written -------------------------------------------------------------------------------------------------


class _Standings:
    """What was told and what is held: as it was read, and as it is to be."""

    def __init__(self, held_rows: Sequence[Any], told: Mapping[Place, Told]) -> None:
        self._ids = {(row.webhook_id, row.integration_id): row.id for row in held_rows}
        self._held_before = {(row.webhook_id, row.integration_id): _held(row) for row in held_rows}
        self._told_before = told
        self.held = dict(self._held_before)
        self.told = dict(told)

    def put(self, standing: Standing, told_at: Place, held_at: Place) -> None:
        if standing.told is not None:
            self.told[told_at] = standing.told
        if standing.held is not None:
            self.held[held_at] = standing.held
        else:
            self.held.pop(held_at, None)

    def shorten(self, connection: Connection) -> None:
        """Leave changes out of digests that have got long: an integration that goes to and fro makes many a second."""
        for place, held in self.held.items():
            before = self._held_before.get(place)
            had = 0 if before is None else len(before.change_ids)
            if len(held.change_ids) // DIGEST_CHANGES > had // DIGEST_CHANGES:  # now and then, as it costs a read
                self.held[place] = replace(held, change_ids=_lasting(connection, held.change_ids))

    def write(self, connection: Connection, new_id: NewId) -> None:
        """Write what has changed."""
        ids = self._ids
        gone = [ids[place] for place in self._held_before if place not in self.held]
        changed = {place: held for place, held in self.held.items() if self._held_before.get(place) != held}
        if gone:
            connection.execute(delete(held_notice).where(held_notice.c.id.in_(gone)))
        _update_held.execute(connection, [_held_row(ids[at], at, held) for at, held in changed.items() if at in ids])
        _insert_held.execute(
            connection, [_held_row(new_id("hld"), at, held) for at, held in changed.items() if at not in ids]
        )
        told = {place: told for place, told in self.told.items() if self._told_before.get(place) != told}
        _put_told.execute(connection, [_told_row(place, one) for place, one in told.items()])


def _lasting(connection: Connection, change_ids: Sequence[str]) -> tuple[str, ...]:
    """The newest of them, and the last one of each integration: what it is in now is told in any case."""
    changes = read_changes(connection, change_ids)
    last = {changes[one].integration_id: one for one in change_ids if one in changes}
    wanted = {*last.values(), *change_ids[-DIGEST_CHANGES // 2 :]}
    return tuple(one for one in change_ids if one in wanted)


def _held(row: Any) -> Held:
    return Held(tuple(_decode(row.change_ids)), HealthStatus(row.status), row.due_at, HoldReason(row.reason))


def _held_row(held_id: str, place: Place, held: Held) -> tuple[Any, ...]:
    ids = _encode(held.change_ids).decode()
    return held_id, *place, ids, held.status.value, held.due_at, held.reason.value


def _or_gather(statement: Insert) -> Executable:
    """Two integrations began a digest at once: the second one adds its changes to those of the first."""
    mine, new = held_notice.c, statement.excluded  # type: ignore[attr-defined]
    before = func.substr(mine.change_ids, 1, func.length(mine.change_ids) - 1)
    return statement.on_conflict_do_update(  # type: ignore[attr-defined, no-any-return]
        index_elements=["webhook_id", "integration_id"],
        set_={"change_ids": before.concat(",").concat(func.substr(new.change_ids, 2)), "status": new.status},
    )


_insert_held = RowInsert(held_notice, _or_gather)


def _build_update_held(v: Subquery) -> Executable:
    new = {name: v.c[name] for name in ("change_ids", "status", "due_at", "reason")}
    return update(held_notice).where(held_notice.c.id == v.c.id).values(**new).returning(held_notice.c.id)


_update_held = RowUpdate({column.name: column.type for column in held_notice.columns}, _build_update_held)


def read_told(connection: Connection, webhook_ids: set[str], integration_ids: set[str]) -> dict[Place, Told]:
    """What these webhooks were told of these integrations."""
    about = (told_table.c.webhook_id.in_(webhook_ids), told_table.c.integration_id.in_(integration_ids))
    return {
        (row.webhook_id, row.integration_id): _told(row) for row in connection.execute(select(told_table).where(*about))
    }


_LAST = "last"


def _told(row: Any) -> Told:
    times = _decode(row.times)
    last = times.pop(_LAST, 0)
    return Told(HealthStatus(row.status), {HealthStatus(name): at for name, at in times.items()}, last)


def _told_row(place: Place, told: Told) -> tuple[Any, ...]:
    return *place, told.status.value, _encode({**told.times, _LAST: told.last}).decode()


def _or_replace(statement: Insert) -> Executable:
    new = statement.excluded  # type: ignore[attr-defined]
    return statement.on_conflict_do_update(  # type: ignore[attr-defined, no-any-return]
        index_elements=["webhook_id", "integration_id"], set_={"status": new.status, "times": new.times}
    )


_put_told = RowInsert(told_table, _or_replace)


class _Written:
    """Deliveries that are to be made, and what they tell."""

    def __init__(self, new_id: NewId) -> None:
        self._new_id = new_id
        self.deliveries: list[tuple[Any, ...]] = []
        self._notifications: list[tuple[Any, ...]] = []
        self._behind: list[tuple[str, str, Instant]] = []
        """Where something waits its turn now, behind what was told before."""

    def send(self, place: Place, change_ids: Sequence[str], standing: Standing, now: Instant) -> None:
        delivery_id = self._new_id("dlv")
        # The order of what a webhook is told of an integration is that of the making, even if the clock was set back.
        made_at = now if standing.told is None else max(now, standing.told.last)
        begun = (DeliveryKind.NOTIFICATION.value, "", None, DeliveryState.QUEUED.value, made_at, now)
        not_yet = (None, None, 0, None, None, None)  # no time limit, no end, no try, no lease, no error
        self.deliveries.append((delivery_id, *begun, *not_yet, place[0]))
        self._notifications.append((delivery_id, *place, _encode(change_ids).decode()))
        self._behind.append((*place, now))

    def write(self, connection: Connection) -> None:
        insert_deliveries.execute(connection, self.deliveries)
        _insert_notifications.execute(connection, self._notifications)
        _hasten.execute(connection, self._behind)


_insert_notifications = RowInsert(schema.notification)


def _build_hasten(v: Subquery) -> Executable:
    """What is to be tried again some time is tried now: news wait behind it, and the target may be well again."""
    about, tried = schema.notification, schema.attempt
    is_before = exists().where(about.c.delivery_id == delivery.c.id, about.c.integration_id == v.c.integration_id)
    is_later = (delivery.c.state == DeliveryState.RETRYING.value, delivery.c.due_at > v.c.now)
    is_last = (tried.c.delivery_id == delivery.c.id, tried.c.number == delivery.c.attempts)
    asks_for_patience = exists().where(*is_last, tried.c.response_headers.contains('["retry-after",'))
    return (
        update(delivery)
        .where(delivery.c.webhook_id == v.c.webhook_id, IS_UNFINISHED_NOTICE, *is_later, is_before)
        .where(delivery.c.attempts < HASTENED_TRIES, ~asks_for_patience)
        .values(due_at=v.c.now)
        .returning(delivery.c.id)
    )


_hasten = RowUpdate({"webhook_id": String(), "integration_id": String(), "now": BigInteger()}, _build_hasten)
