"""What an OpenID provider is asked: what it offers (discovery), its keys, and what a code stands for.

Every call goes through the guard of outgoing calls and is bounded in time and size. What was found is kept for an hour;
keys are asked for again when a token names one that is not among them, twice a minute at most.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

import msgspec

from crossdock.identity.id_token import Expected, IdentityRefused, KeyUnknown, judge_id_token
from crossdock.model.outcome import Json
from crossdock.model.time import Instant, seconds_between
from crossdock.outbound.client import HttpSender, Message, SendLimits
from crossdock.outbound.redaction import as_basic

LIMITS = SendLimits(seconds=10.0, response_bytes=256 * 1024)
KEPT_SECONDS = 3_600.0
KEYS_AGAIN_SECONDS = 30.0
MOST_KEYS = 50


@dataclass(frozen=True, slots=True)
class Client:
    """Who we are for the provider. `redirect_url` is where it sends people back to."""

    issuer: str
    client_id: str
    redirect_url: str
    scopes: str = "openid email profile"
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sign-in between the way out and the way back; a secret of the browser that began it."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> Attempt:
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))

    @property
    def challenge(self) -> str:
        """Of the verifier, by the method S256 (RFC 7636, 4.2)."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Offer:
    """What the provider offers, as its discovery document says."""

    authorization: str
    token: str
    keys: str
    takes_secret_in_form: bool
    names_itself: bool
    """It puts `iss` into its answers (RFC 9207)."""


class Provider:
    """One provider, asked by one client."""

    def __init__(self, client: Client, sender: HttpSender) -> None:
        self.client = client
        self._sender = sender
        self._offer: tuple[Offer, Instant] | None = None
        self._keys: tuple[Sequence[Json], Instant] | None = None

    async def sign_in_url(self, attempt: Attempt) -> str:
        """Where to send the browser; IdentityRefused when the provider can't be asked."""
        offer = await self._offered()
        query = {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": self.client.redirect_url,
            "scope": self.client.scopes,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        return f"{offer.authorization}{'&' if '?' in offer.authorization else '?'}{urlencode(query)}"

    async def claims(self, query: Mapping[str, str], attempt: Attempt) -> Mapping[str, Json]:
        """Who came back, by the query of the callback; IdentityRefused says why it is not believed."""
        offer = await self._offered()
        self._check_answer(query, attempt, offer)
        token = await self._redeem(query["code"], attempt, offer)
        expected = Expected(self.client.issuer, self.client.client_id, attempt.nonce)
        keys = await self._known_keys(offer)
        try:
            return judge_id_token(token, keys, expected, self._sender.clock())
        except KeyUnknown:
            return judge_id_token(token, await self._newer_keys(offer), expected, self._sender.clock())

    def _check_answer(self, query: Mapping[str, str], attempt: Attempt, offer: Offer) -> None:
        if not secrets.compare_digest(query.get("state", "").encode(), attempt.state.encode()):
            raise IdentityRefused("this answer belongs to another sign-in; begin again")
        named = query.get("iss")
        if (named is None and offer.names_itself) or named not in (None, self.client.issuer):
            raise IdentityRefused("this answer comes from another provider")
        if "error" in query:
            raise IdentityRefused(f"the provider refused: {_word(query['error'])}")
        if not query.get("code"):
            raise IdentityRefused("the provider's answer has no code")

    async def _redeem(self, code: str, attempt: Attempt, offer: Offer) -> str:
        """The ID token that a code stands for."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.redirect_url,
            "code_verifier": attempt.verifier,
        }
        headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "application/json")]
        secret = self.client.secret
        if secret is None or offer.takes_secret_in_form:
            form |= {"client_id": self.client.client_id} | ({"client_secret": secret} if secret else {})
        else:
            basic = as_basic(quote_plus(self.client.client_id), quote_plus(secret))
            headers.append(("Authorization", f"Basic {basic}"))
        answer = await self._ask(Message("POST", offer.token, headers, urlencode(form).encode()), "the token endpoint")
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise IdentityRefused("the provider gave no ID token; the scopes need `openid`")
        return token

    # --- what the provider says of itself ------------------------------------------------------------------------

    async def _offered(self) -> Offer:
        now = self._sender.clock()
        if self._offer is not None and 0 <= seconds_between(self._offer[1], now) < KEPT_SECONDS:
            return self._offer[0]
        url = f"{self.client.issuer.rstrip('/')}/.well-known/openid-configuration"
        document = await self._ask(Message("GET", url, [("Accept", "application/json")]), "its discovery document")
        if document.get("issuer") != self.client.issuer:
            raise IdentityRefused("the provider calls itself otherwise than the setting oidc_issuer does")
        methods = document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        offer = Offer(
            authorization=self._endpoint(document, "authorization_endpoint"),
            token=self._endpoint(document, "token_endpoint"),
            keys=self._endpoint(document, "jwks_uri"),
            takes_secret_in_form="client_secret_post" in methods and "client_secret_basic" not in methods,
            names_itself=document.get("authorization_response_iss_parameter_supported") is True,
        )
        self._offer = (offer, now)
        return offer

    def _endpoint(self, document: Mapping[str, Json], name: str) -> str:
        """The address of an endpoint; one without TLS only where the issuer has none either."""
        url = document.get(name)
        schemes = ("https",) if self.client.issuer.startswith("https:") else ("https", "http")
        if not isinstance(url, str) or urlsplit(url).scheme not in schemes or not urlsplit(url).hostname:
            raise IdentityRefused(f"the provider's {name} is no address that can be used")
        return url

    async def _known_keys(self, offer: Offer) -> Sequence[Json]:
        if self._keys is not None and 0 <= seconds_between(self._keys[1], self._sender.clock()) < KEPT_SECONDS:
            return self._keys[0]
        return await self._fetch_keys(offer)

    async def _newer_keys(self, offer: Offer) -> Sequence[Json]:
        """The keys asked for again, unless that was done a moment ago: strange tokens must not make us ask and ask."""
        if self._keys is not None and seconds_between(self._keys[1], self._sender.clock()) < KEYS_AGAIN_SECONDS:
            return self._keys[0]
        return await self._fetch_keys(offer)

    async def _fetch_keys(self, offer: Offer) -> Sequence[Json]:
        document = await self._ask(Message("GET", offer.keys, [("Accept", "application/json")]), "its keys")
        keys = document.get("keys")
        if not isinstance(keys, list) or len(keys) > MOST_KEYS:
            raise IdentityRefused("the provider's keys can't be read")
        self._keys = (keys, self._sender.clock())
        return keys

    async def _ask(self, message: Message, what: str) -> dict[str, Any]:
        """The JSON object that the provider answers with."""
        report = await self._sender.ask(message, LIMITS)
        if report.status is None or report.error is not None:
            raise IdentityRefused(f"the provider did not tell {what}: {report.error or 'no answer'}")
        try:
            document = msgspec.json.decode(report.response_body)
        except (msgspec.DecodeError, ValueError, RecursionError):
            document = None
        if report.status != 200:
            said = document.get("error") if isinstance(document, dict) else None
            told = f" ({_word(said)})" if isinstance(said, str) else ""
            raise IdentityRefused(f"the provider did not tell {what}: it answered {report.status}{told}")
        if not isinstance(document, dict):
            raise IdentityRefused(f"the provider did not tell {what}: that is no JSON object")
        return document


def _word(text: str) -> str:
    """An error code of OAuth as it may be shown: anything else might have been written by anybody."""
    is_code = len(text) <= 60 and all(
        character.isascii() and (character.isalnum() or character in "_-.") for character in text
    )
    return text if is_code else "for a reason that can't be shown"
