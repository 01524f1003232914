"""A PgBouncer of the tests' own, from Debian's package: sessions of PostgreSQL, lent out for one transaction each.

It listens on a free port of the loopback and is gone with the process that started it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

import pytest

from tests.support.postgres import START_LIMIT_SECONDS, as_owner, free_port, owner_of_server

PROGRAM = shutil.which("pgbouncer", path=os.pathsep.join(("/usr/sbin", "/usr/bin", os.environ.get("PATH", ""))))


def expect() -> None:
    """Leave the test out where there is no PgBouncer; fail it where the tests' preparation could have installed it."""
    if PROGRAM is None:
        advice = "PgBouncer is not installed (Debian: pgbouncer)"
        if os.geteuid() == 0 and shutil.which("apt-get") is not None:
            pytest.fail(f"{advice}; scripts/prepare test installs it")
        pytest.skip(f"{advice}: what happens behind a pooler is not tried")


class PgBouncer:
    """Before the server at `url`, with a user that may do everything there."""

    def __init__(
        self, url: str, *, sessions: int = 4, settings: str = "", files: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """`settings` may name `files`, which are written for it, as `{folder}/NAME`."""
        self._server = urlsplit(url)
        self._folder = Path(tempfile.mkdtemp(prefix="crossdock-pgbouncer-"))
        self._port = free_port()
        self._owner = owner_of_server()
        file = self._folder / "pgbouncer.ini"
        file.write_text(self._configuration(sessions, settings.format(folder=self._folder)))
        for name, content in files.items():
            (self._folder / name).write_text(content)
        if self._owner is not None:
            for path in (self._folder, *self._folder.iterdir()):
                os.chown(path, self._owner.pw_uid, self._owner.pw_gid)
        assert PROGRAM is not None
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                as_owner(self._owner, [PROGRAM, str(file)]), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._wait_until_ready()

    @property
    def port(self) -> int:
        return self._port

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self._port}/{database}"

    def remove(self) -> None:
        self._process.kill()  # it keeps nothing, and may have been started with other signals ignored
        self._process.wait(START_LIMIT_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _configuration(self, sessions: int, settings: str) -> str:
        server = f"host={self._server.hostname} port={self._server.port} user={self._server.username}"
        return f"""[databases]
* = {server}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self._port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 200
{settings}
"""

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=5).close()
                return
            except ConnectionRefusedError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log = (self._folder / "log").read_text(errors="replace")
                    raise RuntimeError(f"PgBouncer did not start: {log[-2000:]}") from error
                time.sleep(0.02)
