"""Failed tries to sign in, counted by what was tried: what makes guessing slow on all nodes together.

A try is counted before it is judged, in one transaction with the question whether it may be made: so many tries at
once are not more tries than one after the other. A try that succeeds takes its count back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from crossdock.model.time import Instant, later, seconds_between
from crossdock.store.schema import session, user
from crossdock.store.schema import sign_in_failure as failure
from crossdock.store.sessions import BROWSER


@dataclass(frozen=True, slots=True)
class Limit:
    """So many failures cost nothing; then each wait is twice the one before, up to the longest."""

    subject: str
    free: int
    longest_seconds: float
    forgotten_after_seconds: float

    def wait_seconds(self, failures: int, last_at: Instant, now: Instant) -> float:
        """How long the next try has to wait after so many failures, the last of them at an instant; 0: not at all."""
        if failures < self.free:
            return 0.0
        pause = min(self.longest_seconds, 2.0 ** min(failures - self.free, 30))
        # a last failure in the future is of a node whose clock was ahead
        return max(0.0, pause - max(0.0, seconds_between(last_at, now)))


def count_try(connection: Connection, limits: Sequence[Limit], now: Instant) -> float:
    """Count a try by every limit; or, when one of them makes it wait, count nothing: how many seconds. 0: go on.

    `limits` come in the order of their subjects everywhere, so that tries at once don't wait for each other in a ring.
    """
    waits = [_wait(connection, limit, now) for limit in limits]
    if any(waits):
        return max(waits)
    insert = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    for limit in limits:
        statement = insert(failure).values(subject=limit.subject, failures=1, last_at=now)
        statement = statement.on_conflict_do_update(
            index_elements=["subject"], set_={"failures": failure.c.failures + 1, "last_at": now}
        )
        connection.execute(statement)
    return 0.0


def take_back(connection: Connection, subjects: Sequence[str]) -> None:
    """Take one try back that was counted and was none: the user signed in."""
    for subject in subjects:
        fewer = update(failure).where(failure.c.subject == subject, failure.c.failures > 0)
        connection.execute(fewer.values(failures=failure.c.failures - 1))


def forget_failures_of(connection: Connection, subjects: Sequence[str]) -> None:
    """Forget all failures of what was tried."""
    connection.execute(delete(failure).where(failure.c.subject.in_(subjects)))


def forget_failures(connection: Connection, before: Instant, limit: int) -> int:
    """Delete up to `limit` rows whose last failure was before an instant; how many."""
    old = select(failure.c.subject).where(failure.c.last_at < before).limit(limit)
    return connection.execute(delete(failure).where(failure.c.subject.in_(old))).rowcount


def is_signed_in_from(connection: Connection, login: str, source_ip: str, now: Instant) -> bool:
    """Whether the user with this login has a session that was begun from this address."""
    query = (
        select(func.count())
        .select_from(session)
        .join(user, user.c.id == session.c.user_id)
        .where(
            user.c.login == login,
            session.c.kind == BROWSER,
            session.c.source_ip == source_ip,
            session.c.expires_at > now,
        )
    )
    return connection.execute(query).scalar_one() > 0


def _wait(connection: Connection, limit: Limit, now: Instant) -> float:
    row = connection.execute(
        select(failure.c.failures, failure.c.last_at).where(failure.c.subject == limit.subject).with_for_update()
    ).first()
    if row is None:
        return 0.0
    if row.last_at <= later(now, -limit.forgotten_after_seconds):
        connection.execute(delete(failure).where(failure.c.subject == limit.subject))
        return 0.0
    return limit.wait_seconds(row.failures, row.last_at, now)
