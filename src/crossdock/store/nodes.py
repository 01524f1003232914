"""Nodes: one row for each start of a process, kept alive by a heartbeat; whatever a dead one held is taken back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    cast,
    delete,
    func,
    insert,
    literal,
    select,
    union_all,
    update,
)

from crossdock.model.epoch import Stance
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
    roles: str = ""
    """Comma-separated."""
    address: str = ""
    is_leaving: bool = False
    stance: str = ""
    """As `write_stance` makes it; empty before the second heartbeat."""
    clock_skew: int = 0
    """Microseconds by which its clock was before the database's at its last heartbeat; negative: behind it."""
    key_ids: str = ""
    """Comma-separated: the master keys with which it opens secrets."""
    hears: bool = True
    """Whether it hears what other nodes tell; else it finds it by looking."""
    lease_seconds: float = 0.0
    """How long it goes on without a heartbeat."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What a node tells of itself with each heartbeat."""

    key_ids: str = ""
    hears: bool = True
    stance: str = ""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a heartbeat learns: whether the node is still known, and all nodes there are."""

    is_known: bool
    nodes: tuple[NodeRow, ...]


def database_now(connection: Connection, now: Instant) -> ColumnElement[int]:
    """The clock that heartbeats are told by.

    Differs: on PostgreSQL the database's, because the nodes' clocks may disagree; on SQLite there is one process.
    """
    if connection.dialect.name == "postgresql":
        return cast(func.extract("epoch", func.clock_timestamp()) * SECOND, BigInteger)
    return literal(now, BigInteger)


def register_node(connection: Connection, row: NodeRow) -> None:
    """Make a node known, alive as of now."""
    at = database_now(connection, row.started_at)
    values = {**asdict(row), "started_at": at, "heartbeat_at": at}
    connection.execute(insert(node).values(values))


def beat(connection: Connection, node_id: str, now: Instant, condition: Condition | None = None) -> Pulse:
    """Say that a node lives, and hear of the others. It is not known any more when others have taken it for dead."""
    at = database_now(connection, now)
    told = asdict(condition) if condition is not None else {}
    statement = (
        update(node)
        .where(node.c.id == node_id)
        .values(heartbeat_at=at, clock_skew=literal(now, BigInteger) - at, **told)
    )
    connection.execute(statement)
    nodes = tuple(list_nodes(connection))  # what is read last counts: a process may be suspended in between
    return Pulse(any(row.id == node_id for row in nodes), nodes)


def write_stance(stance: Stance) -> str:
    """The text of a stance in its node's row."""
    return msgspec.json.encode(stance).decode()


def read_stance(text: str) -> Stance | None:
    """What `write_stance` wrote; None where a node says nothing, or nothing that this version understands."""
    try:
        return msgspec.json.decode(text, type=Stance) if text else None
    except msgspec.DecodeError:
        return None


def announce_leaving(connection: Connection, node_id: str) -> None:
    """Tell the others to count on this node no more: it finishes what it has."""
    connection.execute(update(node).where(node.c.id == node_id).values(is_leaving=True))


def remove_node(connection: Connection, node_id: str) -> None:
    connection.execute(delete(node).where(node.c.id == node_id))


def list_nodes(connection: Connection) -> list[NodeRow]:
    return [NodeRow(*row) for row in connection.execute(select(node).order_by(node.c.started_at, node.c.id))]


def bury(connection: Connection, node_id: str, silent_since: Mapping[str, Instant]) -> list[str]:
    """Remove nodes that have not beaten since these heartbeats; the ids of those that were removed by this.

    On SQLite every other node is dead: the lock file lets one process in.
    """
    if connection.dialect.name == "sqlite":
        return list(connection.execute(delete(node).where(node.c.id != node_id).returning(node.c.id)).scalars())
    buried: list[str] = []
    for dead_id, heartbeat_at in sorted(silent_since.items()):
        still = (node.c.id == dead_id, node.c.heartbeat_at == heartbeat_at)
        buried += connection.execute(delete(node).where(*still).returning(node.c.id)).scalars()
    return buried


def unregistered_holders(connection: Connection) -> Sequence[str]:
    """Nodes that hold runs, deliveries, lanes or bulk jobs without a row of their own: their work is free."""
    known = select(node.c.id)
    held = union_all(
        *(
            select(table.c.lease_node).where(table.c.lease_node.is_not(None), table.c.lease_node.not_in(known))
            for table in (schema.run, schema.delivery, schema.lane, schema.bulk_job)
        )
    ).subquery()
    return list(connection.execute(select(held.c.lease_node).distinct().order_by(held.c.lease_node)).scalars())
