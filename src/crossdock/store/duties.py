"""What is done once for all nodes: whoever takes a duty when it is due, does it this time.

A duty that was never taken is due. It is due again some seconds after it was last taken or kept, by the clock of the
database, whether or not it was done: so a node that dies in the middle leaves it to the others. One that is due later
than that was taken before the clock was set back, and is due, too.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from crossdock.model.time import SECOND, Instant
from crossdock.store import schema
from crossdock.store.nodes import database_now

duty = schema.duty


def due_in(connection: Connection, name: str, every_seconds: float, now: Instant) -> float:
    """In how many seconds a duty is due; 0 when it is."""
    left = duty.c.due_at - database_now(connection, now)
    micros = connection.execute(select(left).where(duty.c.name == name)).scalar()
    if micros is None or not 0 < micros <= every_seconds * SECOND:
        return 0.0
    return float(micros) / SECOND


def take_duty(connection: Connection, name: str, every_seconds: float, node_id: str, now: Instant) -> bool:
    """Take a duty that is due; False when it is not, or another node was faster."""
    at = database_now(connection, now)
    due_at = at + round(every_seconds * SECOND)
    insert: Any = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    statement = insert(duty).values(name=name, due_at=due_at, node_id=node_id)
    statement = statement.on_conflict_do_update(
        index_elements=["name"],
        set_={"due_at": due_at, "node_id": node_id},
        where=(duty.c.due_at <= at) | (duty.c.due_at > due_at),
    )
    return connection.execute(statement.returning(duty.c.name)).first() is not None


def keep_duty(connection: Connection, name: str, every_seconds: float, node_id: str, now: Instant) -> bool:
    """Let a duty be due from now on counted, because it is still being done, or has just been; whether it was ours."""
    due_at = database_now(connection, now) + round(every_seconds * SECOND)
    held = update(duty).where(duty.c.name == name, duty.c.node_id == node_id)
    return connection.execute(held.values(due_at=due_at)).rowcount == 1
