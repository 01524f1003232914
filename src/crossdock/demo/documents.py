"""The demo's integrations, as documents that could be applied from a file."""

from __future__ import annotations

from crossdock.model.outcome import Json

NAME = "Demo orders"
PATH = "demo/orders"
PRICES_PATH = "demo/prices"
INVOICES_PATH = "demo/invoices"
STOCK_PATH = "demo/stock"

ORDER = (
    '{"number": "A-1001", "customer": {"name": "Ada"}, "lines": '
    '[{"sku": "tea", "quantity": 2, "price": 4.5}, {"sku": "pot", "quantity": 1, "price": 19}]}'
)
"""What the ready-made curl sends."""

_POST = {"methods": ["POST"], "authentication": {"mode": "api_keys"}, "require_json": True}


def documents(reply_url: str) -> list[Json]:
    """All of them. Replies go to `reply_url`, but for one integration, whose target is not there."""
    return [orders(reply_url), prices(), invoices(reply_url.replace("/replies", "/moved-away")), stock()]


def orders(reply_url: str) -> Json:
    """An order comes in, its lines are priced, the sum is handed back and sent to `reply_url`."""
    amount = {"sku": "{{ line.sku }}", "amount": "{{ (line.quantity * line.price) | round(2) }}"}
    answer = {
        "order": "{{ body.number }}",
        "thanks": "Thank you, {{ body.customer.name }}!",
        "lines": "{{ steps.priced.lines }}",
        "total": "{{ steps.priced.lines | map(attribute='amount') | sum | round(2) }}",
    }
    steps = [
        {
            "id": "priced",
            "notes": "Each line with what it costs.",
            "transform": {"lines": {"$each": {"over": "{{ body.lines }}", "as": "line", "value": amount}}},
        },
        {"id": "answer", "respond": {"status": 200, "json": answer}},
    ]
    return _integration(NAME, PATH, _POST, steps, reply={"url": reply_url})


def prices() -> Json:
    """A question that is answered in the call itself."""
    trigger = {
        "methods": ["GET"],
        "authentication": {"mode": "api_keys"},
        "response_mode": "sync",
        "query_parameters": [{"name": "item", "required": True}, {"name": "quantity", "default": "1"}],
    }
    answer = {
        "item": "{{ query.item }}",
        "unit_price": "{{ steps.list.prices[query.item] }}",
        "total": "{{ (steps.list.prices[query.item] * (query.quantity | int)) | round(2) }}",
    }
    steps = [
        {"id": "list", "notes": "What is sold.", "transform": {"prices": {"tea": 4.5, "pot": 19, "cup": 6.25}}},
        {
            "id": "known",
            "assert": {
                "that": "{{ query.item in steps.list.prices }}",
                "message": "nobody sells {{ query.item }}",
                "kind": "unknown_item",
                "status": 404,
            },
        },
        {"id": "answer", "respond": {"json": answer}},
    ]
    return _integration("Demo prices", PRICES_PATH, trigger, steps)


def invoices(reply_url: str) -> Json:
    """Well handled, but the outcome arrives nowhere: what a partner that has moved looks like."""
    steps = [{"id": "booked", "respond": {"json": {"invoice": "{{ body.number }}", "booked": True}}}]
    return _integration("Demo invoices", INVOICES_PATH, _POST, steps, reply={"url": reply_url})


def stock() -> Json:
    """Movements in order, article by article. One that is impossible stops its own lane until somebody decides."""
    trigger = {**_POST, "ordered_delivery": True, "ordering_key": "{{ body.sku }}"}
    steps = [
        {
            "id": "possible",
            "assert": {
                "that": "{{ body.quantity <= 100 }}",
                "message": "{{ body.quantity }} of {{ body.sku }} are more than the shelf holds",
                "kind": "impossible_movement",
            },
        },
        {"id": "moved", "respond": {"json": {"sku": "{{ body.sku }}", "moved": "{{ body.quantity }}"}}},
    ]
    return _integration("Demo stock", STOCK_PATH, trigger, steps, retry={"attempts": 1})


def _integration(name: str, path: str, trigger: Json, steps: list[Json], **more: Json) -> Json:
    spec = {"name": name, "type": "webhook-trigger", "status": "enabled", "path": path, "trigger": trigger}
    return {"kind": "Integration", "spec": {**spec, **more, "workflow": {"steps": steps}}}
