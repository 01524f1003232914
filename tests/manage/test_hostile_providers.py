"""What only pretends to be an OpenID provider, or to come from one, is not believed."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from crossdock.clock import system_now
from crossdock.manage.passwords import Passwords
from crossdock.manage.sessions import Sessions
from crossdock.manage.single_sign_on import (
    ATTEMPT_SECONDS,
    Arrival,
    ArrivalRefused,
    Departure,
)
from crossdock.outbound.client import HttpSender
from crossdock.outbound.guard import Guard
from crossdock.store import Store
from crossdock.store.configuration import ensure_workspace
from tests.support.held import HeldClock
from tests.support.openid import CLIENT_ID, CLIENT_SECRET
from tests.support.signing_on import HOME, STRANGERS, Desk
from tests.support.sink import Answer, Received, Sink

pytestmark = pytest.mark.anyio

RSA = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()


def public(key: Any, algorithm: str, kid: str = "k") -> dict[str, Any]:
    document = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return {**document, "kid": kid, "use": "sig"}


@dataclass
class Pretender:
    """A sink that answers as a provider; what it says can be bent."""

    sink: Sink
    key: Any = RSA
    algorithm: str = "RS256"
    keys: list[Any] = field(default_factory=lambda: [public(RSA, "RS256")])
    bent: dict[str, Any] = field(default_factory=dict)
    """Claims that differ; None leaves one out."""
    discovery: dict[str, Any] = field(default_factory=dict)
    token: Callable[[dict[str, Any]], str] | None = None
    otherwise: dict[str, Answer] = field(default_factory=dict)
    nonce: str = ""

    def answer(self, received: Received) -> Answer:
        if received.path in self.otherwise:
            return self.otherwise[received.path]
        issuer = self.sink.url
        if received.path == "/.well-known/openid-configuration":
            places = {name: f"{issuer}/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
            return _json({"issuer": issuer, **places, **self.discovery})
        if received.path == "/jwks_uri":
            return _json({"keys": self.keys})
        now = int(time.time())
        claims = {"iss": issuer, "aud": CLIENT_ID, "sub": "x", "nonce": self.nonce, "iat": now, "exp": now + 60}
        claims |= {"email": "x@example.com", "email_verified": True, **self.bent}
        claims = {name: value for name, value in claims.items() if value is not None}
        return _json({"access_token": "a", "token_type": "Bearer", "id_token": (self.token or self.signed)(claims)})

    def signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self.key, self.algorithm, headers={"kid": "k"})


def _json(document: Any) -> Answer:
    return Answer(200, json.dumps(document).encode(), {"content-type": "application/json"})


@pytest.fixture
async def pretender(sink: Sink) -> Pretender:
    made = Pretender(sink)
    sink.answer_to = made.answer
    return made


@pytest.fixture
async def deceived(store: Store, sink: Sink) -> AsyncIterator[Desk]:
    await store.write(ensure_workspace, "wsp_home", "default", 1)
    sender = HttpSender(HOME, system_now)
    yield Desk(store, Sessions(store, Passwords(64, 1), system_now), sender, sink.url)
    await sender.close()


async def come_back(desk: Desk, pretender: Pretender, **query: str) -> Arrival | ArrivalRefused:
    """A sign-in whose answer carries these fields, besides the right state and a code."""
    node = desk.node(STRANGERS)
    departure = await node.begin()
    if isinstance(departure, ArrivalRefused):
        return departure
    asked = {name: values[0] for name, values in parse_qs(urlsplit(departure.url).query).items()}
    pretender.nonce = asked["nonce"]
    answer = {"state": asked["state"], "code": "c", **query}
    return await node.finish(answer, departure.kept, source_ip="192.0.2.1")


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (CURVE, "ES256"), (EDWARDS, "EdDSA")])
async def test_good_tokens_of_each_algorithm_are_believed(
    deceived: Desk, pretender: Pretender, key: Any, algorithm: str
) -> None:
    pretender.key, pretender.algorithm, pretender.keys = key, algorithm, [public(key, algorithm)]

    assert isinstance(await come_back(deceived, pretender), Arrival)


@pytest.mark.parametrize(
    ("bent", "said"),
    [
        ({"nonce": "another"}, "another sign-in"),
        ({"nonce": None}, "another sign-in"),
        ({"aud": "somebody-else"}, "another application"),
        ({"aud": None}, "another application"),
        ({"aud": [CLIENT_ID, "somebody-else"]}, "another application"),
        ({"azp": "somebody-else"}, "another application"),
        ({"aud": [CLIENT_ID, "b"], "azp": "b"}, "another application"),
        ({"iss": "https://elsewhere.example"}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"exp": 1_000_000_000}, "is over"),
        ({"exp": None}, "is over"),
        ({"exp": "soon"}, "is over"),
        ({"iat": 9_000_000_000, "exp": 9_000_000_060}, "of the future"),
        ({"nbf": 9_000_000_000}, "of the future"),
        ({"sub": None}, "who it is about"),
        ({"sub": ""}, "who it is about"),
        ({"sub": 7}, "who it is about"),
        ({"sub": "x" * 256}, "who it is about"),
    ],
)
async def test_a_token_that_says_something_else_is_not_believed(
    deceived: Desk, pretender: Pretender, bent: dict[str, Any], said: str
) -> None:
    pretender.bent = bent

    answer = await come_back(deceived, pretender)

    assert isinstance(answer, ArrivalRefused)
    assert said in answer.words


def unsigned(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, "", "none")


def shared(claims: dict[str, Any]) -> str:
    """Signed with the provider's public key as if it were a shared secret."""
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "HS256", "kid": "k"}, claims)
    )
    secret = json.dumps(public(RSA, "RS256")).encode()
    signature = jwt.get_algorithm_by_name("HS256").sign(f"{head}.{body}".encode(), secret)
    return f"{head}.{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def foreign(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, OTHER, "RS256", headers={"kid": "k"})


def own_key(claims: dict[str, Any]) -> str:
    """Brings its key along in the header."""
    return jwt.encode(claims, OTHER, "RS256", headers={"kid": "k", "jwk": public(OTHER, "RS256")})


def unknown_key(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, RSA, "RS256", headers={"kid": "another"})


@pytest.mark.parametrize(
    "token",
    [unsigned, shared, foreign, own_key, unknown_key, lambda _: "a.b.c", lambda _: "", lambda _: "x" * 70_000],
    ids=["unsigned", "shared", "foreign", "own key", "unknown key", "unreadable", "empty", "huge"],
)
async def test_a_token_that_is_not_signed_by_the_provider_is_not_believed(
    deceived: Desk, pretender: Pretender, token: Callable[[dict[str, Any]], str]
) -> None:
    pretender.token = token

    assert isinstance(await come_back(deceived, pretender), ArrivalRefused)


async def test_keys_that_were_swapped_are_not_taken_for_another_type(deceived: Desk, pretender: Pretender) -> None:
    pretender.keys = [public(CURVE, "ES256"), public(OTHER, "RS256"), "no key", {"kty": "RSA", "kid": "k"}]

    assert isinstance(await come_back(deceived, pretender), ArrivalRefused)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"iss": "https://elsewhere.example"}, "another provider"),
        ({"state": "guessed"}, "another sign-in"),
        ({"error": "access_denied"}, "access_denied"),
        ({"error": "<script>alert(1)</script>"}, "can't be shown"),
        ({"code": ""}, "no code"),
    ],
)
async def test_an_answer_that_was_tampered_with_is_refused(
    deceived: Desk, pretender: Pretender, query: dict[str, str], said: str
) -> None:
    answer = await come_back(deceived, pretender, **query)

    assert isinstance(answer, ArrivalRefused)
    assert said in answer.words
    assert "<" not in answer.words
    assert "/token_endpoint" not in [one.path for one in pretender.sink.requests]


async def test_a_provider_that_names_itself_has_to_do_so(deceived: Desk, pretender: Pretender) -> None:
    pretender.discovery = {"authorization_response_iss_parameter_supported": True}

    assert isinstance(await come_back(deceived, pretender), ArrivalRefused)
    assert isinstance(await come_back(deceived, pretender, iss=pretender.sink.url), Arrival)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/.well-known/openid-configuration", Answer(200, b"x" * 300_000)),
        ("/.well-known/openid-configuration", Answer(200, b"[]")),
        ("/.well-known/openid-configuration", Answer(302, b"", {"location": "/elsewhere"})),
        ("/.well-known/openid-configuration", Answer(500, b"<html>")),
        ("/jwks_uri", Answer(200, b"[" * 100_000)),
        ("/jwks_uri", Answer(200, b'{"keys": 5}')),
        ("/jwks_uri", Answer(200, json.dumps({"keys": [public(RSA, "RS256")] * 60}).encode())),
        ("/token_endpoint", Answer(200, b"{}")),
        ("/token_endpoint", Answer(200, b'{"id_token": 5}')),
        ("/token_endpoint", Answer(400, b'{"error": "invalid_grant"}')),
        ("/token_endpoint", Answer(200, b"x" * 300_000)),
    ],
)
async def test_whatever_the_provider_answers_is_refused_in_words(
    deceived: Desk, pretender: Pretender, path: str, answer: Answer
) -> None:
    pretender.otherwise[path] = answer

    refused = await come_back(deceived, pretender)

    assert isinstance(refused, ArrivalRefused)
    assert CLIENT_SECRET not in refused.words


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://elsewhere.example"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": None},
        {"token_endpoint": "file:///etc/passwd"},
        {"jwks_uri": "http://"},
    ],
)
async def test_a_discovery_document_that_leads_elsewhere_is_refused(
    deceived: Desk, pretender: Pretender, discovery: dict[str, Any]
) -> None:
    pretender.discovery = discovery

    assert isinstance(await come_back(deceived, pretender), ArrivalRefused)


async def test_a_private_provider_is_out_of_reach_until_it_is_allowed(store: Store, sink: Sink) -> None:
    sender = HttpSender(Guard(), system_now)
    desk = Desk(store, Sessions(store, Passwords(64, 1), system_now), sender, sink.url)

    refused = await desk.node().begin()

    assert isinstance(refused, ArrivalRefused)
    assert "CROSSDOCK_ALLOWED_TARGETS" in refused.words
    assert sink.requests == []
    await sender.close()


async def test_a_sign_in_does_not_take_for_ever(store: Store, pretender: Pretender) -> None:
    await store.write(ensure_workspace, "wsp_home", "default", 1)
    clock = HeldClock(system_now())
    sender = HttpSender(HOME, clock)
    desk = Desk(store, Sessions(store, Passwords(64, 1), clock), sender, pretender.sink.url, clock)
    node = desk.node(STRANGERS)
    departure = await node.begin()
    assert isinstance(departure, Departure)

    clock.advance(ATTEMPT_SECONDS)
    answer = await node.finish({"state": "s", "code": "c"}, departure.kept, source_ip="192.0.2.1")

    assert isinstance(answer, ArrivalRefused)
    assert "too long" in answer.words
    await sender.close()


async def test_a_public_client_sends_its_name_and_no_secret(store: Store, pretender: Pretender) -> None:
    await store.write(ensure_workspace, "wsp_home", "default", 1)
    sender = HttpSender(HOME, system_now)
    desk = Desk(store, Sessions(store, Passwords(64, 1), system_now), sender, pretender.sink.url, secret=None)

    assert isinstance(await come_back(desk, pretender), Arrival)

    [asked] = [one for one in pretender.sink.requests if one.path == "/token_endpoint"]
    form = parse_qs(asked.body.decode())
    assert form["client_id"] == [CLIENT_ID]
    assert "authorization" not in asked.headers
    assert len(form["code_verifier"][0]) == 43
    await sender.close()


async def test_many_strange_tokens_do_not_make_us_ask_again_and_again(deceived: Desk, pretender: Pretender) -> None:
    pretender.token = unknown_key

    await asyncio.gather(*(come_back(deceived, pretender) for _ in range(5)))
    for _ in range(5):
        await come_back(deceived, pretender)

    assert [one.path for one in pretender.sink.requests].count("/jwks_uri") <= 5
