"""A MariaDB server of the tests' own, from Debian's package.

It listens on a free port of the loopback, keeps its data in a temporary folder and is gone with the process that
started it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import pymysql
from sqlalchemy import URL

from tests.server.certificates import Authority
from tests.support.postgres import START_LIMIT_SECONDS, as_owner, free_port, owner_of_server

HOST_NAME = "database.example"
PROGRAMS = ("/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin")
SETTINGS = (
    "--no-defaults",
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=8M",
    "--innodb-fast-shutdown=2",
    "--performance-schema=OFF",
    "--character-set-server=latin1",  # an old default, which connections have to cope with
)


def is_installed() -> bool:
    return _program("mariadbd") is not None and _program("mariadb-install-db") is not None


def may_be_installed() -> bool:
    """Whether the tests' preparation could have installed it: then its absence is a fault."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


class MariadbServer:
    """A server started here. `stop` and `start` may alternate: port and data stay."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="crossdock-mariadb-"))
        self._owner = owner_of_server()
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._url = URL.create("mysql", "root", host="127.0.0.1", port=self._port)
        self.authority = self._folder / "authority.pem"
        """Whoever trusts it finds the server's certificate good, for `HOST_NAME`."""
        self._make_certificate()
        self._initialise()
        self.start()

    def url(self, database: str, *, user: str | None = None, password: str | None = None) -> str:
        url = self._url.set(database=database)
        if user is not None:
            url = url.set(username=user, password=password)
        return url.render_as_string(hide_password=False)

    def create_database(self) -> str:
        name = f"crossdock_test_{uuid.uuid4().hex}"
        self.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return name

    def drop_database(self, name: str) -> None:
        self.run(f"DROP DATABASE IF EXISTS {name}")

    def run(self, *statements: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Carry out statements; the rows of the last."""
        url = self._url
        connection = pymysql.connect(
            host=url.host,
            port=url.port or 3306,
            user=url.username,
            password=str(url.password or ""),
            database=database,
            autocommit=True,
        )
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def start(self) -> None:
        """Start it and wait until it lets someone in."""
        command = [
            str(_program("mariadbd")),
            *SETTINGS,
            f"--datadir={self._folder / 'data'}",
            f"--port={self._port}",
            f"--socket={self._folder / 'socket'}",
            f"--pid-file={self._folder / 'pid'}",
            f"--ssl-cert={self._folder / 'server.crt'}",
            f"--ssl-key={self._folder / 'server.key'}",
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                as_owner(self._owner, command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder
            )
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop it as an operator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _make_certificate(self) -> None:
        authority = Authority()
        certificate, key = authority.issue(HOST_NAME)
        self.authority.write_text(authority.certificate)
        (self._folder / "server.crt").write_text(certificate)
        (self._folder / "server.key").write_text(key)

    def _initialise(self) -> None:
        if self._owner is not None:
            for path in (self._folder, *self._folder.iterdir()):
                os.chown(path, self._owner.pw_uid, self._owner.pw_gid)
        command = [
            str(_program("mariadb-install-db")),
            "--no-defaults",
            f"--datadir={self._folder / 'data'}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
        ]
        done = subprocess.run(
            as_owner(self._owner, command), cwd=self._folder, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise RuntimeError(f"mariadb-install-db failed: {done.stdout}{done.stderr}")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while True:
            try:
                self.run("SELECT 1")
                return
            except pymysql.Error as error:
                if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                    log = (self._folder / "log").read_text(errors="replace")
                    raise RuntimeError(f"MariaDB did not start: {log[-2000:]}") from error
                time.sleep(0.05)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.wait(START_LIMIT_SECONDS)
        self._process = None


def _program(name: str) -> Path | None:
    found = shutil.which(name, path=os.pathsep.join((*PROGRAMS, os.environ.get("PATH", ""))))
    return None if found is None else Path(found)
