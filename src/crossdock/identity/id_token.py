"""Judging an ID token (OpenID Connect Core 1.0, 3.1.3.7). Pure: the token, the keys and the time in, claims out."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from crossdock.model.outcome import Json
from crossdock.model.time import SECOND, Instant

ALGORITHMS = {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
"""Signatures that are accepted, and the type of key of each. `none` and shared secrets are not among them."""
TOLERANCE_SECONDS = 60.0
"""How far the clocks of the provider and of this machine may be apart."""
LONGEST_TOKEN = 64 * 1024
LONGEST_SUBJECT = 255


class IdentityRefused(Exception):
    """What the provider said is not believed; the message is for people and holds none of it."""


class KeyUnknown(IdentityRefused):
    """No key of the provider fits; it may have new ones."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a good token says."""

    issuer: str
    client_id: str
    nonce: str


def judge_id_token(token: str, keys: Sequence[Json], expected: Expected, now: Instant) -> Mapping[str, Json]:
    """The claims of a token that was signed with one of the provider's keys (JWK documents) and is meant for us, now.

    IdentityRefused says why it is not believed; KeyUnknown when its key is not among `keys`.
    """
    if len(token) > LONGEST_TOKEN:
        raise IdentityRefused("the ID token is too long")
    algorithm, key = _key_for(token, keys)
    options: Any = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
    try:
        claims: dict[str, Json] = jwt.decode(token, key, algorithms=[algorithm], options=options)
    except jwt.PyJWTError:
        raise IdentityRefused("the ID token is not signed by the provider's key") from None
    _check_claims(claims, expected)
    _check_times(claims, now)
    return claims


def _key_for(token: str, keys: Sequence[Json]) -> tuple[str, jwt.PyJWK]:
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise IdentityRefused("the ID token can't be read") from None
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise IdentityRefused(f"the ID token is not signed in a way that is accepted ({', '.join(ALGORITHMS)})")
    fitting = [key for key in keys if _fits(key, algorithm, header.get("kid"))]
    if len(fitting) != 1:
        raise KeyUnknown("the ID token is signed with a key that the provider does not name")
    try:
        return algorithm, jwt.PyJWK(fitting[0], algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        raise IdentityRefused("the provider's key can't be used") from None


def _fits(key: Json, algorithm: str, key_id: object) -> bool:
    """Whether a key may have signed. Without a key id in the token, the provider has to have one key of that type."""
    if not isinstance(key, dict) or key.get("kty") != ALGORITHMS[algorithm] or key.get("use", "sig") != "sig":
        return False
    if key.get("alg", algorithm) != algorithm:
        return False
    return key_id is None or key.get("kid") == key_id


def _check_claims(claims: Mapping[str, Json], expected: Expected) -> None:
    if claims.get("iss") != expected.issuer:
        raise IdentityRefused("the ID token comes from another issuer")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if expected.client_id not in audiences:
        raise IdentityRefused("the ID token is meant for another application")
    party = claims.get("azp")
    if party not in (None, expected.client_id) or (party is None and len(audiences) > 1):
        raise IdentityRefused("the ID token was given to another application")
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), expected.nonce.encode()):
        raise IdentityRefused("the ID token belongs to another sign-in")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT or not subject.isprintable():
        raise IdentityRefused("the ID token does not say who it is about")


def _check_times(claims: Mapping[str, Json], now: Instant) -> None:
    seconds = now / SECOND
    ends, begins, issued = (_number(claims, name) for name in ("exp", "nbf", "iat"))
    if ends is None or ends + TOLERANCE_SECONDS <= seconds:
        raise IdentityRefused("the ID token is over")
    if issued is None or max(issued, begins or 0.0) - TOLERANCE_SECONDS > seconds:
        raise IdentityRefused("the ID token is of the future: the clocks of the provider and this server differ")


def _number(claims: Mapping[str, Json], name: str) -> float | None:
    value = claims.get(name)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12
    return float(value) if is_number and isinstance(value, (int, float)) else None
