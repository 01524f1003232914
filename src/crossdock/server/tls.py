"""The TLS settings of the web server: certificate and key files checked before anything listens."""

from __future__ import annotations

import ssl
from pathlib import Path

from cryptography import x509

from crossdock.model.errors import Misconfigured
from crossdock.model.time import Instant, format_instant, parse_instant


def load_tls(certificate: Path, key: Path, now: Instant) -> ssl.SSLContext:
    """A context for TLS 1.2 and newer with the certificate chain and key of two PEM files.

    Misconfigured when a file is missing or unreadable, is not PEM, does not fit the other one, or when the
    certificate is not valid now.
    """
    for path, what in ((certificate, "certificate"), (key, "key")):
        _check_readable(path, what)
    _check_validity(certificate, now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except _PasswordNeeded:
        raise Misconfigured(f"The TLS key file {key} is encrypted; store it without a passphrase.") from None
    except ssl.SSLError as error:
        if "KEY_VALUES_MISMATCH" in str(error):
            raise Misconfigured(f"The TLS key {key} does not belong to the certificate {certificate}.") from None
        raise Misconfigured(f"The TLS key file {key} can't be used: {error.reason or error}.") from None
    return context


class _PasswordNeeded(Exception):
    pass


def _refuse_password() -> str:
    # Without this, OpenSSL would ask on the terminal, and a server started by a service manager would hang.
    raise _PasswordNeeded


def _check_readable(path: Path, what: str) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise Misconfigured(f"The TLS {what} file {path} can't be read: {error.strerror}.") from None


def _check_validity(path: Path, now: Instant) -> None:
    try:
        certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except ValueError:
        raise Misconfigured(f"The TLS certificate file {path} holds no PEM certificate.") from None
    begins = parse_instant(certificate.not_valid_before_utc.isoformat())
    ends = parse_instant(certificate.not_valid_after_utc.isoformat())
    if now >= ends:
        raise Misconfigured(f"The TLS certificate {path} expired at {format_instant(ends)}.")
    if now < begins:
        raise Misconfigured(f"The TLS certificate {path} is not valid before {format_instant(begins)}.")
