"""What goes wrong between Crossdock and another system, in words for an operator."""

from __future__ import annotations

import errno
import ssl

import aiohttp

_CERTIFICATE_WORDS = {
    9: "it is not valid yet (or the clock here is wrong)",
    10: "it has expired",
    18: "it is signed by itself, and nobody known here vouches for it; add it to the connection as its private CA",
    19: "it goes back to an authority that is not known here; add that authority's certificate to the connection",
    20: "it goes back to an authority that is not known here; add that authority's certificate to the connection",
    21: "it goes back to an authority that is not known here; add that authority's certificate to the connection",
    23: "it has been revoked",
    62: "it is made out to another host name",
    64: "it is made out to another address",
}
"""By OpenSSL's verification results (X509_V_ERR_...)."""


def describe_failure(failure: Exception, peer: str) -> str:
    """A network fault in words for an operator. `peer` is `host:port`."""
    match failure:
        case aiohttp.ClientConnectorDNSError():
            return f"the name in {peer} could not be resolved: {_system_words(failure.os_error)}"
        case aiohttp.ClientConnectorCertificateError():
            return f"the certificate of {peer} is not valid: {_certificate_words(failure.certificate_error)}"
        case aiohttp.ClientConnectorSSLError():
            return f"no encrypted connection to {peer} could be made: {_tls_words(failure.os_error)}"
        case aiohttp.ClientConnectorError():
            if isinstance(failure.os_error, ConnectionRefusedError):
                return f"the connection was refused by {peer}"
            if isinstance(failure.os_error, ConnectionResetError):
                return f"{peer} hung up while the encryption was agreed on; it may want a client certificate"
            return f"no connection to {peer} could be made: {_system_words(failure.os_error)}"
        case aiohttp.ClientResponseError():
            return f"the answer of {peer} is not valid HTTP: {first_line(failure.message)}"
        case aiohttp.ClientOSError(__cause__=ssl.SSLError() as alert):  # in TLS 1.3 it comes after the handshake
            return f"the encrypted connection to {peer} failed: {_tls_words(alert)}"
        case aiohttp.ServerDisconnectedError() | OSError(errno=errno.ECONNRESET | errno.EPIPE):
            return f"the connection was closed by {peer} before an answer came"
        case aiohttp.ClientPayloadError():
            return f"the answer of {peer} broke off before its end"
        case _:
            return f"the exchange with {peer} failed: {first_line(str(failure)) or type(failure).__name__}"


def readable(value: str) -> str:
    """Bytes that are not UTF-8 arrive as lone surrogates, which neither JSON nor databases take."""
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def first_line(text: str) -> str:
    return readable(text.strip().partition("\n")[0][:200])


def _certificate_words(error: Exception) -> str:
    known = _CERTIFICATE_WORDS.get(getattr(error, "verify_code", 0))
    reason = getattr(error, "verify_message", "") or str(error)
    return known or first_line(reason)


def _tls_words(error: OSError) -> str:
    """The other side's alert where it sent one: it says what it misses."""
    reason = (getattr(error, "reason", None) or "").upper()
    if "CERTIFICATE_REQUIRED" in reason or "ALERT_HANDSHAKE_FAILURE" in reason:
        return f"it does not take us as we are, and may want a client certificate ({reason})"
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return f"it refuses our client certificate ({reason})"
    if "WRONG_VERSION_NUMBER" in reason or "HTTP_REQUEST" in reason:
        return "it does not speak TLS there"
    return _system_words(error)


def _system_words(error: OSError) -> str:
    return error.strerror or str(error)
