"""Nodes: one row for each start of a process, kept alive by a heartbeat; whatever a dead one held is taken back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, ColumnElement, Connection, cast, delete, func, insert, literal, select, update

from crossdock.model.time import SECOND, Instant
from crossdock.store import schema

node = schema.node


@dataclass(frozen=True, slots=True)
class NodeRow:
    id: str
    host: str
    pid: int
    version: str
    started_at: Instant
    heartbeat_at: Instant


def database_now(connection: Connection, now: Instant) -> ColumnElement[int]:
    """The clock that leases are judged by.

    Differs: on PostgreSQL the database's, because the nodes' clocks may disagree; on SQLite there is one process.
    """
    if connection.dialect.name == "postgresql":
        return cast(func.extract("epoch", func.clock_timestamp()) * SECOND, BigInteger)
    return literal(now, BigInteger)


def register_node(connection: Connection, row: NodeRow) -> None:
    """Make a node known, alive as of now."""
    at = database_now(connection, row.started_at)
    connection.execute(
        insert(node).values(id=row.id, host=row.host, pid=row.pid, version=row.version, started_at=at, heartbeat_at=at)
    )


def beat(connection: Connection, node_id: str, now: Instant) -> bool:
    """Say that a node lives; False when others have taken it for dead."""
    statement = update(node).where(node.c.id == node_id).values(heartbeat_at=database_now(connection, now))
    return connection.execute(statement).rowcount == 1


def remove_node(connection: Connection, node_id: str) -> None:
    connection.execute(delete(node).where(node.c.id == node_id))


def list_nodes(connection: Connection) -> list[NodeRow]:
    return [NodeRow(*row) for row in connection.execute(select(node).order_by(node.c.started_at))]


def bury_dead(connection: Connection, node_id: str, now: Instant, ttl_seconds: float) -> list[str]:
    """Remove the nodes whose heartbeat is older than the lease's time to live; their ids.

    On SQLite every other node is dead: the lock file lets one process in.
    """
    if connection.dialect.name == "sqlite":
        dead = node.c.id != node_id
    else:
        oldest = database_now(connection, now) - round(ttl_seconds * SECOND)
        dead = (node.c.id != node_id) & (node.c.heartbeat_at < oldest)
    return list(connection.execute(delete(node).where(dead).returning(node.c.id)).scalars())


def unregistered_holders(connection: Connection) -> Sequence[str]:
    """Nodes that hold runs, deliveries, lanes or bulk jobs without a row of their own: a rescue was interrupted."""
    known = select(node.c.id)
    found: set[str] = set()
    for table in (schema.run, schema.delivery, schema.lane, schema.bulk_job):
        held = select(table.c.lease_node).where(table.c.lease_node.is_not(None), table.c.lease_node.not_in(known))
        found.update(connection.execute(held.distinct()).scalars())
    return sorted(found)
