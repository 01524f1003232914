"""The real program as a process of its own, started as a user would start it, and its admin API from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from tests.support.postgres import free_port

ADMIN_TOKEN = "a-token-for-tests-and-measurements"
START_LIMIT_SECONDS = 40.0
LAUNCHER = (sys.executable, "-m", "crossdock")
SOURCE = Path(__file__).resolve().parents[2] / "src"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answered; header names in lower case. `document` is the JSON body, or None."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body) if self.body else None


class Refused(Exception):
    """The admin API said no."""


class Program:
    """`crossdock serve` in `folder`. It may be started again after it ended: port, data and settings stay."""

    def __init__(
        self,
        folder: Path,
        *,
        database: str | None = None,
        settings: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        launcher: Sequence[str] = LAUNCHER,
    ) -> None:
        """`settings` are CROSSDOCK_ variables without their prefix, in lower case; `launcher` starts the program."""
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.log_path = folder / "program.log"
        self._command = [*launcher, "serve", "--host", "127.0.0.1", "--port", str(self.port), "--data", str(self.data)]
        if database is not None:
            self._command += ["--database", database]
        self._command += arguments
        self.environment = _environment(settings or {})
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def database_path(self) -> Path:
        return self.data / "crossdock.db"

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the process without waiting for it to be ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=self.folder,
                start_new_session=True,
            )
        return self.process

    def start(self) -> None:
        """Start it and wait until it is ready to work."""
        self.launch()
        self.wait_until_ready()

    def wait_until_ready(self, within: float = START_LIMIT_SECONDS) -> None:
        deadline = time.monotonic() + within
        while not self.is_ready():
            if self.process is None or self.process.poll() is not None:
                raise AssertionError(f"the program ended before it was ready:\n{self.log[-4000:]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"the program was not ready within {within} s:\n{self.log[-4000:]}")
            time.sleep(0.02)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """End it as a power switch would: no signal handler, no last write."""
        self.end(signal.SIGKILL)

    def stop(self, within: float = START_LIMIT_SECONDS) -> int:
        """Ask it to end and wait; the exit code."""
        return self.end(signal.SIGTERM, within)

    def end(self, how: signal.Signals, within: float = START_LIMIT_SECONDS) -> int:
        process = self.process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(how)
        code = process.wait(within)
        self.process = None
        return code

    def memory(self) -> tuple[float, float]:
        """Resident memory now and at its highest, in MB."""
        assert self.process is not None
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines())
        return int(fields["VmRSS"].split()[0]) / 1024, int(fields["VmHWM"].split()[0]) / 1024

    # --- from outside ---

    def ask(self, method: str, path: str, document: Any = None, *, headers: Mapping[str, str] | None = None) -> Reply:
        """A request to the program; refusals come back like any other answer."""
        body = None if document is None else json.dumps(document).encode()
        given = {"Content-Type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.url + path, data=body, method=method, headers=given)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Reply(answer.status, _by_lower_name(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, _by_lower_name(error.headers), error.read())

    def call(self, path: str, document: Any) -> Reply:
        """Call the integration at `path` of the default workspace."""
        return self.ask("POST", f"/hooks/default/{path}", document)

    def admin(self, method: str, path: str, document: Any = None) -> Any:
        """The document that the admin API answers with; Refused when it says no."""
        reply = self.ask(method, f"/api/v1{path}", document, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
        if reply.status >= 400:
            raise Refused(f"{method} {path}: {reply.status} {reply.body.decode(errors='replace')}")
        return reply.document

    def add_integration(self, document: dict[str, Any], key: str | None = None) -> str:
        """Create an enabled integration and return its id; with `key` as its API key."""
        made: str = self.admin("POST", "/integrations", {"status": "enabled", **document})["id"]
        if key is not None:
            self.admin("POST", f"/integrations/{made}/keys", {"label": "caller", "key": key})
        return made


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CROSSDOCK_")}
    ours = {f"CROSSDOCK_{name.upper()}": value for name, value in settings.items()}
    path = os.pathsep.join([str(SOURCE), *filter(None, [kept.get("PYTHONPATH")])])
    return {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "CROSSDOCK_ADMIN_TOKEN": ADMIN_TOKEN, **ours}


def _by_lower_name(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
