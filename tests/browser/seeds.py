"""What the pages show: a company's integrations in every state, and what happened to them.

Everything is made through the program's own doors: its API and its hooks. So it is what a user would have, and tests
that look for it by name need to know nothing of the database.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.support.program import Program, Reply
from tests.support.waiting import wait_until

ORDER = {
    "number": "A-1001",
    "customer": {"id": "C-17", "name": "Ada"},
    "lines": [{"sku": "tea", "quantity": 2, "price": 4.5}, {"sku": "pot", "quantity": 1, "price": 19}],
}
KEY = "a-key-of-the-shop-for-tests-0001"
ERP_TOKEN = "a-platform-token-of-the-erp-0001"
NOBODY = "http://127.0.0.1:1"
"""Where nothing listens."""

_KEYS = {"mode": "api_keys"}


@dataclass(frozen=True, slots=True)
class Seeded:
    """Ids by name."""

    integrations: dict[str, str]
    webhooks: dict[str, str]
    connections: dict[str, str]
    events: dict[str, str]
    """One event of each kind: succeeded, answered, failed, retrying, running, queued, waiting, canceled, refused
    (its reply), blocked (the head of a lane)."""


def seed(program: Program) -> Seeded:
    """Fill a program that was started with `--demo` and the functions beside this file."""
    demo = {each["name"]: each for each in program.admin("GET", "/integrations")["items"]}["Demo orders"]
    connections = _connections(program)
    ids = {"Demo orders": str(demo["id"]), **_integrations(program, demo["reply"]["url"])}
    webhooks = _webhooks(program, demo["reply"]["url"])
    _keys(program, ids)
    _versions(program, ids["Item prices"])
    events = _events(program, ids)
    return Seeded(ids, webhooks, connections, events)


# --- what people set up ----------------------------------------------------------------------------------------------


def _connections(program: Program) -> dict[str, str]:
    oauth = {
        "type": "oauth",
        "client_id": "crossdock",
        "client_secret": "a-secret-of-the-erp",
        "token_endpoint_url": f"{NOBODY}/token",
        "scopes": ["orders"],
    }
    bearer = {"type": "bearer_token", "token": "a-token-of-the-carrier"}
    documents: list[dict[str, Any]] = [
        {"name": "ERP", "kind": "http", "base_url": f"{NOBODY}/api", "authentication": oauth},
        {"name": "Carrier", "kind": "http", "base_url": f"{NOBODY}/v2", "authentication": bearer},
    ]
    return {each["name"]: str(program.admin("POST", "/connections", each)["id"]) for each in documents}


def _integrations(program: Program, reply_url: str) -> dict[str, str]:
    return {each["name"]: program.add_integration(each) for each in _documents(reply_url)}


def _documents(reply_url: str) -> list[dict[str, Any]]:
    once = {"attempts": 1}
    return [
        {
            "name": "Synchronise customers",
            "type": "event-webhook-async",
            "path": "customers/changed",
            "platform_token": ERP_TOKEN,
            "reply": {"url": reply_url},
            "workflow": {"steps": [_step("customer", transform={"number": "{{ body.number }}"})]},
        },
        {
            "name": "Item prices",
            "type": "webhook-trigger",
            "path": "prices",
            "trigger": {
                "methods": ["GET"],
                "authentication": _KEYS,
                "response_mode": "sync",
                "query_parameters": [{"name": "item", "required": True}, {"name": "quantity", "default": "1"}],
            },
            "workflow": {"steps": _price_steps()},
        },
        {
            "name": "Shop orders",
            "type": "webhook-trigger",
            "path": "shop/orders",
            "trigger": {"methods": ["POST"], "authentication": _KEYS},
            "retry": once,
            "workflow": {"steps": _order_steps()},
        },
        {
            "name": "Nightly export",
            "type": "webhook-trigger",
            "path": "export",
            "trigger": {"methods": ["POST"], "authentication": _KEYS},
            "retry": {"attempts": 5, "delay": "PT1H"},
            "workflow": {"steps": [_step("export", http={"method": "GET", "url": "export", "connection": "Carrier"})]},
        },
        {
            "name": "Stock reservation",
            "type": "webhook-trigger",
            "path": "stock",
            "trigger": {
                "methods": ["POST"],
                "authentication": _KEYS,
                "ordered_delivery": True,
                "ordering_key": "{{ body.customer.id }}",
            },
            "retry": once,
            "workflow": {"steps": _reservation_steps()},
        },
        {
            "name": "Work orders",
            "type": "webhook-trigger",
            "path": "work",
            "trigger": {"methods": ["POST"], "authentication": _KEYS},
            "workflow": {"steps": [_step("later", delay={"for": "P20D"}), _step("done", respond={"json": "done"})]},
        },
        {
            "name": "Stock count",
            "type": "webhook-trigger",
            "path": "count",
            "trigger": {"methods": ["POST"], "authentication": _KEYS, "concurrency": 1},
            "workflow": {
                "steps": [
                    _step("counted", python={"function": "warehouse:count_stock", "arguments": {"shelf": "A"}}),
                ]
            },
        },
        {
            "name": "Invoices",
            "type": "event-webhook-async",
            "path": "invoices",
            "platform_token": ERP_TOKEN,
            "reply": {"url": reply_url.replace("/replies", "/moved-away")},
        },
        {"name": "Parcel tracking", "type": "webhook-trigger", "path": "parcels"},
        {
            "name": "Old newsletter",
            "type": "webhook-trigger",
            "path": "newsletter",
            "status": "disabled",
            "trigger": {"authentication": _KEYS},
        },
    ]


def _step(name: str, **what: Any) -> dict[str, Any]:
    return {"id": name, **what}


def _price_steps() -> list[dict[str, Any]]:
    known = {"that": "{{ query.item in ['tea', 'pot'] }}", "message": "there is no item {{ query.item }}"}
    return [
        _step("known", **{"assert": {**known, "kind": "unknown_item", "status": 404}}),
        _step("answer", respond={"json": {"item": "{{ query.item }}", "price": 4.5}}),
    ]


def _order_steps() -> list[dict[str, Any]]:
    booked = {"method": "POST", "url": "orders", "connection": "Carrier", "json": {"number": "{{ body.number }}"}}
    kind = {"cases": [{"when": "{{ body.lines | length > 1 }}", "steps": [_step("big", transform={"size": "big"})]}]}
    return [
        _step("kind", switch=kind),
        _step("booked", notes="The carrier books the parcel.", http=booked),
        _step("answer", respond={"json": {"parcel": "{{ steps.booked.body.parcel }}"}}),
    ]


def _reservation_steps() -> list[dict[str, Any]]:
    enough = {
        "that": "{{ body.quantity <= 10 }}",
        "message": "{{ body.quantity }} are more than may be reserved at once",
    }
    arguments = {"sku": "{{ body.sku }}", "quantity": "{{ body.quantity }}"}
    return [
        _step("sensible", **{"assert": enough}),
        _step("reserved", python={"function": "warehouse:reserve", "arguments": arguments}),
    ]


def _webhooks(program: Program, url: str) -> dict[str, str]:
    template = (
        '{"name": "{{ data.name }}", "status": "{{ data.status }}", "issues": [{"text": "{{ data.issues.message }}"}]}'
    )
    documents: list[dict[str, Any]] = [
        {"name": "On call", "url": url.replace("/replies", "/alarms"), "body_template": template},
        {"name": "Team chat", "url": f"{NOBODY}/chat", "filters": {"statuses": ["error"]}},
        {"name": "Old pager", "url": f"{NOBODY}/pager", "active": False},
    ]
    return {each["name"]: str(program.admin("POST", "/notification-webhooks", each)["id"]) for each in documents}


def _keys(program: Program, ids: dict[str, str]) -> None:
    for name in ("Item prices", "Shop orders", "Nightly export", "Stock reservation", "Work orders", "Stock count"):
        program.admin("POST", f"/integrations/{ids[name]}/keys", {"label": "Shop", "key": KEY})
    keys = f"/integrations/{ids['Item prices']}/keys"
    program.admin("POST", keys, {"label": "Partner portal"})
    old = program.admin("POST", keys, {"label": "Former agency"})
    program.admin("PATCH", f"{keys}/{old['id']}", {"disabled": True})


def _versions(program: Program, integration_id: str) -> None:
    """Two more versions of a workflow, the last of them published."""
    path = f"/integrations/{integration_id}/workflow"
    steps = _price_steps()
    steps[1]["respond"]["headers"] = {"Cache-Control": "max-age=60"}
    program.admin("PUT", path, {"steps": steps})
    steps[1]["respond"]["json"]["currency"] = "EUR"
    program.admin("PUT", path, {"steps": steps})


# --- what happens ----------------------------------------------------------------------------------------------------


def _events(program: Program, ids: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    demo_key = (program.data / "demo.key").read_text().strip()
    for number in range(6):
        found["succeeded"] = _send(program, "demo/orders", {**ORDER, "number": f"A-{1001 + number}"}, demo_key)
        found["answered"] = _event_of(_get_price(program, "tea"))
        _send(program, "customers/changed", {"number": number}, ERP_TOKEN)
        found["failed"] = _send(program, "shop/orders", ORDER)
    _get_price(program, "unknown")
    found["retrying"] = _send(program, "export", {})
    found["waiting"] = _send(program, "work", ORDER)
    found["running"] = _send(program, "count", {"shelf": "A"})
    wait_until(lambda: _status(program, found["running"]) == "running")
    found["queued"] = _send(program, "count", {"shelf": "B"})
    _lanes(program, found)
    found["refused"] = _send(program, "invoices", {"number": 7}, ERP_TOKEN)
    found["canceled"] = _send(program, "work", ORDER)
    wait_until(lambda: _status(program, found["canceled"]) == "waiting")
    program.admin("POST", f"/events/{found['canceled']}/cancel")
    for _ in range(3):
        program.ask("POST", "/hooks/default/shop/orders", ORDER, headers={"X-API-Key": "a-wrong-key"})
    _wait_for(program, ids, found)
    return found


def _lanes(program: Program, found: dict[str, str]) -> None:
    """One customer's lane goes on, another's waits behind its head."""
    reservation = {"sku": "tea", "quantity": 2}
    for _ in range(3):
        _send(program, "stock", {**reservation, "customer": {"id": "C-17"}})
    found["blocked"] = _send(program, "stock", {"sku": "tea", "quantity": 99, "customer": {"id": "C-4"}})
    for _ in range(4):
        _send(program, "stock", {**reservation, "customer": {"id": "C-4"}})


def _wait_for(program: Program, ids: dict[str, str], found: dict[str, str]) -> None:
    """Until everything has come to where it stays."""
    ends = {"succeeded": "succeeded", "failed": "failed", "waiting": "waiting", "retrying": "retrying"}
    for name, status in ends.items():
        wait_until(partial(_is_in_state, program, found[name], status))
    wait_until(lambda: _reply_status(program, found["refused"]) == "failed")
    health = {"Shop orders": "error", "Item prices": "warning", "Invoices": "warning", "Demo orders": "active"}
    for name, status in health.items():
        wait_until(partial(_is_in_health, program, ids[name], status))


def _send(program: Program, path: str, document: Any, credential: str = KEY) -> str:
    headers = {"Authorization": f"Bearer {credential}"}
    return _event_of(program.ask("POST", f"/hooks/default/{path}", document, headers=headers))


def _get_price(program: Program, item: str) -> Reply:
    return program.ask("GET", f"/hooks/default/prices?item={item}", headers={"X-API-Key": KEY})


def _event_of(reply: Reply) -> str:
    assert "x-crossdock-event" in reply.headers, (reply.status, json.dumps(reply.document))
    return reply.headers["x-crossdock-event"]


def _status(program: Program, event_id: str) -> str:
    return str(program.admin("GET", f"/events/{event_id}")["status"])


def _is_in_state(program: Program, event_id: str, status: str) -> bool:
    return _status(program, event_id) == status


def _reply_status(program: Program, event_id: str) -> str:
    return str(program.admin("GET", f"/events/{event_id}")["reply"]["status"])


def _is_in_health(program: Program, integration_id: str, status: str) -> bool:
    return bool(program.admin("GET", f"/integrations/{integration_id}/health")["status"] == status)
