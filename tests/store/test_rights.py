"""Who may do what with PostgreSQL, and how the way there is kept from others: roles, passwords, TLS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text

from crossdock.model.errors import Misconfigured
from crossdock.store import open_store
from crossdock.store.accept import Accepted
from crossdock.store.database import open_database
from crossdock.store.migrate import LATEST_REVISION, current_revision, migrate
from tests.server.certificates import Authority
from tests.support import pgbouncer
from tests.support.held import HeldClock
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import ForeignServer, OwnServer
from tests.support.runs import Runs, a_step, an_entry

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "postgresql.md"


def script(heading: str) -> str:
    """The SQL under a heading of the guide."""
    section = GUIDE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
    assert found, f"no SQL under {heading!r}"
    return "\n".join(found)


@contextmanager
def as_superuser(server: OwnServer, database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(server.url(database), autocommit=True) as connection:
        yield connection


def carry_out(server: OwnServer, sql: str) -> None:
    """As psql does: statement by statement, `\\connect` to another database."""
    database = "postgres"
    for statement in re.split(r";\n|(?<=crossdock)\n", re.sub(r"--.*", "", sql)):
        if statement.strip().startswith("\\connect"):
            database = statement.split()[1]
        elif statement.strip():
            with as_superuser(server, database) as connection:
                connection.execute(statement)


@pytest.fixture
def two_roles(own_postgres: OwnServer) -> OwnServer:
    carry_out(own_postgres, script("Two roles: one owns, one works"))
    return own_postgres


def url_of(server: OwnServer, role: str) -> str:
    return f"postgresql://{role}:secret@127.0.0.1:{server.port}/crossdock"


async def test_the_owner_migrates_and_the_other_role_works(two_roles: OwnServer, clock: HeldClock) -> None:
    database = open_database(url_of(two_roles, "crossdock_owner"))
    migrate(database)
    database.dispose()

    async with open_store(url_of(two_roles, "crossdock")) as store:
        runs = Runs(store, clock.now)
        run = await runs.leased()
        assert await runs.settle(run, entry=an_entry(0, a_step()))
        assert isinstance(await runs.accept(lane="k", leased=True), Accepted)
        assert await store.read(current_revision) == LATEST_REVISION
        with pytest.raises(Exception, match="must be owner|permission denied"):
            await store.write(lambda connection: connection.execute(text("DROP TABLE rejection")))


async def test_a_role_that_may_not_make_tables_is_told_who_may(two_roles: OwnServer) -> None:
    with pytest.raises(Misconfigured, match=r"permission denied.*`crossdock migrate` as the role that owns them"):
        async with open_store(url_of(two_roles, "crossdock")):
            pass


async def test_a_role_without_its_rights_is_told_which(two_roles: OwnServer) -> None:
    database = open_database(url_of(two_roles, "crossdock_owner"))
    migrate(database)
    database.dispose()
    with as_superuser(two_roles, "crossdock") as connection:
        connection.execute("REVOKE INSERT ON run, lane FROM crossdock")
        connection.execute("REVOKE DELETE ON event FROM crossdock")

    with pytest.raises(Misconfigured, match=r"crossdock lacks rights: DELETE on event; INSERT on lane, run"):
        async with open_store(url_of(two_roles, "crossdock")):
            pass


async def test_the_quick_start_makes_a_database_that_works(own_postgres: OwnServer) -> None:
    carry_out(own_postgres, script("Quick start"))

    async with open_store(url_of(own_postgres, "crossdock")) as store:
        assert await store.read(current_revision) == LATEST_REVISION


async def test_one_role_becomes_two(own_postgres: OwnServer) -> None:
    carry_out(own_postgres, script("Quick start"))
    async with open_store(url_of(own_postgres, "crossdock")):
        pass

    carry_out(own_postgres, script("From one role to two"))

    database = open_database(url_of(own_postgres, "crossdock_owner"))
    migrate(database)
    database.dispose()
    async with open_store(url_of(own_postgres, "crossdock")) as store:
        with pytest.raises(Exception, match="must be owner|permission denied"):
            await store.write(lambda connection: connection.execute(text("DROP TABLE rejection")))


# --- passwords and TLS -----------------------------------------------------------------------------------------------

NAME = "localhost"


class Secured:
    """PostgreSQL reached over TLS only: PgBouncer speaks it for a server that was built without it.

    At `port` the visitor's password is asked for, at `strict_port` the certificate of a machine.
    """

    def __init__(self, folder: Path, postgres: ForeignServer) -> None:
        self._postgres = postgres
        authority = Authority()
        self.root = self._file(folder / "root.crt", authority.certificate)
        self.foreign_root = self._file(folder / "foreign.crt", Authority("Elsewhere").certificate)
        client, client_key = authority.issue("machine")
        self.client = self._file(folder / "client.crt", client)
        self.client_key = self._file(folder / "client.key", client_key)
        certificate, key = authority.issue(NAME)
        files = {"server.crt": certificate, "server.key": key, "root.crt": authority.certificate}
        self._by_password = self._bouncer("require", "md5", {**files, "users": '"visitor" "p@ss/word"\n'})
        self._by_certificate = self._bouncer("verify-full", "cert", {**files, "users": '"machine" ""\n'})
        self.port, self.strict_port = self._by_password.port, self._by_certificate.port
        self.name = postgres.create_database()

    def _bouncer(self, mode: str, kind: str, files: dict[str, str]) -> PgBouncer:
        settings = (
            f"auth_type = {kind}\nauth_file = {{folder}}/users\nclient_tls_sslmode = {mode}\n"
            "client_tls_cert_file = {folder}/server.crt\nclient_tls_key_file = {folder}/server.key\n"
            "client_tls_ca_file = {folder}/root.crt\n"
        )
        return PgBouncer(self._postgres.url("postgres"), settings=settings, files=files)

    def url(self, query: str, *, host: str = NAME) -> str:
        return f"postgresql://visitor:p%40ss%2Fword@{host}:{self.port}/{self.name}?{query}"

    def machine_url(self, query: str) -> str:
        return f"postgresql://machine@{NAME}:{self.strict_port}/{self.name}?{query}"

    def remove(self) -> None:
        self._by_password.remove()
        self._by_certificate.remove()
        self._postgres.drop_database(self.name)

    def _file(self, path: Path, content: str) -> Path:
        path.write_text(content)
        path.chmod(0o600)
        return path


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, postgres: ForeignServer) -> Iterator[Secured]:
    pgbouncer.expect()
    made = Secured(tmp_path_factory.mktemp("tls"), postgres)
    yield made
    made.remove()


async def is_encrypted(url: str) -> bool:
    async with open_store(url) as store:
        return await store.write(_asks_libpq)


def _asks_libpq(connection: Connection) -> bool:
    driver: Any = connection.connection.dbapi_connection
    return bool(driver.pgconn.ssl_in_use)


async def test_connections_are_encrypted_and_the_server_is_checked(secured: Secured) -> None:
    for query in ("sslmode=require", f"sslmode=verify-ca&sslrootcert={secured.root}"):
        assert await is_encrypted(secured.url(query, host="127.0.0.1")) is True
    assert await is_encrypted(secured.url(f"sslmode=verify-full&sslrootcert={secured.root}")) is True


@pytest.mark.parametrize(
    ("query", "host", "said"),
    [
        ("sslmode=verify-ca&sslrootcert={0.foreign_root}", NAME, "certificate verify failed"),
        ("sslmode=verify-full&sslrootcert={0.root}", "127.0.0.1", "does not match host name"),
        ("sslmode=verify-full&sslrootcert=/no/such.crt", NAME, "does not exist"),
        ("sslmode=disable", NAME, "SSL required"),
        ("sslmode=sometimes", NAME, "invalid sslmode"),
    ],
)
async def test_a_server_that_is_not_trusted_is_left_with_words(
    secured: Secured, query: str, host: str, said: str
) -> None:
    with pytest.raises(Misconfigured, match=said) as refused:
        await is_encrypted(secured.url(query.format(secured), host=host))

    assert "word" not in str(refused.value).replace("password authentication", "")


async def test_a_client_certificate_takes_the_place_of_a_password(secured: Secured) -> None:
    shown = f"sslmode=verify-full&sslrootcert={secured.root}&sslcert={secured.client}&sslkey={secured.client_key}"

    assert await is_encrypted(secured.machine_url(shown)) is True
    with pytest.raises(Misconfigured, match="certificate"):
        await is_encrypted(secured.machine_url(f"sslmode=verify-full&sslrootcert={secured.root}"))


async def test_a_password_may_stand_in_a_file_of_its_own(secured: Secured, tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    file.write_text(f"{NAME}:{secured.port}:*:visitor:p@ss/word\n")
    file.chmod(0o600)
    url = f"postgresql://visitor@{NAME}:{secured.port}/{secured.name}?sslmode=require&passfile={file}"

    assert await is_encrypted(url) is True


async def test_a_service_file_may_say_it_all(secured: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "services"
    place = f"host={NAME}\nport={secured.port}\ndbname={secured.name}\nuser=visitor\npassword=p@ss/word\n"
    file.write_text(f"[orders]\n{place}sslmode=require\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))

    assert await is_encrypted("postgresql:///?service=orders") is True
