"""Where a SQL connection may lead: to checked addresses, and to files of one folder."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pysqlite3.dbapi2 as sqlite
import pytest

from crossdock.model.errors import Invalid
from crossdock.outbound.connection import SqlConnection
from crossdock.outbound.databases import Databases, SqliteFiles
from crossdock.outbound.guard import Guard
from crossdock.outbound.request import SqlFailed, SqlQuery
from crossdock.outbound.sql_url import read_sql_url
from tests.support.foreign_databases import ForeignDatabase, Speaking, databases_in
from tests.support.mariadb import MariadbServer

ONE = SqlQuery("SELECT 1 AS one", {}, "-", timeout=3.0)
SCHEMES = pytest.mark.parametrize("scheme", ["postgresql", "mysql"])


async def refusal(databases: Databases, url: str, statement: str = "SELECT 1") -> SqlFailed:
    with pytest.raises(SqlFailed) as caught:
        await databases.execute(SqlQuery(statement, {}, "-"), SqlConnection("con_1", 1, "Shop", url))
    await databases.close()
    return caught.value


# --- servers -------------------------------------------------------------------------------------------------------


@SCHEMES
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "10.1.2.3", "169.254.169.254", "[::ffff:127.0.0.1]"])
async def test_private_addresses_are_refused_with_what_would_allow_them(tmp_path, scheme: str, host: str):
    failure = await refusal(databases_in(tmp_path, Guard()), f"{scheme}://shop:x@{host}/shop")

    assert (failure.kind, failure.permanent) == ("sql_refused", True)
    assert "CROSSDOCK_ALLOWED_TARGETS" in str(failure)


@SCHEMES
async def test_one_forbidden_address_refuses_the_name(tmp_path, scheme: str):
    found = [ip_address("203.0.113.7"), ip_address("10.0.0.7")]
    guard = Guard((ip_network("203.0.113.0/24"),))

    failure = await refusal(
        databases_in(tmp_path, guard, look_up=lambda *_: found), f"{scheme}://shop:x@db.example/shop"
    )

    assert failure.kind == "sql_refused"
    assert "db.example resolves to 10.0.0.7" in str(failure)


@SCHEMES
async def test_a_name_that_changes_its_mind_is_checked_each_time(tmp_path, scheme: str):
    answers = iter([ip_address("127.0.0.1"), ip_address("127.0.0.2")])
    databases = databases_in(tmp_path, Guard((ip_network("127.0.0.1/32"),)), look_up=lambda *_: [next(answers)])
    async with Speaking(b"nonsense") as server:
        connection = SqlConnection("con_1", 1, "Shop", f"{scheme}://shop:x@db.example:{server.port}/shop")
        with pytest.raises(SqlFailed) as first:
            await databases.execute(ONE, connection)
        assert server.has_called.is_set()
        with pytest.raises(SqlFailed) as second:
            await databases.execute(ONE, connection)

    assert first.value.kind != "sql_refused"
    assert second.value.kind == "sql_refused"
    await databases.close()


@pytest.mark.parametrize("foreign", ["postgresql", "mariadb"], indirect=True)
async def test_the_checked_address_is_the_one_that_is_called(foreign: ForeignDatabase, tmp_path):
    databases = databases_in(tmp_path, look_up=lambda *_: [ip_address("127.0.0.1")])
    elsewhere = foreign.connection(url=foreign.url.replace("127.0.0.1", "database.example"))

    assert (await databases.execute(ONE, elsewhere)).rows == [{"one": 1}]
    await databases.close()


@SCHEMES
async def test_a_name_without_an_address_passes(tmp_path, scheme: str):
    def nobody(host: str, port: int) -> Any:
        raise OSError(-2, "Name or service not known")

    failure = await refusal(databases_in(tmp_path, look_up=nobody), f"{scheme}://shop:x@db.example/shop")

    assert (failure.kind, failure.permanent) == ("sql_unavailable", False)
    assert "the name db.example could not be resolved: Name or service not known" in str(failure)


@pytest.mark.parametrize("foreign", ["postgresql", "mariadb"], indirect=True)
async def test_an_address_that_does_not_answer_is_not_the_last(foreign: ForeignDatabase, tmp_path):
    databases = databases_in(
        tmp_path,
        Guard(hosts=frozenset({"database.example"})),
        look_up=lambda *_: [ip_address("127.0.0.99"), ip_address("127.0.0.1")],
    )
    elsewhere = foreign.connection(url=foreign.url.replace("127.0.0.1", "database.example"))

    assert (await databases.execute(ONE, elsewhere)).rows == [{"one": 1}]
    await databases.close()


CIPHER = "SHOW SESSION STATUS LIKE 'Ssl_cipher'"
TRUSTED = [
    ("database.example", "ssl_ca={authority}"),
    ("database.example", "sslmode=verify-full&ssl_ca={authority}"),
    ("127.0.0.1", "sslmode=verify-ca&ssl_ca={authority}"),
    ("127.0.0.1", "ssl_ca={authority}&ssl_check_hostname=false"),
    ("127.0.0.1", "sslmode=require"),
    ("127.0.0.1", "sslmode=disable"),
]
MISTRUSTED = [
    ("127.0.0.1", "ssl_ca={authority}", "certificate verify failed: IP address mismatch"),
    ("database.example", "sslmode=verify-full", "certificate verify failed"),
    ("database.example", "ssl_ca=/etc/hostname", "the certificates in /etc/hostname can't be used"),
]


def on_host(server: MariadbServer, host: str, options: str) -> str:
    return f"{server.url('mysql').replace('127.0.0.1', host)}?{options.format(authority=server.authority)}"


@pytest.mark.parametrize(("host", "options"), TRUSTED)
async def test_mariadb_is_reached_with_the_encryption_that_is_asked_for(mariadb, tmp_path, host: str, options: str):
    databases = databases_in(tmp_path, look_up=lambda *_: [ip_address("127.0.0.1")])
    connection = SqlConnection("con_1", 1, "Shop", on_host(mariadb, host, options))

    answer = await databases.execute(SqlQuery(CIPHER, {}, "-"), connection)

    assert bool(answer.rows[0]["Value"]) is (options != "sslmode=disable")
    await databases.close()


@pytest.mark.parametrize(("host", "options", "words"), MISTRUSTED)
async def test_mariadb_without_a_good_certificate_is_refused(mariadb, tmp_path, host: str, options: str, words: str):
    databases = databases_in(tmp_path, look_up=lambda *_: [ip_address("127.0.0.1")])

    failure = await refusal(databases, on_host(mariadb, host, options))

    assert words in str(failure)


@pytest.mark.parametrize("mode", ["require", "verify-full"])
async def test_a_postgresql_without_encryption_is_refused_as_asked(foreign_postgres: str, tmp_path, mode: str):
    failure = await refusal(databases_in(tmp_path), f"{foreign_postgres}?sslmode={mode}")

    assert "server does not support SSL" in str(failure)


REFUSED_URLS = [
    "shop",
    "oracle://shop:x@db.example/shop",
    "postgresql:///shop?host=/var/run/postgresql",
    "postgresql://shop:x@/shop?host=db.example",
    "postgresql://shop:x@db1.example,db2.example/shop",
    "postgresql://shop:x@db.example/shop?hostaddr=10.0.0.1",
    "postgresql://shop:x@db.example/shop?service=prod",
    "postgresql://shop:x@db.example/shop?passfile=/etc/passwd",
    "postgresql://shop:x@db.example/shop?options=-c%20work_mem=1GB",
    "postgresql://shop:x@db.example/shop?sslkey=/etc/ssl/private/key.pem",
    "postgresql://shop:x@db.example/shop?sslmode=off",
    "postgresql://shop:x@db.example/shop?connect_timeout=9999",
    "postgresql://db.example/shop",
    "postgresql://shop:x@db.example:0/shop",
    "postgresql://shop:x@db.example:99999/shop",
    "postgresql://shop:x@db.example/",
    "mysql://shop:x@db.example/shop?unix_socket=/run/mysqld/mysqld.sock",
    "mysql://shop:x@db.example/shop?read_default_file=/etc/my.cnf",
    "mysql://shop:x@db.example/shop?local_infile=1",
    "mysql://shop:x@db.example/shop?charset=gbk",
    "mysql://shop:x@db.example/shop?ssl_key=/etc/ssl/private/key.pem",
    "sqlite://",
    "sqlite:///:memory:",
    "sqlite:///../crossdock.db",
    "sqlite:////etc/passwd",
    "sqlite:///shop.db?mode=ro&uri=true",
    "sqlite:///file:shop.db?uri=true",
]


@pytest.mark.parametrize("url", REFUSED_URLS)
async def test_urls_that_reach_elsewhere_are_refused(tmp_path, url: str):
    with pytest.raises(Invalid) as caught:
        read_sql_url(url, tmp_path)

    assert str(caught.value).startswith("the ")
    assert ":x@" not in str(caught.value)
    assert (await refusal(databases_in(tmp_path), url)).kind == "sql_refused"


def test_a_password_may_hold_anything_and_is_not_shown(tmp_path):
    url = read_sql_url("postgresql://shop:p%40ss%2Fw%3Ard@db.example:5433/shop?sslmode=verify-full", tmp_path)

    assert (url.password, url.host, url.port, url.database) == ("p@ss/w:rd", "db.example", 5433, "shop")
    assert "ss" not in repr(url).partition("@")[0].replace("postgresql", "")


# --- files ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "databases"
    inside.mkdir()
    for path in (inside / "shop.db", tmp_path / "crossdock.db"):
        with sqlite.connect(path) as connection:
            connection.execute("CREATE TABLE orders (number INTEGER PRIMARY KEY)")
        connection.close()
    return inside


async def test_a_file_is_named_from_its_folder(folder: Path):
    databases = databases_in(folder)

    answer = await databases.execute(ONE, SqlConnection("con_1", 1, "Shop", "sqlite:///shop.db"))

    assert answer.rows == [{"one": 1}]
    await databases.close()


async def test_links_out_of_the_folder_are_refused(folder: Path):
    (folder / "link.db").symlink_to(folder.parent / "crossdock.db")

    assert (await refusal(databases_in(folder), "sqlite:///link.db")).kind == "sql_refused"


async def test_crossdocks_own_database_is_refused_under_any_name(folder: Path):
    (folder / "alias.db").hardlink_to(folder.parent / "crossdock.db")
    files = SqliteFiles(folder, sqlite, folder.parent / "crossdock.db")

    failure = await refusal(Databases(Guard(), files), "sqlite:///alias.db")

    assert (failure.kind, failure.permanent) == ("sql_refused", True)
    assert "own database" in str(failure)


async def test_a_file_that_is_not_there_is_not_made(folder: Path):
    failure = await refusal(databases_in(folder), "sqlite:///shpo.db")

    assert (failure.kind, failure.permanent) == ("sql_refused", True)
    assert "there is no file shpo.db" in str(failure)
    assert not (folder / "shpo.db").exists()


async def test_what_is_no_database_fails_for_good(folder: Path):
    (folder / "notes.txt").write_text("milk, bread and a long list of other things" * 50)

    failure = await refusal(databases_in(folder), "sqlite:///notes.txt", "SELECT * FROM orders")

    assert (failure.kind, failure.permanent) == ("sql_error", True)


FENCED = [
    "PRAGMA journal_mode = OFF",
    "PRAGMA writable_schema = ON",
    "PRAGMA query_only = OFF",
    "PRAGMA database_list",
    "PRAGMA wal_checkpoint",
    "SELECT load_extension('/tmp/x.so')",
    "EXPLAIN ATTACH '{other}' AS other",
]


@pytest.mark.parametrize("statement", FENCED)
@pytest.mark.parametrize("is_read_only", [True, False])
async def test_a_statement_stays_in_its_file(folder: Path, statement: str, is_read_only: bool):
    databases = databases_in(folder)
    connection = SqlConnection("con_1", 1, "Shop", "sqlite:///shop.db", read_only=is_read_only)
    text = statement.format(other=folder.parent / "crossdock.db")

    for _ in range(2):  # the second time SQLite has the statement compiled already
        with pytest.raises(SqlFailed) as caught:
            await databases.execute(SqlQuery(text, {}, "-", exactly_once=False), connection)
        assert caught.value.permanent

    await databases.close()


@pytest.mark.parametrize("statement", ["ATTACH 'x' AS y", "DETACH y", "VACUUM INTO '/tmp/x.db'"])
async def test_statements_about_files_are_refused(folder: Path, statement: str):
    failure = await refusal(databases_in(folder), "sqlite:///shop.db", statement)

    assert "can't be a step" in str(failure)


async def test_tables_may_be_looked_at(folder: Path):
    databases = databases_in(folder)
    query = SqlQuery("PRAGMA table_info(orders)", {}, "-")

    answer = await databases.execute(query, SqlConnection("con_1", 1, "Shop", "sqlite:///shop.db"))

    assert [row["name"] for row in answer.rows] == ["number"]
    await databases.close()


async def test_a_file_that_was_replaced_is_opened_anew(folder: Path):
    databases = databases_in(folder)
    connection = SqlConnection("con_1", 1, "Shop", "sqlite:///shop.db")
    insert = SqlQuery("INSERT INTO orders VALUES (1)", {}, "-", exactly_once=False)
    await databases.execute(insert, connection)
    (folder / "shop.db").unlink()
    await asyncio.to_thread((folder / "restored.db").write_bytes, (folder.parent / "crossdock.db").read_bytes())
    (folder / "restored.db").rename(folder / "shop.db")

    await databases.execute(insert, connection)

    with sqlite.connect(folder / "shop.db") as seen:
        assert list(seen.execute("SELECT count(*) FROM orders")) == [(1,)]
    seen.close()
    await databases.close()
