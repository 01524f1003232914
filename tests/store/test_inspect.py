"""What `crossdock doctor` sees of a database."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import text

from crossdock.clock import system_now
from crossdock.model.time import seconds_between
from crossdock.store import Store
from crossdock.store.database import open_database
from crossdock.store.inspect import DatabaseFacts, SealingKey, inspect_database, lock_holder
from crossdock.store.migrate import LATEST_REVISION
from crossdock.store.nodes import NodeRow, register_node
from crossdock.store.secrets import SecretRow, put_secrets
from tests.support.runs import NODE, OTHER_NODE, Runs


def inspect(url: str) -> DatabaseFacts:
    return inspect_database(url, system_now())


def stamp(url: str, revision: str, said: str | None) -> None:
    """Make the tables those of another program that left these words for others."""
    database = open_database(url)
    statement = text("UPDATE alembic_version SET version_num = :revision, compatible = :said")
    with database.writer.connect() as connection:
        connection.execute(statement, {"revision": revision, "said": said})
    database.dispose()


SHARED = f'{{"tables":"9999","oldest_program":"{LATEST_REVISION}"}}'


def test_a_database_tells_how_durable_it_is(database_url: str) -> None:
    facts = inspect(database_url)

    assert facts.problem is None
    assert facts.durability == ("wal/full" if facts.dialect == "sqlite" else "on")
    assert facts.revision == facts.latest_revision
    assert facts.installation is not None
    assert facts.installation.backlogs == ()
    assert int(facts.version.split(".")[0]) >= 3


def test_a_server_tells_its_clock(database_url: str) -> None:
    facts = inspect(database_url)

    if facts.dialect == "sqlite":
        assert facts.clock is None
    else:
        assert facts.clock is not None
        assert abs(seconds_between(facts.clock, system_now())) < 60


def test_a_database_without_tables_has_no_revision(empty_database_url: str) -> None:
    facts = inspect(empty_database_url)

    assert facts.revision is None
    assert facts.installation is None


def test_looking_does_not_make_a_database(tmp_path: Path) -> None:
    facts = inspect(f"sqlite:///{tmp_path / 'data' / 'crossdock.db'}")

    assert not facts.exists
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_away_is_a_problem_without_its_password() -> None:
    facts = inspect("postgresql://user:hunter2@127.0.0.1:1/crossdock")

    assert facts.problem is not None
    assert "hunter2" not in repr(facts)


def test_a_file_that_is_no_database_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "crossdock.db").write_text("no database, for more than a hundred characters " * 10)

    assert "not a database" in (inspect(f"sqlite:///{tmp_path / 'crossdock.db'}").problem or "")


async def test_a_database_in_use_names_its_process(store: Store, database_url: str) -> None:
    facts = inspect(database_url)

    assert facts.holder == (str(os.getpid()) if facts.dialect == "sqlite" else None)
    assert facts.problem is None


def test_nobody_holds_a_lock_that_is_not_there(tmp_path: Path) -> None:
    assert lock_holder(tmp_path / "crossdock.db.lock") is None


async def test_nodes_leases_backlog_and_keys_are_seen(store: Store, database_url: str) -> None:
    now = system_now()
    runs = Runs(store, now)
    await store.write(register_node, NodeRow(NODE, "host", 1, "0", now, now))
    await runs.leased(node=OTHER_NODE)
    await store.write(put_secrets, [SecretRow("int_a", "platform_token", "mk_1", b"sealed")], now)

    seen = inspect(database_url).installation

    assert seen is not None
    assert [node.row.id for node in seen.nodes] == [NODE]
    assert {node: leases["run"] for node, leases in seen.leases.items()} == {OTHER_NODE: 1}
    assert [(each.integration_id, each.unfinished) for each in seen.backlogs] == [("int_a", 1)]
    assert seen.sealing_keys == {"mk_1": SealingKey(1, now)}


async def test_all_is_seen_on_the_tables_of_a_newer_program_that_shares_them(store: Store, database_url: str) -> None:
    now = system_now()
    await store.write(register_node, NodeRow(NODE, "host", 1, "0", now, now))
    await Runs(store, now).leased()
    stamp(database_url, "9999", SHARED)

    facts = inspect(database_url)

    assert (facts.revision, facts.is_shared, facts.problem) == ("9999", True, None)
    assert facts.installation is not None
    assert [node.row.id for node in facts.installation.nodes] == [NODE]
    assert [each.unfinished for each in facts.installation.backlogs] == [1]


def test_which_indexes_a_newer_program_wants_is_not_known(database_url: str) -> None:
    database = open_database(database_url)
    with database.writer.connect() as connection:
        connection.exec_driver_sql("DROP INDEX run_held")
    database.dispose()

    own = inspect(database_url)
    stamp(database_url, "9999", SHARED)

    assert own.lacking == (("run_held",) if own.dialect == "postgresql" else ())
    assert inspect(database_url).lacking == ()


TOO_NEW = ('{"tables":"9999","oldest_program":"9998"}', '{"tables":"9998","oldest_program":"0001"}', None)


@pytest.mark.parametrize("said", TOO_NEW)
def test_tables_that_are_too_new_are_not_looked_into(database_url: str, said: str | None) -> None:
    stamp(database_url, "9999", said)

    facts = inspect(database_url)

    assert (facts.revision, facts.is_shared, facts.problem) == ("9999", False, None)
    assert facts.installation is None


def test_older_tables_are_not_shared(database_url: str) -> None:
    stamp(database_url, "0000", '{"tables":"0000","oldest_program":"0000"}')

    facts = inspect(database_url)

    assert not facts.is_shared
    assert facts.installation is None


def test_only_a_server_tells_of_itself(database_url: str) -> None:
    facts = inspect(database_url)

    assert (facts.server is None) == (facts.dialect == "sqlite")
