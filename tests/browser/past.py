"""What lies behind the seeded integrations: people, and a day of traffic, written while the program does not run.

Only time can make a past, so it is copied: an event that happened takes place again at earlier moments, with its run,
journal, reply and tries.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from math import pi, sin
from typing import Any

from argon2 import PasswordHasher
from sqlalchemy import Connection, Table, delete, insert, select, update

from crossdock.clock import new_id, system_now
from crossdock.model.time import SECOND, Instant
from crossdock.store import schema
from crossdock.store.database import open_database

PASSWORD = "correct horse battery staple"
"""Of everybody."""
AWAY = "logistics"
"""The slug of the second workspace."""
PEOPLE = {
    "alice": ("Alice Andersson", {"default": "admin", AWAY: "operator"}),
    "bob": ("Bob Baker", {"default": "operator"}),
    "vera": ("Vera Viklund", {"default": "viewer"}),
    "charlie": ("Charlie Chen", {AWAY: "admin"}),
}
HOURS = 24
DAYS_OLD = 21
_TIME = re.compile(r'"(started_at|finished_at|until)":(\d{16})')
_STORY = {"Demo orders": 420, "Synchronise customers": 260, "Item prices": 380, "Shop orders": 90}
"""How many events of a day are added, by integration."""


def add_past(url: str, integrations: dict[str, str]) -> None:
    """Give the database of a program that is not running people and a past."""
    database = open_database(url)
    now = system_now()
    with database.writer.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        _add_people(connection, now)
        _make_older(connection, now)
        chance = random.Random(1)
        for name, count in _STORY.items():
            _repeat(connection, integrations[name], _moments(chance, count, now), chance)
        _add_changes(connection, integrations["Shop orders"], now)
        connection.execute(delete(schema.setting).where(schema.setting.c.name == "traffic counted to"))
        connection.exec_driver_sql("COMMIT")
    database.dispose()


def cookie_of(login: str) -> str:
    """The text of the session that somebody has from the start."""
    return f"the-session-of-{login}-in-tests"


# --- people ----------------------------------------------------------------------------------------------------------


def _add_people(connection: Connection, now: Instant) -> None:
    home = connection.execute(select(schema.workspace.c.id).where(schema.workspace.c.slug == "default")).scalar_one()
    away = new_id("wsp")
    made = {"created_at": now - DAYS_OLD * 86_400 * SECOND}
    connection.execute(insert(schema.workspace).values(id=away, slug=AWAY, name="Logistics", **made))
    password_hash = PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1).hash(PASSWORD)
    for login, (name, roles) in PEOPLE.items():
        user_id = new_id("usr")
        user = {"login": login, "name": name, "password_hash": password_hash, "disabled": False, "updated_at": now}
        connection.execute(insert(schema.user).values(id=user_id, **user, **made))
        places = {home if slug == "default" else away: role for slug, role in roles.items()}
        for place, role in places.items():
            connection.execute(insert(schema.membership).values(user_id=user_id, workspace_id=place, role=role))
        connection.execute(insert(schema.session).values(_session(login, user_id, next(iter(places)), now)))


def _session(login: str, user_id: str, workspace_id: str, now: Instant) -> dict[str, Any]:
    return {
        "hash": hashlib.sha256(cookie_of(login).encode()).digest(),
        "kind": "user",
        "workspace_id": workspace_id,
        "created_at": now,
        "expires_at": now + 12 * 3600 * SECOND,
        "id": new_id("ses"),
        "user_id": user_id,
        "last_seen_at": now,
        "agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0",
        "source_ip": "127.0.0.1",
    }


# --- events ----------------------------------------------------------------------------------------------------------


def _moments(chance: random.Random, count: int, now: Instant) -> list[Instant]:
    """Moments of the last day, most of them in its middle, the newest some minutes ago."""
    length = HOURS * 3600 * SECOND
    found: list[Instant] = []
    while len(found) < count:
        share = chance.random()
        if chance.random() < 0.25 + 0.75 * sin(share * pi) ** 2:
            found.append(now - 300 * SECOND - int(share * (length - 600 * SECOND)))
    return sorted(found)


def _repeat(connection: Connection, integration_id: str, moments: Sequence[Instant], chance: random.Random) -> None:
    """Let the ended events of an integration happen again at these moments."""
    events = _rows(connection, schema.event, schema.event.c.integration_id == integration_id)
    ids = [event["id"] for event in events]
    parts = {
        table: _rows(connection, table, table.c.event_id.in_(ids))
        for table in (schema.run, schema.journal, schema.delivery)
    }
    sent = [row["id"] for row in parts[schema.delivery]]
    parts[schema.attempt] = _rows(connection, schema.attempt, schema.attempt.c.delivery_id.in_(sent))
    copies: dict[Table, list[dict[str, Any]]] = {table: [] for table in (schema.event, *parts)}
    for moment in moments:
        event = chance.choice(events)
        renamed = {event["id"]: _id_at("evt", moment, chance)}
        by = moment - event["received_at"]
        own = [row for row in parts[schema.delivery] if row["event_id"] == event["id"]]
        renamed |= {row["id"]: _id_at("dlv", moment, chance) for row in own}
        copies[schema.event].append(_moved(event, by, renamed))
        for table, rows in parts.items():
            copies[table] += [_moved(row, by, renamed) for row in rows if _is_of(row, renamed)]
    for table, rows in copies.items():
        if rows:
            connection.execute(insert(table), rows)


def _rows(connection: Connection, table: Table, condition: Any) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in connection.execute(select(table).where(condition))]


def _is_of(row: dict[str, Any], renamed: dict[str, str]) -> bool:
    return row.get("event_id") in renamed or row.get("delivery_id") in renamed


def _moved(row: dict[str, Any], by: Instant, renamed: dict[str, str]) -> dict[str, Any]:
    """A row with its times moved and its ids exchanged."""
    return dict(_moved_values(row, by, renamed))


def _moved_values(row: dict[str, Any], by: Instant, renamed: dict[str, str]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if name.endswith("_at") and isinstance(value, int):
            yield name, value + by
        elif name == "steps":
            yield name, _TIME.sub(lambda found: f'"{found[1]}":{int(found[2]) + by}', value)
        else:
            yield name, renamed.get(value, value) if isinstance(value, str) else value


def _id_at(prefix: str, moment: Instant, chance: random.Random) -> str:
    """A time-ordered id as of that moment (UUIDv7)."""
    return f"{prefix}_{moment // 1000:012x}7{chance.getrandbits(12):03x}8{chance.getrandbits(60):015x}"


# --- integrations ----------------------------------------------------------------------------------------------------


def _make_older(connection: Connection, now: Instant) -> None:
    since = now - DAYS_OLD * 86_400 * SECOND
    for table in (schema.integration, schema.connection, schema.notification_webhook, schema.api_key):
        connection.execute(update(table).values(created_at=since))


def _add_changes(connection: Connection, integration_id: str, now: Instant) -> None:
    """Health that went up and down before it came to what it is."""
    hours = {20: ("active", "initializing"), 11: ("warning", "active"), 9.5: ("active", "warning")}
    hours |= {4: ("warning", "active"), 3: ("error", "warning"), 2.5: ("active", "error")}
    chance = random.Random(2)
    for ago, (status, previous) in hours.items():
        at = now - int(ago * 3600) * SECOND
        change = {"id": _id_at("hch", at, chance), "integration_id": integration_id, "at": at}
        issues = "[]" if status == "active" else '[{"status":"warning","message":"the carrier did not answer"}]'
        connection.execute(
            insert(schema.health_change).values(**change, status=status, previous_status=previous, issues=issues)
        )
