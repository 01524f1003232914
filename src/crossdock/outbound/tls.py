"""How a connection encrypts: whom it trusts, and what it shows of itself.

A context is made once for each revision of a connection and handed to the client with each request. The client keeps
its open connections by context, so that one that was opened with a client certificate serves nobody else.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from crossdock.outbound.connection import HttpConnection, TlsOptions

MAX_CONTEXTS = 256
_PLAIN = TlsOptions()


class TlsUnusable(Exception):
    """The certificates of a connection can't be used; the message says which, and what is needed."""


class TlsCache:
    """The contexts of the connections in use. None stands for the one that everybody uses."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, bool], tuple[int, TlsOptions, ssl.SSLContext]] = {}

    def own(self, connection: HttpConnection) -> ssl.SSLContext | None:
        """For the connection's origin. Raises TlsUnusable."""
        return None if connection.tls == _PLAIN else self._kept(connection, True, own_context)

    def other(self, connection: HttpConnection) -> ssl.SSLContext | None:
        """For where else it leads: a token endpoint, a redirect. Raises TlsUnusable."""
        return None if connection.tls.ca is None else self._kept(connection, False, other_context)

    def _kept(
        self, connection: HttpConnection, is_own: bool, make: Callable[[TlsOptions], ssl.SSLContext]
    ) -> ssl.SSLContext:
        key = (connection.id, is_own)
        known = self._made.get(key)
        if known is not None and known[:2] == (connection.revision, connection.tls):
            return known[2]
        made = make(connection.tls)
        self._made.pop(key, None)
        if len(self._made) >= MAX_CONTEXTS:
            del self._made[next(iter(self._made))]
        self._made[key] = (connection.revision, connection.tls, made)
        return made


def own_context(tls: TlsOptions) -> ssl.SSLContext:
    """Trusts whom the options say, and shows their client certificate. Raises TlsUnusable."""
    if tls.verify:
        context = ssl.create_default_context() if tls.ca is None else _trusting(tls.ca)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.certificate is not None and tls.key is not None:
        _show(context, tls.certificate, tls.key)
    elif tls.certificate is not None or tls.key is not None:
        missing = "private key" if tls.key is None else "certificate"
        raise TlsUnusable(f"a client certificate needs its {missing} too")
    return context


def other_context(tls: TlsOptions) -> ssl.SSLContext:
    """Trusts the private CA beside the system's authorities, always checks, and shows no client certificate: the
    options were made for another place. Raises TlsUnusable."""
    context = ssl.create_default_context()
    if tls.ca is not None:
        _trust(context, tls.ca)
    return context


def _trusting(ca: str) -> ssl.SSLContext:
    """Trusts the private CA and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _trust(context, ca)
    return context


def _trust(context: ssl.SSLContext, ca: str) -> None:
    try:
        context.load_verify_locations(cadata=ca)
    except (ssl.SSLError, ValueError, TypeError):
        raise TlsUnusable(
            "the private CA can't be read; paste its certificate as PEM, from -----BEGIN CERTIFICATE----- on"
        ) from None


def _show(context: ssl.SSLContext, certificate: str, key: str) -> None:
    pem = f"{certificate.strip()}\n{key.strip()}\n"
    try:
        with _as_file(pem.encode()) as path:
            context.load_cert_chain(path, password=_refuse_to_ask)
    except _Locked:
        raise TlsUnusable(
            "the client certificate's private key is locked with a passphrase; paste it unlocked"
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsUnusable("the private key does not belong to the client certificate") from None
        raise TlsUnusable(
            "the client certificate or its private key can't be read; paste both as PEM, with their BEGIN and END lines"
        ) from None


class _Locked(Exception):
    pass


def _refuse_to_ask() -> str:
    """Without this, OpenSSL asks for the passphrase on the terminal, and waits."""
    raise _Locked


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path to read `content` from, while it is needed: OpenSSL takes a private key from a file only.

    On Linux the file has no name in any folder and never touches a disk. Elsewhere it is in a folder that only this
    user can enter.
    """
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        descriptor = os.memfd_create("client-certificate")
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "client-certificate.pem"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        yield str(path)
