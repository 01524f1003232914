"""The command line in this process, and a server that answers as a test says."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from crossdock.cli.program import run


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Ended]


@pytest.fixture
def crossdock(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Carry out a command line, without the settings of this machine."""
    for name in [name for name in os.environ if name.startswith("CROSSDOCK_")]:
        monkeypatch.delenv(name)

    def carry_out(*words: object) -> Ended:
        monkeypatch.setattr("sys.argv", ["crossdock", *map(str, words)])
        capfd.readouterr()
        try:
            code = run()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        said = capfd.readouterr()
        return Ended(code, said.out, said.err)

    return carry_out


@dataclass
class Answering:
    """A server: `answers` by method and path, or path with query; `asked` is what came."""

    url: str = ""
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    interrupting: str = ""
    """The request at which Ctrl-C is pressed."""


@pytest.fixture
def server() -> Iterator[Answering]:
    state = Answering()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(length)
            asked = f"{self.command} {self.path}"
            state.asked.append((asked, dict(self.headers), json.loads(body) if body else None))
            if asked == state.interrupting:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.2)  # whoever waits for the answer is to meet the signal, not the answer
            status, document = state.answers.get(asked) or state.answers.get(asked.partition("?")[0]) or (404, {})
            content = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who was interrupted has hung up
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    listening.shutdown()
    listening.server_close()
    thread.join()
