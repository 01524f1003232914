"""Certificates in documents: PEM text that is what it says, certificates and keys that belong together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from crossdock.model.time import Instant, seconds_between

MAX_PEM_LENGTH = 65_536
WARNED_BEFORE_SECONDS = 30 * 86_400.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def check_certificates(text: str) -> str:
    """One or more certificates as PEM text; ValueError when they are none."""
    read_certificates(text)
    return text


def check_key(text: str) -> str:
    """A private key as PEM text, without a passphrase; ValueError when it is none."""
    _read_key(text)
    return text


def read_certificates(text: str) -> list[x509.Certificate]:
    """The certificates in the text, in their order."""
    _check_length(text)
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise ValueError(
            "holds no certificate that can be read; paste the PEM text, from -----BEGIN CERTIFICATE----- to the end"
        ) from None


def check_belongs(certificate: str, key: str) -> None:
    """ValueError when the key is not that of the first certificate."""
    try:
        own = _public(read_certificates(certificate)[0].public_key())
        same = own == _public(_read_key(key).public_key())
    except UnsupportedAlgorithm:
        raise ValueError("is of a kind that can't be used; use RSA, ECDSA or Ed25519") from None
    if not same:
        raise ValueError("is not the key of the certificate; both have to come from the same pair")


def expires_at(text: str) -> Instant:
    """When the first of the certificates in the text does: the one that the others vouch for."""
    end = read_certificates(text)[0].not_valid_after_utc
    return (end - _EPOCH) // timedelta(microseconds=1)


def expiry_warning(subject: str, end: Instant, now: Instant) -> str | None:
    """What to say of a certificate that has expired, or will within thirty days."""
    left = seconds_between(now, end)
    if left <= 0:
        return f"{subject} has expired; replace it."
    if left <= WARNED_BEFORE_SECONDS:
        return f"{subject} expires in {int(left // 86_400)} days; replace it before."
    return None


def _read_key(text: str) -> PrivateKeyTypes:
    _check_length(text)
    try:
        return load_pem_private_key(text.encode(), password=None)
    except TypeError:
        raise ValueError("is locked with a passphrase; unlock it first: openssl pkey -in KEY -out UNLOCKED") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(
            "holds no private key that can be read; paste the PEM text, from -----BEGIN PRIVATE KEY----- to the end"
        ) from None


def _check_length(text: str) -> None:
    if len(text) > MAX_PEM_LENGTH:
        raise ValueError(f"must be {MAX_PEM_LENGTH} characters at most, not {len(text)}")


def _public(key: object) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined,no-any-return]
