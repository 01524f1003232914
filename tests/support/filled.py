"""A SQLite database with rows in every table, for what goes through all of them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from crossdock.model.states import FINAL_RUN_STATES, RunState
from crossdock.store import schema
from crossdock.store.database import Database, open_database
from crossdock.store.migrate import migrate
from crossdock.vault import Vault

VAULT_KEY = bytes(range(32))
OLD_NODE = "node_of_the_old_server"
ODD_TEXTS = ("", "plain", "a|b", "1:x", "Größe 日本 🚚", "line\nbreak\ttab \\N \\", "quote \" and '")
AT = 1_764_000_000_000_000


def filled_database(path: Path, events: int = 40, body_bytes: int = 200) -> str:
    """A database at `path` with so many events in all states and rows in all other tables; its URL."""
    url = f"sqlite:///{path}"
    database = open_database(url)
    migrate(database)
    with database.writer.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        for table, rows in _setup():
            connection.execute(insert(table), rows)
        fill_events(connection, events, body_bytes)
        connection.exec_driver_sql("COMMIT")
    database.dispose()
    return url


def contents(database: Database, table: Table) -> list[tuple[Any, ...]]:
    """All rows of a table, in an order that does not depend on the database."""
    with database.reading() as connection:
        return sorted((tuple(row) for row in connection.execute(select(table))), key=repr)


def fill_events(connection: Connection, count: int, body_bytes: int, first: int = 0) -> None:
    """Events with their runs in all states in turn, journals, lanes, dedupe keys, replies and attempts."""
    chance = random.Random(first)
    for start in range(first, first + count, 1_000):
        numbers = range(start, min(start + 1_000, first + count))
        connection.execute(insert(schema.event), [_event(number, chance.randbytes(body_bytes)) for number in numbers])
        connection.execute(insert(schema.run), [_run(number) for number in numbers])
        connection.execute(insert(schema.journal), [_journal(number) for number in numbers])
        connection.execute(insert(schema.dedupe), [_dedupe(number) for number in numbers])
        connection.execute(insert(schema.delivery), [_delivery(number) for number in numbers])
        connection.execute(insert(schema.attempt), [_attempt(number) for number in numbers])


def _setup() -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    made = {"created_at": AT, "updated_at": AT + 1}
    by = {"created_at": AT, "created_by": "alice"}
    yield schema.workspace, [{"id": "wsp_1", "slug": "default", "name": "Default", "created_at": AT}]
    shared = {"workspace_id": "wsp_1", "type": "webhook-trigger", "document": "{}", "workflow_number": 1, **made}
    yield (
        schema.integration,
        [
            {"id": "int_a", "name": "Größe", "path": "a", "enabled": True, "revision": 3, **shared},
            {"id": "int_b", "name": "b", "path": "b/c", "enabled": False, "revision": 1, **shared},
        ],
    )
    yield schema.workflow_version, [{"integration_id": "int_a", "number": n, "document": "{}", **by} for n in (1, 2)]
    published = {"integration_id": "int_a", "published_at": AT, "published_by": "alice"}
    yield (
        schema.workflow_publication,
        [
            {"position": 1, "number": 1, "returns_to": None, **published},
            {"position": 2, "number": 1, "returns_to": 1, **published},
        ],
    )
    draft = {"integration_id": "int_a", "document": "{}", "based_on": 1, "revision": AT, "updated_at": AT}
    yield schema.workflow_draft, [{**draft, "updated_by": "bob"}]
    connection = {"id": "con_1", "workspace_id": "wsp_1", "name": "erp", "kind": "http", "document": "{}"}
    yield schema.connection, [{**connection, "revision": 1, **made}]
    key = {"id": "key_1", "integration_id": "int_a", "label": "caller", "hint": "xdk", "hash": bytes(32), "calls": 7}
    yield schema.api_key, [{**key, "disabled": True, "created_at": AT, "expires_at": None, "last_used_at": AT}]
    sealed = Vault([VAULT_KEY]).seal(b"hunter2", "int_a/platform_token")
    secret = {"owner_id": "int_a", "name": "platform_token", "key_id": sealed.key_id, "sealed": sealed.sealed}
    yield schema.secret, [{**secret, "updated_at": AT}]
    token = {"id": "tok_1", "workspace_id": "wsp_1", "name": "ci", "role": "viewer", "hint": "x", "hash": b"\x00\xff"}
    yield schema.api_token, [{**token, "created_at": AT, "expires_at": None, "last_used_at": None}]
    yield from _people()
    yield schema.setting, [{"name": "configuration", "value": "12"}, {"name": "odd", "value": "".join(ODD_TEXTS)}]
    yield schema.lane, [_lane(number) for number in range(5)]
    yield schema.rejection, [{"integration_id": "int_a", "reason": "no key", "count": 2**40, "last_at": AT}]
    counts = {"accepted": 5, "succeeded": 2, "failed": 1, "canceled": 1, "rejected": 2**40, "durations": '{"3": 2}'}
    yield schema.traffic, [{"width": 300, "integration_id": "int_a", "slot": AT, **counts}]
    yield schema.rate_use, [{"integration_id": "int_a", "slice": 5, "count": 2}]
    yield schema.bulk_job, [_job(1, "running", lease_node=OLD_NODE, lease_token="t"), _job(2, "paused")]
    item = {"job_id": "job_1", "event_id": "evt_1", "outcome": "replayed", "document": "{}"}
    yield schema.bulk_item, [item]
    yield from _health()
    node = {"id": OLD_NODE, "host": "old", "pid": 1, "version": "0", "started_at": AT, "heartbeat_at": AT}
    yield schema.node, [node]
    yield schema.duty, [{"name": "retention", "due_at": AT, "node_id": OLD_NODE}]


def _people() -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    user = {"id": "usr_1", "login": "ada", "name": "Ada", "password_hash": "$argon2id$", "disabled": False}
    identity = {"issuer": "https://id.example", "subject": "1"}
    yield schema.user, [{**user, **identity, "created_at": AT, "updated_at": AT, "last_signed_in_at": AT}]
    yield schema.membership, [{"user_id": "usr_1", "workspace_id": "wsp_1", "role": "operator"}]
    session = {"kind": "session", "workspace_id": "wsp_1", "created_at": AT, "expires_at": AT, "user_id": "usr_1"}
    seen = {"last_seen_at": AT, "agent": "Browser/1", "source_ip": "127.0.0.1"}
    yield (
        schema.session,
        [{"hash": bytes([number]) * 32, "id": f"ses_{number}", **session, **seen} for number in range(3)],
    )
    yield schema.sign_in_failure, [{"subject": "login:00", "failures": 2, "last_at": AT}]
    deed = {"actor_id": "usr_1", "actor_name": "Ada", "action": "key.deleted", "subject_id": "key_1"}
    yield (
        schema.audit,
        [{"id": "aud_1", "workspace_id": "wsp_1", "at": AT, **deed, "subject_name": "k", "before": "{}", "note": ""}],
    )


def _health() -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    mine = {"integration_id": "int_a"}
    yield schema.outcome, [{**mine, "token": "t", "kind": "run", "at": AT, "content": "[3]"}]
    state = {"status": "warning", "since": AT, "outcomes": "[1]", "marks": "{}", "revision": 3, "checked_at": AT}
    yield schema.health, [{**mine, **state}]
    issue = {"key": "run:assert:check", "status": "warning", "message": ODD_TEXTS[-1], "first_seen": AT}
    yield schema.health_issue, [{"id": "iss_1", **mine, **issue, "last_seen": AT, "count": 2**40}]
    change = {"at": AT, "status": "warning", "previous_status": "active", "issues": "[]"}
    yield schema.health_change, [{"id": "hch_1", **mine, **change}]
    made = {"created_at": AT, "updated_at": AT + 1}
    webhook = {"id": "nwh_1", "workspace_id": "wsp_1", "name": "chat", "active": True, "document": "{}", "revision": 1}
    yield schema.notification_webhook, [{**webhook, **made}]
    yield schema.webhook_record, [{"webhook_id": "nwh_1", "failures": 2, "failing_since": AT, "last_error": "no"}]
    about = {"webhook_id": "nwh_1", **mine, "change_ids": '["hch_1"]'}
    yield schema.notification, [{"delivery_id": "dlv_n", **about}]
    yield schema.held_notice, [{"id": "hld_1", **about, "status": "warning", "due_at": AT, "reason": "damping"}]
    yield schema.told, [{"webhook_id": "nwh_1", **mine, "status": "warning", "times": "{}"}]


def _event(number: int, body: bytes) -> dict[str, Any]:
    return {
        "id": f"evt_{number:032x}",
        "integration_id": "int_a" if number % 3 else "int_b",
        "received_at": AT + number,
        "method": "POST",
        "path": "/hooks/default/a",
        "query": json.dumps([["q", ODD_TEXTS[number % len(ODD_TEXTS)]]], ensure_ascii=False),
        "headers": json.dumps([["content-type", "application/json"], ["user-agent", "tests"]]),
        "content_type": ODD_TEXTS[number % len(ODD_TEXTS)],
        "key_id": "key_1" if number % 2 else None,
        "source_ip": "192.0.2.7",
        "replay_of": None,
        "emitted_by": None,
        "depth": 0,
        "size": len(body),
        "body": body if number % 7 else b"",
    }


def _run(number: int) -> dict[str, Any]:
    state = list(RunState)[number % len(RunState)]
    is_leased = state is RunState.RUNNING
    in_lane = number % 2 == 0
    return {
        "event_id": f"evt_{number:032x}",
        "integration_id": "int_a" if number % 3 else "int_b",
        "state": state.value,
        "waiting_for": "delay" if state is RunState.WAITING else None,
        "workflow_number": 1,
        "lane_id": f"int_a:{number % 5}" if in_lane else None,
        "lane_sequence": number if in_lane else None,
        "accepted_at": AT + number,
        "due_at": AT + number,
        "started_at": None,
        "finished_at": AT + number if state in FINAL_RUN_STATES else None,
        "attempts": number % 4,
        "losses": 0,
        "lease_node": OLD_NODE if is_leased else None,
        "lease_token": "t" if is_leased else None,
        "cancel_requested": number % 11 == 0,
        "error_kind": "failed" if state is RunState.FAILED else None,
        "error_message": ODD_TEXTS[number % len(ODD_TEXTS)] if state is RunState.FAILED else None,
        "error_step": None,
        "caller_node": None,
    }


def _journal(number: int) -> dict[str, Any]:
    return {
        "event_id": f"evt_{number:032x}",
        "position": 0,
        "steps": json.dumps([{"id": "a", "output": ODD_TEXTS[number % len(ODD_TEXTS)] * 5}]),
        "result_status": 200 if number % 2 else None,
        "result_headers": "{}" if number % 2 else None,
        "result_body": b"\x00done" if number % 2 else None,
    }


def _lane(number: int) -> dict[str, Any]:
    return {
        "id": f"int_a:{number}",
        "integration_id": "int_a",
        "key": str(number),
        "last_sequence": 2**35 + number,
        "last_used_at": AT,
        "lease_node": OLD_NODE if number == 1 else None,
        "lease_token": "t" if number == 1 else None,
        "dormant": number == 2,
    }


def _dedupe(number: int) -> dict[str, Any]:
    return {"integration_id": "int_a", "key": f"k{number}", "event_id": f"evt_{number:032x}", "expires_at": AT}


def _delivery(number: int) -> dict[str, Any]:
    state = ("delivered", "queued", "sending", "retrying")[number % 4]
    return {
        "id": f"dlv_{number:032x}",
        "kind": "reply",
        "integration_id": "int_a",
        "event_id": f"evt_{number:032x}",
        "state": state,
        "created_at": AT,
        "due_at": AT,
        "expires_at": None,
        "finished_at": AT if state == "delivered" else None,
        "attempts": number % 3,
        "lease_node": OLD_NODE if state == "sending" else None,
        "lease_token": "t" if state == "sending" else None,
        "last_error": "connection refused" if state == "retrying" else None,
    }


def _attempt(number: int) -> dict[str, Any]:
    return {
        "delivery_id": f"dlv_{number:032x}",
        "number": 1,
        "started_at": AT,
        "finished_at": AT + 5,
        "request_headers": "{}",
        "status": 503 if number % 2 else None,
        "response_headers": "{}",
        "response_body": b"away\x00",
        "error": None if number % 2 else "refused",
        "request_body": b"{}" if number % 3 else None,
    }


def _job(number: int, state: str, **more: Any) -> dict[str, Any]:
    counts = {"total": None, "done": 1, "skipped": 0, "failed": 0}
    texts = {"summary": None, "waiting_because": None, "error": None, "cursor": "evt_1", "request": "{}"}
    times = {"created_at": AT, "created_by": "alice", "started_at": AT, "finished_at": None}
    lease = {"lease_node": None, "lease_token": None}
    job = {"id": f"job_{number}", "workspace_id": "wsp_1", "kind": "replay", "state": state}
    return {**job, **counts, **texts, **times, **lease, **more}
