"""Migrations: the tables that they make are the schema's, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from crossdock.model.errors import Misconfigured
from crossdock.store import Store
from crossdock.store.database import open_database
from crossdock.store.migrate import LATEST_REVISION, current_revision, migrate
from crossdock.store.schema import metadata

pytestmark = pytest.mark.anyio

VERSIONS = Path(migrate.__code__.co_filename).parent / "migrations" / "versions"


async def test_migrations_make_the_tables_of_the_schema(store: Store) -> None:
    def differences(connection: Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    assert await store.read(differences) == []


async def test_a_migrated_database_is_at_the_latest_revision(store: Store) -> None:
    assert await store.read(current_revision) == LATEST_REVISION


def test_the_latest_revision_is_the_last_file() -> None:
    assert max(path.name for path in VERSIONS.glob("0*.py")).startswith(LATEST_REVISION)


def test_a_database_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'newer.db'}")
    migrate(database)
    with database.writer.connect() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(Misconfigured, match="newer Crossdock"):
        migrate(database)
