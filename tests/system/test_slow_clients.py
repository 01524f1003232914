"""Clients that dawdle are closed by time, and others do not notice them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.program import Program

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(120)]

HALF_HEAD = b"POST /hooks/default/orders HTTP/1.1\r\nHost: here\r\nX-Slow: "
HALF_BODY = b"POST /hooks/default/orders HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\n{"


@pytest.fixture
def serving(program: Program) -> Iterator[Program]:
    program.environment |= {"CROSSDOCK_HEAD_TIMEOUT": "PT2S", "CROSSDOCK_BODY_TIMEOUT": "PT2S"}
    program.start()
    program.add_integration({"name": "orders", "type": "webhook-trigger", "path": "orders"})
    yield program
    program.stop()


@pytest.mark.parametrize("beginning", [HALF_HEAD, HALF_BODY], ids=["half a head", "half a body"])
def test_unfinished_request_is_ended_by_time(serving: Program, beginning: bytes):
    with socket.create_connection(("127.0.0.1", serving.port), timeout=20) as connection:
        connection.sendall(beginning)

        answer = read_to_the_end(connection)

    assert answer.startswith(b"HTTP/1.1 408 ")


def test_many_slow_clients_do_not_keep_others_out(serving: Program):
    with ExitStack() as stack:
        for number in range(300):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", serving.port), timeout=20))
            connection.sendall(HALF_HEAD if number % 2 else HALF_BODY)

        answer = serving.call("orders", {"number": 1})

    assert answer.status == 202


def read_to_the_end(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    pieces = []
    while piece := connection.recv(65_536):
        pieces.append(piece)
    return b"".join(pieces)
