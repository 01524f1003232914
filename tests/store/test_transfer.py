"""Moving everything between SQLite and PostgreSQL: all of it, once, whatever happens on the way."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Table, delete, func, insert, select, text, update

from crossdock.model.errors import Misconfigured
from crossdock.store import schema
from crossdock.store.database import Database, lock_file, open_database, sqlite_module
from crossdock.store.transfer import Compared, Progress, Transfer, TransferFailed, TransferStopped, release
from crossdock.store.transfer_marks import Arrival, check_may_serve
from crossdock.store.transfer_rows import BATCH_ROWS, LEFT_OUT, TABLES
from crossdock.store.transfer_sides import Sides, opened_sides
from tests.support.filled import contents, filled_database
from tests.support.held import HeldClock
from tests.support.postgres import ForeignServer, OwnServer

TTL_SECONDS = 10.0
SHARED = [table for table in TABLES if table is not schema.setting]


@pytest.fixture(scope="session")
def filled_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "crossdock.db"
    filled_database(path)
    return path


@pytest.fixture
def source(filled_template: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(filled_template, tmp_path / 'crossdock.db')}"


@pytest.fixture
def target(postgres: ForeignServer, postgres_template: str) -> Iterator[str]:
    """An empty database."""
    name = postgres.create_database(postgres_template)
    yield postgres.url(name)
    postgres.drop_database(name)


class Mover:
    """Transfers between two URLs, each step on sides that are opened for it."""

    def __init__(self, source: str, target: str, clock: HeldClock) -> None:
        self.urls = (source, target)
        self.clock = clock

    def sides(self) -> Any:
        return opened_sides(*self.urls, self.clock(), TTL_SECONDS)

    def transfer(self, sides: Sides, watch: Callable[[Progress], None] = lambda _: None) -> Transfer:
        return Transfer(sides, self.clock, watch)

    def copy(self, watch: Callable[[Progress], None] = lambda _: None) -> Arrival:
        with self.sides() as sides:
            transfer = self.transfer(sides, watch)
            return transfer.copy(transfer.begin())

    def compare(self) -> dict[str, Compared]:
        with self.sides() as sides:
            return {each.table: each for each in self.transfer(sides).compare()}

    def complete(self) -> int:
        """Move all of it; how many rows had to be changed for it."""
        with self.sides() as sides:
            transfer = self.transfer(sides)
            arrival = transfer.copy(transfer.begin())
            assert [each for each in transfer.compare() if not each.is_same] == []
            transfer.complete(arrival)
            return transfer.changed_texts


@pytest.fixture
def mover(source: str, target: str, clock: HeldClock) -> Mover:
    return Mover(source, target, clock)


def opened(url: str) -> Database:
    return open_database(url)


def changed(url: str, *statements: Any) -> None:
    """Carry out statements on a database, behind everybody's back."""
    database = opened(url)
    with database.direct.connect() as connection:
        for statement in statements:
            connection.execute(statement)
    database.dispose()


def table_of(url: str, table: Table) -> list[tuple[Any, ...]]:
    database = opened(url)
    try:
        return contents(database, table)
    finally:
        database.dispose()


def asked(url: str, statement: Any) -> Any:
    database = opened(url)
    try:
        with database.reading() as connection:
            return connection.execute(statement).scalar()
    finally:
        database.dispose()


def may_serve(url: str) -> str:
    """Why the database may not be served; empty when it may."""
    database = opened(url)
    try:
        check_may_serve(database)
    except Misconfigured as error:
        return str(error)
    finally:
        database.dispose()
    return ""


def stop_at(table: str, rows: int = 1) -> Callable[[Progress], None]:
    def watch(progress: Progress) -> None:
        if progress.stage == "copy" and progress.table == table and progress.rows >= rows:
            raise TransferStopped

    return watch


# --- all of it -----------------------------------------------------------------------------------------------------


def test_every_table_is_moved_or_left_out_on_purpose() -> None:
    moved = {table.name for table in TABLES}

    assert moved | set(LEFT_OUT) == set(schema.metadata.tables)
    assert not moved & set(LEFT_OUT)


def test_the_source_of_these_tests_has_rows_in_every_table(source: str) -> None:
    empty = [table.name for table in schema.metadata.sorted_tables if not table_of(source, table)]

    assert empty == []


@pytest.mark.parametrize("table", SHARED, ids=lambda table: str(table.name))
def test_every_row_arrives_as_it_was(table: Table, moved: tuple[str, str]) -> None:
    source, target = moved

    assert table_of(target, table) == table_of(source, table)


@pytest.fixture(scope="session")
def moved(filled_template: Path, postgres: ForeignServer) -> Iterator[tuple[str, str]]:
    """A source and the target that it was moved to."""
    path = filled_template.with_name("moved.db")
    shutil.copy(filled_template, path)
    name = postgres.create_database()
    source, target = f"sqlite:///{path}", postgres.url(name)
    Mover(source, target, HeldClock()).complete()
    yield source, target
    postgres.drop_database(name)


def test_settings_arrive_without_the_marks(moved: tuple[str, str]) -> None:
    source, target = (dict(table_of(url, schema.setting)) for url in moved)

    assert {name: target[name] for name in ("configuration", "odd")} == {
        name: source[name] for name in ("configuration", "odd")
    }
    assert set(target) - set(source) == {"transfer"}
    assert set(source) - set(target) == {"transferred"}


def test_processes_and_duties_of_the_old_database_stay_there(moved: tuple[str, str]) -> None:
    assert [table_of(moved[1], table) for table in (schema.node, schema.duty)] == [[], []]


def test_it_goes_back_to_sqlite_just_as_well(moved: tuple[str, str], tmp_path: Path, clock: HeldClock) -> None:
    back = f"sqlite:///{tmp_path / 'back' / 'crossdock.db'}"
    there = opened(moved[1])
    try:
        with there.direct.connect() as connection:
            departure = select(schema.setting.c.value).where(schema.setting.c.name == "transferred")
            assert connection.execute(departure).first() is None

        Mover(moved[1], back, clock).complete()

        assert [str(table.name) for table in SHARED if table_of(back, table) != table_of(moved[0], table)] == []
        assert may_serve(back) == ""
    finally:
        release(there, None)
        there.dispose()


def test_nul_characters_are_told_and_replaced(mover: Mover) -> None:
    event = schema.event
    changed(mover.urls[0], update(event).where(event.c.id == f"evt_{3:032x}").values(content_type="a\x00b"))

    count = mover.complete()

    assert count == 1
    assert asked(mover.urls[1], select(event.c.content_type).where(event.c.id == f"evt_{3:032x}")) == "a\ufffdb"


def test_a_number_that_does_not_fit_is_told(mover: Mover) -> None:
    event = schema.event
    changed(mover.urls[0], update(event).where(event.c.id == f"evt_{3:032x}").values(size=2**33))

    with pytest.raises(Misconfigured, match=r"event.size of \('evt_0+3',\) is too large for PostgreSQL"):
        mover.copy()


# --- once, whatever happens ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["workspace", "workflow_version", "session", "event", "run", "attempt"])
def test_a_stopped_transfer_goes_on_where_it_was(table: str, mover: Mover) -> None:
    with pytest.raises(TransferStopped):
        mover.copy(stop_at(table))
    seen: list[str] = []

    mover.copy(lambda progress: seen.append(progress.table) if progress.stage == "copy" else None)

    assert seen[0] == table
    assert [name for name, each in mover.compare().items() if not each.is_same] == []


def test_a_table_goes_on_behind_its_last_row(mover: Mover) -> None:
    rows = [(f"n{number:05}",) for number in range(12_000)]
    with closing(sqlite_module().connect(mover.urls[0].removeprefix("sqlite:///"))) as connection, connection:
        connection.executemany("INSERT INTO dedupe VALUES ('int_c', ?, 'evt_1', 0)", rows)
    with pytest.raises(TransferStopped):
        mover.copy(stop_at("dedupe"))
    between = asked(mover.urls[1], select(func.count()).select_from(schema.dedupe))

    mover.copy()

    assert between == BATCH_ROWS
    assert table_of(mover.urls[1], schema.dedupe) == table_of(mover.urls[0], schema.dedupe)


def test_two_processes_do_not_write_the_same_rows(mover: Mover) -> None:
    with mover.sides() as sides:
        late = mover.transfer(sides)
        begun = late.begin()
        mover.transfer(sides).copy(begun)

        with pytest.raises(TransferFailed, match="another process goes on"):
            late.copy(begun)
        with pytest.raises(TransferFailed, match="another process goes on"):
            late.complete(begun)

    assert [name for name, each in mover.compare().items() if not each.is_same] == []


def test_a_database_that_goes_away_is_told_and_survived(source: str, own_postgres: OwnServer, clock: HeldClock) -> None:
    mover = Mover(source, own_postgres.url(own_postgres.create_database()), clock)

    def watch(progress: Progress) -> None:
        if progress.table == "run" and progress.rows == 0:
            own_postgres.kill()

    with pytest.raises(TransferFailed, match="run the same command again"):
        mover.copy(watch)
    own_postgres.start()
    mover.complete()

    assert len(table_of(mover.urls[1], schema.run)) == 40


# --- who may be served ---------------------------------------------------------------------------------------------


def test_neither_side_may_be_served_in_the_middle(mover: Mover) -> None:
    with pytest.raises(TransferStopped):
        mover.copy(stop_at("event"))

    assert "is being transferred to postgresql://" in may_serve(mover.urls[0])
    assert "is not whole" in may_serve(mover.urls[1])
    assert "crossdock transfer --from sqlite:///" in may_serve(mover.urls[1])


def test_only_the_target_may_be_served_in_the_end(mover: Mover) -> None:
    mover.complete()

    assert "was transferred to postgresql://" in may_serve(mover.urls[0])
    assert may_serve(mover.urls[1]) == ""


def test_neither_side_may_be_served_between_the_two_last_marks(mover: Mover) -> None:
    with mover.sides() as sides:
        transfer = mover.transfer(sides)
        arrival = transfer.copy(transfer.begin())
        with pytest.raises(TransferFailed):
            transfer.complete(replace(arrival, table="as another process left it"))

    assert may_serve(mover.urls[0])
    assert may_serve(mover.urls[1])
    mover.complete()
    assert may_serve(mover.urls[1]) == ""


def test_a_release_opens_the_source_and_closes_the_target(mover: Mover) -> None:
    mover.complete()
    source, target = map(opened, mover.urls)

    release(source, target)

    assert may_serve(mover.urls[0]) == ""
    assert "was given up" in may_serve(mover.urls[1])
    source.dispose()
    target.dispose()


def test_a_released_source_is_not_continued_with(mover: Mover) -> None:
    with pytest.raises(TransferStopped):
        mover.copy(stop_at("event"))
    source = opened(mover.urls[0])
    release(source, None)
    source.dispose()

    with pytest.raises(Misconfigured, match="before its source was released; drop the database"):
        mover.copy()
    assert may_serve(mover.urls[1])


def test_a_source_without_a_mark_needs_no_release(source: str) -> None:
    database = opened(source)
    try:
        with pytest.raises(Misconfigured, match="not marked"):
            release(database, None)
    finally:
        database.dispose()


def test_a_release_with_the_wrong_target_changes_nothing(
    mover: Mover, postgres: ForeignServer, empty_postgres: str
) -> None:
    mover.complete()
    source, other = opened(mover.urls[0]), opened(empty_postgres)
    try:
        with pytest.raises(Misconfigured, match="holds nothing of this transfer"):
            release(source, other)
        assert may_serve(mover.urls[0])
    finally:
        source.dispose()
        other.dispose()


@pytest.fixture
def empty_postgres(postgres: ForeignServer) -> Iterator[str]:
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


# --- the check -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        update(schema.event).where(schema.event.c.id == f"evt_{5:032x}").values(body=b"other"),
        update(schema.run).where(schema.run.c.event_id == f"evt_{5:032x}").values(error_step=""),
        update(schema.lane).where(schema.lane.c.id == "int_a:3").values(last_sequence=1),
        update(schema.integration).where(schema.integration.c.id == "int_a").values(enabled=False),
        delete(schema.dedupe).where(schema.dedupe.c.key == "k7"),
        insert(schema.setting).values(name="new", value=""),
    ],
    ids=lambda statement: f"{statement.__visit_name__} {statement.table.name}",
)
def test_what_differs_is_found(statement: Any, mover: Mover) -> None:
    mover.copy()
    changed(mover.urls[1], statement)

    assert [name for name, each in mover.compare().items() if not each.is_same] == [str(statement.table.name)]


def test_rows_that_were_swapped_are_found(mover: Mover) -> None:
    mover.copy()
    event = schema.event
    first, second = ((event.c.id == f"evt_{number:032x}") for number in (1, 2))
    one, two = (asked(mover.urls[1], select(event.c.body).where(which)) for which in (first, second))
    changed(mover.urls[1], update(event).where(first).values(body=two), update(event).where(second).values(body=one))

    assert not mover.compare()["event"].is_same


# --- what is refused -----------------------------------------------------------------------------------------------


def test_a_target_with_contents_is_refused(mover: Mover) -> None:
    with mover.sides():
        pass
    changed(mover.urls[1], insert(schema.workspace).values(id="w", slug="default", name="d", created_at=0))

    with pytest.raises(Misconfigured, match="is not empty: it has rows in workspace"):
        mover.copy()
    assert may_serve(mover.urls[0]) == ""


def test_another_source_is_refused_by_a_target_in_the_middle(mover: Mover, filled_template: Path) -> None:
    with pytest.raises(TransferStopped):
        mover.copy(stop_at("event"))
    other = f"sqlite:///{shutil.copy(filled_template, Path(mover.urls[0].removeprefix('sqlite:///') + '2'))}"

    with pytest.raises(Misconfigured, match="part of another transfer"):
        Mover(other, mover.urls[1], mover.clock).copy()
    assert may_serve(other) == ""


def test_a_source_that_goes_elsewhere_is_refused(mover: Mover, empty_postgres: str) -> None:
    mover.complete()

    with pytest.raises(Misconfigured, match="was transferred to .*--release"):
        Mover(mover.urls[0], empty_postgres, mover.clock).copy()


def test_a_target_that_is_in_use_is_refused(mover: Mover) -> None:
    with mover.sides():
        pass
    far = 2**60
    row = {"id": "n", "host": "web-1", "pid": 7, "version": "0", "started_at": 0, "heartbeat_at": far}
    changed(mover.urls[1], insert(schema.node).values(row))

    with pytest.raises(Misconfigured, match="in use by process 7 on web-1; stop every server"):
        mover.copy()


def test_a_server_that_starts_in_the_same_moment_is_found(mover: Mover) -> None:
    row = {"id": "n", "host": "web-1", "pid": 7, "version": "0", "started_at": 0, "heartbeat_at": 2**60}
    with mover.sides() as sides:
        changed(mover.urls[1], insert(schema.node).values(row))

        with pytest.raises(Misconfigured, match="in use by process 7 on web-1"):
            mover.transfer(sides).begin()

    assert may_serve(mover.urls[0]) == ""
    assert may_serve(mover.urls[1]) == ""


def test_a_source_that_is_in_use_is_refused(mover: Mover) -> None:
    database = opened(mover.urls[0])
    lock = lock_file(database)
    assert lock is not None
    lock.acquire()
    try:
        with pytest.raises(Misconfigured, match="is using .*; stop it first"):
            mover.copy()
    finally:
        lock.release()
        database.dispose()


@pytest.mark.parametrize(("revision", "said"), [("0001", "crossdock migrate --database"), ("9999", "newer Crossdock")])
def test_a_source_of_another_version_is_refused(revision: str, said: str, mover: Mover) -> None:
    changed(mover.urls[0], text(f"UPDATE alembic_version SET version_num = '{revision}'"))

    with pytest.raises(Misconfigured, match=said):
        mover.copy()


def test_a_target_of_a_newer_version_is_refused(mover: Mover) -> None:
    changed(mover.urls[1], text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(Misconfigured, match="newer Crossdock"):
        mover.copy()


def test_a_source_that_is_not_there_is_not_made(target: str, tmp_path: Path, clock: HeldClock) -> None:
    missing = tmp_path / "nowhere" / "crossdock.db"

    with pytest.raises(Misconfigured, match="there is no database"):
        Mover(f"sqlite:///{missing}", target, clock).copy()
    assert not missing.parent.exists()


@pytest.mark.parametrize(("written", "said"), [(b"hello", "not a SQLite database"), (b"", "not a SQLite database")])
def test_a_file_that_is_something_else_is_refused(
    written: bytes, said: str, target: str, tmp_path: Path, clock: HeldClock
) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(written)

    with pytest.raises(Misconfigured, match=said):
        Mover(f"sqlite:///{file}", target, clock).copy()
    assert file.read_bytes() == written


def test_kinds_that_need_no_transfer_are_refused(source: str, target: str, tmp_path: Path, clock: HeldClock) -> None:
    said = {}
    for one, other in ((source, f"sqlite:///{tmp_path / 'b.db'}"), (target, f"{target}2"), (target, target)):
        with pytest.raises(Misconfigured) as refused:
            Mover(one, other, clock).copy()
        said[one, other] = str(refused.value)

    assert [
        next(word for word in ("backup", "pg_dump", "same database") if word in text) for text in said.values()
    ] == [
        "backup",
        "pg_dump",
        "same database",
    ]
    assert not (tmp_path / "b.db").exists()


def test_a_target_that_is_away_is_told_without_its_password(source: str, clock: HeldClock) -> None:
    mover = Mover(source, "postgresql://u:hunter2@127.0.0.1:1/crossdock", clock)

    with pytest.raises(Misconfigured, match="postgresql://127.0.0.1:1/crossdock can't be reached") as refused:
        mover.copy()
    assert "hunter2" not in str(refused.value)
    assert may_serve(source) == ""


def test_a_target_without_tables_gets_them(source: str, empty_postgres: str, clock: HeldClock) -> None:
    Mover(source, empty_postgres, clock).complete()

    assert may_serve(empty_postgres) == ""


def test_a_target_that_can_not_hold_every_text_is_refused(
    source: str, postgres: ForeignServer, clock: HeldClock
) -> None:
    name = "crossdock_test_ascii"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    try:
        with pytest.raises(Misconfigured, match="SQL_ASCII.*ENCODING 'UTF8'"):
            Mover(source, postgres.url(name), clock).copy()
    finally:
        postgres.drop_database(name)
