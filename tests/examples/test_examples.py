"""The examples are accepted as they stand and do what they say."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crossdock.cli.configuration import read_documents
from crossdock.clock import system_now
from crossdock.expressions import compile_value
from crossdock.expressions.names import event_names
from crossdock.manage.connection_documents import ConnectionRules, read_connection_document
from crossdock.manage.documents import Rules, read_document
from crossdock.manage.webhook_documents import WebhookRules, read_webhook_document
from crossdock.model.advance import Broken, Ended, RunEnd
from crossdock.model.event import Event, Request
from crossdock.model.run import LeasedRun
from crossdock.notices.payload import mock_payload
from crossdock.notices.template import compile_template
from crossdock.outbound.caller import HttpCaller
from crossdock.outbound.client import HttpSender
from crossdock.outbound.connection import HttpConnection, OAuthClient
from crossdock.outbound.guard import Guard
from crossdock.run.compile import compile_workflow
from crossdock.run.functions import Functions
from crossdock.run.walk import WalkPorts, walk
from tests.outbound.system import System, TokenEndpoint, running
from tests.support.foreign_databases import ForeignDatabase
from tests.support.held import START, HeldClock
from tests.support.outside import outside_of

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*.yaml"))
WEBHOOK = "slack-alerts.yaml"


@pytest.fixture
def functions() -> Iterator[Functions]:
    made = Functions(EXAMPLES / "workflows", 2)
    yield made
    made.close()


def spec_of(name: str, kind: str = "Integration") -> Any:
    """The spec of the file's document of that kind, with something in place of each `${NAME}`."""
    (document,) = (document for document in read_documents(EXAMPLES / name) if document["kind"] == kind)
    text = msgspec.json.encode(document["spec"]).decode().replace("${ERP_URL}", "https://erp.example")
    return msgspec.json.decode(re.sub(r"\$\{[A-Z_]+\}", "t" * 32, text))


class Caller:
    """Runs an example's workflow for one call after the other."""

    def __init__(self, name: str, functions: Functions, **outside: Any) -> None:
        self._outside = outside_of(functions, **outside)
        self._workflow = compile_workflow(spec_of(name)["workflow"], 1, functions)
        self._calls = 0

    async def call(self, body: Any = None, **query: str) -> RunEnd:
        self._calls += 1
        request = Request("POST", "/", tuple(query.items()), (), "application/json", msgspec.json.encode(body))
        event = Event(f"evt_{self._calls}", "int_1", START, request)
        ports = WalkPorts(HeldClock(), lambda: 0.0, self._outside, _is_durable, lambda run, result: None)
        return await walk(LeasedRun(event, 1, 1, 0, "token", None), self._workflow, ports)


async def _is_durable(run: object, entry: object) -> bool:
    return True


def answer(end: RunEnd) -> Any:
    assert isinstance(end, Ended)
    return msgspec.json.decode(end.result.body)


def refusal(end: RunEnd) -> tuple[str, int | None]:
    assert isinstance(end, Broken)
    return end.failure.kind, end.result.status if end.result else None


@pytest.mark.parametrize("name", [path.name for path in FILES if path.name != WEBHOOK])
def test_the_document_is_accepted(name: str, functions: Functions):
    def compile_with_functions(document: Any, number: int, /, *, connections: Mapping[str, str]) -> object:
        return compile_workflow(document, number, functions, connections)

    rules = Rules(compile_with_functions, lambda url: None, connections={"erp": "http", "stock": "sql"})
    draft = read_document(spec_of(name), rules)

    assert draft.enabled


def test_the_notification_webhook_is_accepted():
    spec = {**spec_of(WEBHOOK, "NotificationWebhook"), "url": "https://hooks.slack.com/services/T0/B0/X"}

    draft = read_webhook_document(spec, WebhookRules(Guard().check_url))

    template = compile_template(draft.settings["body_template"])
    told = msgspec.json.decode(template.render(mock_payload(START), {}))
    assert told["text"] == "Test of this webhook: error"


def test_the_connections_are_accepted():
    rules = ConnectionRules(Guard().check_url)
    names = ("shop-order.yaml", "stock-reservation.yaml")
    drafts = [read_connection_document(spec_of(name, "Connection"), rules) for name in names]

    assert [(draft.name, draft.kind) for draft in drafts] == [("erp", "http"), ("stock", "sql")]


async def test_customers_are_synchronised(functions: Functions):
    caller = Caller("customer-sync.yaml", functions)
    address = {"type": "VISIT", "street": "Storgatan 1", "postcode": "41138", "city": "Göteborg"}
    customer = {"number": 17, "name": " Ann's Bolts ", "addresses": [address]}

    first = await caller.call({"change_id": "a", "customer": customer})
    second = await caller.call({"change_id": "b", "customer": customer | {"country": "no"}})

    assert answer(first) == {"customer": 17, "id": "C-17", "created": True}
    assert answer(second)["created"] is False
    assert isinstance(first, Ended)
    assert first.entry is not None
    assert first.entry.steps[0].output == {
        "number": 17,
        "name": "Ann's Bolts",
        "country": "SE",
        "addresses": [{"kind": "visit", "line": "Storgatan 1, 41138 Göteborg"}],
    }


async def test_a_customer_without_a_name_is_refused(functions: Functions):
    caller = Caller("customer-sync.yaml", functions)

    end = await caller.call({"customer": {"number": 17, "name": " "}})

    assert refusal(end)[0] == "invalid_customer"


async def test_work_orders_move_on_in_their_order(functions: Functions):
    caller = Caller("work-order.yaml", functions)

    ends = [
        await caller.call({"work_order": "WO-1", "action": action, "hours": hours})
        for action, hours in (("create", 0), ("start", 0), ("report", 101.5), ("finish", 1))
    ]

    assert [answer(end)["state"] for end in ends] == ["planned", "started", "started", "finished"]
    assert answer(ends[0])["warning"] is None
    assert answer(ends[2])["warning"] == "WO-1 took 101.5 hours so far"
    assert isinstance(ends[0], Ended)
    assert ends[0].result.status == 201


@pytest.mark.parametrize(("action", "refused"), [("paint", ("unknown_action", 422)), ("finish", ("wrong_state", None))])
async def test_what_a_work_order_can_not_do_is_refused(functions: Functions, action: str, refused: object):
    end = await Caller("work-order.yaml", functions).call({"work_order": "WO-2", "action": action})

    assert refusal(end) == refused


def test_each_work_order_has_its_own_order():
    trigger = spec_of("work-order.yaml")["trigger"]
    request = Request("POST", "/", (), (), "application/json", b'{"work_order": "WO-1"}')

    key = compile_value(trigger["ordering_key"]).evaluate(event_names(Event("evt_1", "int_1", START, request)))

    assert key == "WO-1"


@pytest.mark.parametrize(
    ("query", "total"),
    [
        ({"item": "bolt-m8", "quantity": "1", "currency": "EUR"}, 0.42),
        ({"item": "BOLT-M8", "quantity": "250", "currency": "EUR"}, 77.5),
        ({"item": "NUT-M8", "quantity": "10", "currency": "SEK"}, 12.38),
    ],
)
async def test_prices_are_answered(functions: Functions, query: dict[str, str], total: float):
    end = await Caller("price-query.yaml", functions).call(**query)

    assert answer(end)["total"] == pytest.approx(total, abs=0.011)


@pytest.mark.parametrize(
    ("query", "refused"),
    [
        ({"item": "X", "quantity": "1", "currency": "EUR"}, ("unknown_item", 404)),
        ({"item": "NUT-M8", "quantity": "many", "currency": "EUR"}, ("bad_query", 422)),
        ({"item": "NUT-M8", "quantity": "1", "currency": "XYZ"}, ("bad_query", 422)),
    ],
)
async def test_a_price_that_can_not_be_told_is_refused(functions: Functions, query: dict[str, str], refused: object):
    assert refusal(await Caller("price-query.yaml", functions).call(**query)) == refused


@pytest.fixture
async def shop(functions: Functions) -> AsyncIterator[tuple[Caller, System]]:
    """The shop's integration, and the ERP that it calls."""
    sender = HttpSender(Guard((ip_network("127.0.0.1"),)), system_now)
    http = HttpCaller(sender)
    async with running() as erp:
        client = OAuthClient("crossdock", "a client's secret", f"{erp.url}/token", ("customers", "orders"))
        connection = HttpConnection("con_1", 1, "erp", erp.url, client)
        erp.at("/token", TokenEndpoint())
        erp.says("/customers", 201)
        erp.says("/orders", 201, b'{"number": "O-1", "status": "accepted"}', Content_Type="application/json")
        yield Caller("shop-order.yaml", functions, http=http, find_connection=lambda _, name: connection), erp
    await http.close()
    await sender.close()


SHOP_ORDER = {"customer": {"number": "K/17", "name": " Ann "}, "lines": [{"sku": "bolt-m8", "quantity": "4"}]}


async def test_an_order_of_a_new_customer_is_booked(shop: tuple[Caller, System]):
    caller, erp = shop
    erp.says("/customers/K/17", 404)

    end = await caller.call(SHOP_ORDER)

    assert answer(end) == {"order": "O-1", "new_customer": True}
    assert erp.sent_to("/customers")[0].json() == {"number": "K/17", "name": "Ann"}
    (order,) = erp.sent_to("/orders")
    assert order.json() == {"customer": "K/17", "lines": [{"sku": "BOLT-M8", "quantity": 4}]}
    assert order.headers["authorization"] == "Bearer token-number-1"
    assert order.headers["idempotency-key"] == "evt_1:booked"
    assert order.query == {}


async def test_a_known_customer_is_not_made_again(shop: tuple[Caller, System]):
    caller, erp = shop

    end = await caller.call(SHOP_ORDER)

    assert answer(end)["new_customer"] is False
    assert erp.sent_to("/customers") == []
    assert len(erp.sent_to("/token")) == 1


async def test_an_order_that_the_erp_does_not_take_fails(shop: tuple[Caller, System]):
    caller, erp = shop
    erp.says("/orders", 200, b'{"status": "rejected"}', Content_Type="application/json")

    assert refusal(await caller.call(SHOP_ORDER)) == ("http_unexpected", None)


async def test_what_is_there_is_reserved_and_what_is_not_is_refused(functions: Functions, foreign: ForeignDatabase):
    comment = (EXAMPLES / "stock-reservation.yaml").read_text(encoding="utf-8")
    foreign.look(*re.findall(r"CREATE TABLE .*;", comment), "INSERT INTO stock VALUES ('BOLT-M8', 10)")
    stock = foreign.connection()
    caller = Caller("stock-reservation.yaml", functions, sql=foreign.databases, find_connection=lambda _, name: stock)

    first = await caller.call({"order": "O-1", "item": "bolt-m8", "quantity": 7})
    second = await caller.call({"order": "O-2", "item": "bolt-m8", "quantity": 7})

    assert answer(first) == {"order": "O-1", "left": 3}
    assert refusal(second) == ("out_of_stock", 409)
    assert list(foreign.look("SELECT * FROM reservations")) == [("O-1", "BOLT-M8", 7)]
