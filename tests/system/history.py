"""The fourth account: every change of a lease or state, as PostgreSQL itself saw it, with who made it and when.

Triggers write a row in the transaction of each change, so that what was rolled back is not told. Each node signs in as
a role of its own name, so that a row tells which node's connection made the change, whatever the change claims.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import psycopg
from psycopg import sql

from crossdock.model.states import FINAL_DELIVERY_STATES, FINAL_RUN_STATES
from tests.support.moments import WallClock

ALWAYS = 2**62
FINAL = frozenset({*map(str, FINAL_RUN_STATES), *map(str, FINAL_DELIVERY_STATES)})


@dataclass(frozen=True, slots=True)
class Change:
    """A row of run, delivery, lane, node or journal before and after. Of a journal entry `key` is the event."""

    at: int
    place: str
    """Who was signed in."""
    table: str
    key: str
    state_before: str | None = None
    state: str | None = None
    node_before: str | None = None
    node: str | None = None
    losses: int = 0
    steps: tuple[str, ...] = ()
    """Of a journal entry: the steps that succeeded."""
    transaction: int = 0

    @property
    def is_new(self) -> bool:
        return self.state_before is None

    @property
    def is_rescue(self) -> bool:
        """It takes work from a node that is dead: back to the queue, or to itself in order to end it."""
        return self.state == "queued" or (self.state == "running" and self.node != self.node_before)


@dataclass(frozen=True, slots=True)
class Hold:
    """From `start` to `end` a row was leased to `node`."""

    node: str
    place: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """The life of a node, from its registration until somebody removed it."""

    node: str
    place: str
    start: int
    end: int
    removed_by: str = ""


class History:
    """What the changes, in their order, say about leases and ends."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self.changes = changes

    @cached_property
    def epochs(self) -> dict[str, Epoch]:
        found: dict[str, Epoch] = {}
        for change in self._of("node"):
            if change.state == "added":
                found[change.key] = Epoch(change.key, change.place, change.at, ALWAYS)
            elif change.key in found:
                born = found[change.key]
                found[change.key] = Epoch(born.node, born.place, born.start, change.at, change.place)
        return found

    def place_of(self, node: str | None) -> str:
        return self.epochs[node].place if node in self.epochs else ""

    @cached_property
    def holds(self) -> dict[str, list[Hold]]:
        """Who held each run and delivery, one after the other, by event and delivery id."""
        return self._holds_in("run", "delivery")

    @cached_property
    def lane_holds(self) -> dict[str, list[Hold]]:
        return self._holds_in("lane")

    @cached_property
    def finished(self) -> dict[str, int]:
        """When each run and delivery came to its end for the first time."""
        ends: dict[str, int] = {}
        for change in self._of("run", "delivery"):
            if change.state in FINAL and change.state_before not in FINAL:
                ends.setdefault(change.key, change.at)
        return ends

    @cached_property
    def recorded(self) -> dict[tuple[str, str], int]:
        """When the success of each (event, step) was recorded."""
        found: dict[tuple[str, str], int] = {}
        for change in self._of("journal"):
            for step in change.steps:
                found.setdefault((change.key, step), change.at)
        return found

    def _of(self, *tables: str) -> Iterable[Change]:
        return (change for change in self.changes if change.table in tables)

    def _holds_in(self, *tables: str) -> dict[str, list[Hold]]:
        found: defaultdict[str, list[Hold]] = defaultdict(list)
        open_holds: dict[str, tuple[str, int]] = {}
        for change in self._of(*tables):
            before = open_holds.get(change.key)
            if before is not None and change.node == before[0]:
                continue
            if before is not None:
                node, start = open_holds.pop(change.key)
                found[change.key].append(Hold(node, self.place_of(node), start, change.at))
            if change.node is not None:
                open_holds[change.key] = change.node, change.at
        for key, (node, start) in open_holds.items():
            found[key].append(Hold(node, self.place_of(node), start, ALWAYS))
        return dict(found)


# --- in the database -------------------------------------------------------------------------------------------------

_OBSERVE = """
CREATE SCHEMA witness;
CREATE TABLE witness.change (
    number bigserial PRIMARY KEY, at bigint NOT NULL, place text NOT NULL, "table" text NOT NULL, key text NOT NULL,
    state_before text, state text, node_before text, node text, losses integer NOT NULL DEFAULT 0,
    steps text, transaction bigint NOT NULL
);

CREATE FUNCTION witness.note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) ELSE '{}' END;
    after jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) ELSE '{}' END;
    state text := after->>'state';
BEGIN
    IF TG_TABLE_NAME = 'node' THEN
        state := CASE WHEN TG_OP = 'INSERT' THEN 'added' ELSE 'removed' END;
    END IF;
    INSERT INTO witness.change
        (at, place, "table", key, state_before, state, node_before, node, losses, steps, transaction)
    VALUES (
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, session_user, TG_TABLE_NAME,
        coalesce(after->>'event_id', after->>'id', before->>'id') , before->>'state', state,
        before->>'lease_node', after->>'lease_node', coalesce((after->>'losses')::integer, 0),
        after->>'steps', pg_current_xact_id()::text::bigint
    );
    RETURN NULL;
END $$;

CREATE FUNCTION witness.note_delivery() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO witness.change (at, place, "table", key, state_before, state, node_before, node, transaction)
    VALUES (
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, session_user, 'delivery', NEW.id,
        CASE WHEN TG_OP = 'UPDATE' THEN OLD.state END, NEW.state,
        CASE WHEN TG_OP = 'UPDATE' THEN OLD.lease_node END, NEW.lease_node, pg_current_xact_id()::text::bigint
    );
    RETURN NULL;
END $$;

CREATE TRIGGER witness_new AFTER INSERT ON run FOR EACH ROW EXECUTE FUNCTION witness.note();
CREATE TRIGGER witness AFTER UPDATE ON run FOR EACH ROW
    WHEN ((OLD.state, OLD.lease_token) IS DISTINCT FROM (NEW.state, NEW.lease_token))
    EXECUTE FUNCTION witness.note();
CREATE TRIGGER witness_new AFTER INSERT ON lane FOR EACH ROW EXECUTE FUNCTION witness.note();
CREATE TRIGGER witness AFTER UPDATE ON lane FOR EACH ROW
    WHEN (OLD.lease_token IS DISTINCT FROM NEW.lease_token) EXECUTE FUNCTION witness.note();
CREATE TRIGGER witness AFTER INSERT OR UPDATE ON delivery FOR EACH ROW EXECUTE FUNCTION witness.note_delivery();
CREATE TRIGGER witness AFTER INSERT OR DELETE ON node FOR EACH ROW EXECUTE FUNCTION witness.note();
CREATE TRIGGER witness AFTER INSERT ON journal FOR EACH ROW EXECUTE FUNCTION witness.note();
"""


def add_places(url: str, places: Iterable[str]) -> None:
    """A role for each place, which may do everything: only its name is of interest."""
    with psycopg.connect(url, autocommit=True) as connection:
        there = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
        for place in places:
            if place not in there:
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN SUPERUSER").format(sql.Identifier(place)))


def observe(url: str) -> None:
    """Have a migrated database note its changes from now on."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_OBSERVE)


def read_history(url: str, wall: WallClock) -> History:
    """All changes so far, in the order in which each row has seen them."""
    query = (
        'SELECT at, place, "table", key, state_before, state, node_before, node, losses, transaction, '
        """CASE WHEN "table" = 'journal' THEN
            (SELECT array_agg(step->>'id') FROM jsonb_array_elements(steps::jsonb) AS step
             WHERE step->>'status' = 'succeeded') END
        FROM witness.change ORDER BY number"""
    )
    with psycopg.connect(url) as connection:
        return History([_change_of(row, wall) for row in connection.execute(query)])


def _change_of(row: Sequence[Any], wall: WallClock) -> Change:
    at, place, table, key, state_before, state, node_before, node, losses, transaction, steps = row
    return Change(
        at=wall.moment_of(at),
        place=place,
        table=table,
        key=key,
        state_before=state_before,
        state=state,
        node_before=node_before,
        node=node,
        losses=losses,
        steps=tuple(steps or ()),
        transaction=transaction,
    )
