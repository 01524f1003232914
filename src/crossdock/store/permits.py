"""Rate limits that hold for all nodes together: calls that were let in are counted in the database. PostgreSQL only.

Time, which is the database's, is cut into slices of a 64th of the limit's period, and calls are counted by slice. A
slice that overlaps the period before now counts in full, so that no period, wherever it begins, ever has more calls
than the limit lets in; what is lost by that is a 65th of the rate at most. `rate_use.slice` is the end of the slice,
in microseconds: so the counts stay right when a limit's period is changed.

Nodes take turns by a lock for each integration, had before the time is read. The lock is why permits have a connection
and a group commit of their own: in the recorder's transactions one node's calls would wait for another one's disk.
Their commits do not wait for the disk at all; a call is recorded after its permit, and what makes the call durable
makes everything durable that was written before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, delete, select, text
from sqlalchemy.exc import DBAPIError

from crossdock.model.time import SECOND, Instant, later
from crossdock.model.trigger import RateLimit
from crossdock.store import schema
from crossdock.store.apart import Apart
from crossdock.store.database import Database
from crossdock.store.nodes import database_now

SLICES = 64
AT_ONCE = 1_000
"""Permits that are asked for in one transaction."""


@dataclass(frozen=True, slots=True)
class Ask:
    """May a call of this integration come in?"""

    integration_id: str
    limit: RateLimit


@dataclass(frozen=True, slots=True)
class Permit:
    """The answer. `wait` is None when the call may come in, else the seconds until the next one may."""

    at: Instant
    """When that was, by the database's clock."""
    wait: float | None = None


class Permits:
    """Asks for all the permits that are wanted at a time in one transaction; the next ones gather meanwhile."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._apart = Apart(database)
        self._wanted: list[tuple[Ask, asyncio.Future[Permit]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def take(self, integration_id: str, limit: RateLimit) -> Permit:
        """StoreUnavailable when the database can't be asked."""
        answer: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        self._wanted.append((Ask(integration_id, limit), answer))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all())
        return await answer

    async def close(self) -> None:
        await self._apart.close()

    async def _ask_all(self) -> None:
        while self._wanted:
            batch, self._wanted = self._wanted[:AT_ONCE], self._wanted[AT_ONCE:]
            answers: Sequence[Permit | Exception]
            try:
                answers = await self._apart.run(partial(self._transact, [ask for ask, _ in batch]))
            except Exception as error:
                answers = [error] * len(batch)
            for (_, future), answer in zip(batch, answers, strict=True):
                _settle(future, answer)
        self._asking = None

    def _transact(self, asks: Sequence[Ask], connection: Connection) -> list[Permit]:
        self._database.begin(connection)
        try:
            permits = take_permits(connection, asks)
        except DBAPIError:
            raise  # the connection is let go, and the transaction with it
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")
        return permits


def _settle(future: asyncio.Future[Permit], answer: Permit | Exception) -> None:
    if future.done():
        return  # the caller has gone; its permit is spent
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)


# --- in the database -------------------------------------------------------------------------------------------------

_LOCK = text(
    """
    SELECT pg_advisory_xact_lock(places.place), set_config('synchronous_commit', 'off', true)
    FROM (
        SELECT DISTINCT hashtextextended(id, 64) AS place
        FROM unnest(CAST(:ids AS text[])) AS ids(id) ORDER BY place
    ) AS places
    """
)

# Counts of slices to come are those of a clock that was set back, or of a longer period: they count as of now.
_GRANT = text(
    """
    WITH clock AS MATERIALIZED (
        SELECT coalesce(
            CAST(:now AS bigint), CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)
        ) AS now
    ), asked AS (
        SELECT given.*, clock.now, (clock.now / given.width + 1) * given.width AS slice
        FROM clock, unnest(
            CAST(:ids AS text[]), CAST(:requests AS bigint[]), CAST(:periods AS bigint[]), CAST(:widths AS bigint[]),
            CAST(:wanted AS bigint[])
        ) AS given(id, requests, period, width, wanted)
    ), counted AS (
        SELECT asked.*, counts.used, counts.ahead
        FROM asked CROSS JOIN LATERAL (
            SELECT coalesce(sum(count), 0) AS used,
                coalesce(sum(count) FILTER (WHERE rate_use.slice > asked.slice), 0) AS ahead
            FROM rate_use WHERE integration_id = asked.id AND rate_use.slice > asked.now - asked.period
        ) AS counts
    ), granted AS MATERIALIZED (
        SELECT *, least(wanted, greatest(requests - used, 0)) AS granted FROM counted
    ), gone AS (
        DELETE FROM rate_use USING granted
        WHERE granted.ahead > 0 AND integration_id = granted.id AND rate_use.slice > granted.slice
    ), booked AS (
        INSERT INTO rate_use (integration_id, slice, count)
        SELECT id, slice, granted + ahead FROM granted WHERE granted + ahead > 0
        ON CONFLICT (integration_id, slice) DO UPDATE SET count = rate_use.count + excluded.count
    )
    SELECT id, now, CAST(granted AS bigint) AS granted,
        CASE WHEN granted < wanted THEN coalesce(
            (
                SELECT min(older.slice)
                FROM (
                    SELECT rate_use.slice, sum(count) OVER (ORDER BY rate_use.slice) AS passed
                    FROM rate_use
                    WHERE integration_id = granted.id AND rate_use.slice > granted.now - granted.period
                        AND rate_use.slice < granted.slice
                ) AS older
                WHERE granted.used + granted.granted - older.passed < granted.requests
            ),
            slice
        ) + period - now ELSE 0 END AS wait
    FROM granted
    """
)


def take_permits(connection: Connection, asks: Sequence[Ask], now: Instant | None = None) -> list[Permit]:
    """Let in as many calls as the limits allow, the first ones of each integration first; the answers in order.

    To be called first in its transaction. `now` stands for the database's clock where time is not to pass by itself.
    """
    limits = {ask.integration_id: ask.limit for ask in asks}  # the last one: it may have just been changed
    connection.execute(_LOCK, {"ids": list(limits)})
    periods = [max(1, round(limit.per * SECOND)) for limit in limits.values()]
    wanted = dict.fromkeys(limits, 0)
    for ask in asks:
        wanted[ask.integration_id] += 1
    given = {
        "now": now,
        "ids": list(limits),
        "requests": [limit.requests for limit in limits.values()],
        "periods": periods,
        "widths": [-(-period // SLICES) for period in periods],
        "wanted": list(wanted.values()),
    }
    return _spread(asks, {row.id: row for row in connection.execute(_GRANT, given)})


def _spread(asks: Sequence[Ask], rows: Mapping[str, Any]) -> list[Permit]:
    left = {name: row.granted for name, row in rows.items()}
    permits = []
    for ask in asks:
        row = rows[ask.integration_id]
        permits.append(Permit(row.now, None if left[ask.integration_id] > 0 else row.wait / SECOND))
        left[ask.integration_id] -= 1
    return permits


def forget_permits(connection: Connection, periods: Mapping[str, float]) -> int:
    """Delete the counts that are of no use any more; how many. `periods` are those of all limits, in seconds."""
    use = schema.rate_use
    now = int(connection.execute(select(database_now(connection, 0))).scalar_one())
    deleted = 0
    for integration_id in sorted(connection.execute(select(use.c.integration_id).distinct()).scalars()):
        over = later(now, -periods.get(integration_id, 0.0))
        deleted += connection.execute(
            delete(use).where(use.c.integration_id == integration_id, use.c.slice <= over)
        ).rowcount
    return deleted
