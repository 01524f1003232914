"""`crossdock transfer`: everything from SQLite to PostgreSQL, or back; and how that looks while it goes on."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossdock.cli.client import CommandFailed
from crossdock.cli.options import AsJson, Config, Data, settings_of, show_json
from crossdock.cli.output import duration_words

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from crossdock.settings import Settings
    from crossdock.store.transfer import Compared, Progress
    from crossdock.store.transfer_sides import Sides

LINE_SECONDS = 5.0
"""Between two lines about one table, where the output is no terminal."""

From = Annotated[str, typer.Option("--from", metavar="URL", help="The database to move: sqlite:///FILE, as a rule.")]
To = Annotated[
    str | None,
    typer.Option("--to", metavar="URL", help="The new, empty database. Default: the setting `database`."),
]


def transfer(
    source: From,
    target: To = None,
    check: Annotated[bool, typer.Option("--check", help="Compare both sides only; move nothing.")] = False,
    release: Annotated[
        bool, typer.Option("--release", help="Go back: let --from be served again, and --to never more.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --release: although the new database can't be asked.")
    ] = False,
    without_key: Annotated[
        bool, typer.Option("--without-key", help="Move although the master key here does not open the secrets.")
    ] = False,
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Move everything from SQLite to PostgreSQL (or back) while no server runs; again to go on.

    Ctrl-C stops it, and so may anything else: the same command goes on where it was. At the end both sides are
    compared, and the old database can't be served any more. The data folder is the one that the new servers use: its
    master key has to open the secrets.
    """
    settings = settings_of(config, data=data)
    if check and release:
        raise typer.BadParameter("--check and --release are two different things")
    old, new = _url(source, "--from"), _target_url(target, settings)
    if release:
        _release(old, new, force=force, ttl_seconds=settings.lease_ttl)
        return
    if new is None:
        raise typer.BadParameter("name the new database", param_hint="--to")
    report = _compare(old, new, settings) if check else _move(old, new, settings, without_key=without_key)
    if as_json:
        show_json(report)
    else:
        _tell(report)
    if not report["same"]:
        raise CommandFailed("the two databases do not hold the same; see above")


def _url(text: str, option: str) -> str:
    """The text itself is never repeated: it may hold a password."""
    from pydantic import SecretStr

    from crossdock.settings import check_database_url

    try:
        return check_database_url(SecretStr(text)).get_secret_value()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _target_url(text: str | None, settings: Settings) -> str | None:
    if text is not None:
        return _url(text, "--to")
    return settings.database_url if settings.database is not None else None


# --- moving ----------------------------------------------------------------------------------------------------------


def _move(old: str, new: str, settings: Settings, *, without_key: bool) -> dict[str, Any]:
    from crossdock.clock import system_now
    from crossdock.store.transfer_sides import opened_sides

    with opened_sides(old, new, system_now(), settings.lease_ttl) as sides:
        secrets = _check_secrets(sides, settings, without_key=without_key)
        return _carried_out(sides) | {"secrets": secrets}


def _carried_out(sides: Sides) -> dict[str, Any]:
    from crossdock.clock import system_now
    from crossdock.store.transfer import Transfer, TransferStopped

    with _watched() as watch:
        moving = Transfer(sides, system_now, watch)
        arrival = moving.begin()
        if arrival.standing == "complete":
            raise CommandFailed(f"this transfer is complete already; serve {sides.target_place}")
        there, started = sum(arrival.rows.values()), time.monotonic()
        try:
            arrival = moving.copy(arrival)
            seconds = time.monotonic() - started
            tables = list(moving.compare())
            if all(each.is_same for each in tables):
                moving.complete(arrival)
        except TransferStopped:
            raise CommandFailed(_stopped(sides)) from None
    rows = sum(arrival.rows.values()) - there
    report = _report(sides, tables)
    return report | {
        "id": arrival.id,
        "copied_rows": rows,
        "copy_seconds": round(seconds, 3),
        "rows_per_second": round(rows / seconds) if seconds > 0 else 0,
        "changed_texts": moving.changed_texts,
        "complete": report["same"],
    }


def _stopped(sides: Sides) -> str:
    back = f"crossdock transfer --release --from {sides.source_place}"
    return (
        "stopped; what was copied is kept, and neither database may be served. The same command goes on where it was; "
        f"to go back: {back}"
    )


def _compare(old: str, new: str, settings: Settings) -> dict[str, Any]:
    from crossdock.clock import system_now
    from crossdock.store.transfer import Transfer, TransferStopped
    from crossdock.store.transfer_sides import opened_as_they_are

    with opened_as_they_are(old, new, system_now(), settings.lease_ttl) as sides, _watched() as watch:
        try:
            return _report(sides, list(Transfer(sides, system_now, watch).compare()))
        except TransferStopped:
            raise CommandFailed("stopped; nothing was changed") from None


def _report(sides: Sides, tables: list[Compared]) -> dict[str, Any]:
    return {
        "from": sides.source_place,
        "to": sides.target_place,
        "rows": sum(each.source.rows for each in tables),
        "same": all(each.is_same for each in tables),
        "tables": [
            {
                "table": each.table,
                "same": each.is_same,
                "source": {"rows": each.source.rows, "checksum": each.source.checksum},
                "target": {"rows": each.target.rows, "checksum": each.target.checksum},
            }
            for each in tables
        ],
    }


def _tell(report: dict[str, Any]) -> None:
    if "copied_rows" in report:
        spent = duration_words(report["copy_seconds"])
        typer.echo(f"Copied {report['copied_rows']:,} rows in {spent}: {report['rows_per_second']:,} a second.")
    if report.get("changed_texts"):
        typer.echo(f"In {report['changed_texts']} rows the character NUL, which PostgreSQL has not, is now U+FFFD.")
    for each in report["tables"]:
        if not each["same"]:
            there = f"{each['source']['rows']:,} rows in the old, {each['target']['rows']:,} in the new database"
            same_count = each["source"]["rows"] == each["target"]["rows"]
            typer.echo(f"{each['table']}: {there}" + (", with different contents" if same_count else ""))
    if report["same"]:
        typer.echo(f"Compared {report['rows']:,} rows in {len(report['tables'])} tables: the same on both sides.")
    if report.get("complete"):
        typer.echo(f"Complete. From now on: crossdock serve --database {report['to']} (and its user and password)")
        typer.echo(f"{report['from']} can't be served any more; keep it until you need no way back.")


# --- secrets ---------------------------------------------------------------------------------------------------------


def _check_secrets(sides: Sides, settings: Settings, *, without_key: bool) -> dict[str, int]:
    """How many secrets there are, and how many the key here opens; CommandFailed when not all of them."""
    from crossdock.store.secrets import all_secrets
    from crossdock.vault import KEY_FILE, Sealed, VaultError, load_vault

    with sides.source.reading() as connection:
        rows = all_secrets(connection)
    has_key = settings.master_key is not None or (settings.data / KEY_FILE).exists()
    vault = load_vault(settings.data, settings.secret("master_key")) if has_key and rows else None
    closed = []
    for row in rows:
        try:
            if vault is None:
                raise VaultError(f"there is no master key in {settings.data}")
            vault.open(Sealed(row.key_id, row.sealed), row.associated)
        except VaultError as error:
            closed.append(str(error))
    if closed and not without_key:
        raise CommandFailed(
            f"{len(closed)} of {len(rows)} secrets could not be opened by the new servers: {closed[0]}. Put the old "
            f"installation's {KEY_FILE} into the data folder (--data), or set CROSSDOCK_MASTER_KEY; or add "
            "--without-key, and enter these secrets again afterwards"
        )
    return {"total": len(rows), "opened": len(rows) - len(closed)}


# --- going back ------------------------------------------------------------------------------------------------------


def _release(old: str, new: str | None, *, force: bool, ttl_seconds: float) -> None:
    from crossdock.clock import system_now
    from crossdock.store.transfer import read_mark, release
    from crossdock.store.transfer_sides import opened_side

    with ExitStack() as opened:
        source = opened.enter_context(opened_side(old, system_now(), ttl_seconds))
        mark = read_mark(source)
        if mark is not None and mark.is_complete and new is None and not force:
            raise CommandFailed(
                f"two servers would do the same work twice: name {mark.to} with --to, so that it is closed, or add "
                "--force when you know that it is never served again"
            )
        target = None if new is None else opened.enter_context(opened_side(new, system_now(), ttl_seconds))
        was = release(source, target)
    typer.echo("Released: it can be served again.")
    if was.is_complete:
        typer.echo(
            f"What {was.to} did since is not in it: events it accepted are missing here, and runs and deliveries that "
            "it finished are done again, with the same idempotency keys.",
            err=True,
        )


# --- how it looks ----------------------------------------------------------------------------------------------------


@contextmanager
def _watched() -> Iterator[_Watching]:
    """Progress on stderr, as bars or as lines; Ctrl-C and SIGTERM end the transfer at its next word."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    with _stop_asked() as is_asked:
        if not console.is_terminal:
            yield _Watching(is_asked, None)
            return
        with Bars(*columns, console=console) as bars:
            yield _Watching(is_asked, bars)


class _Watching:
    """Hears of progress and shows it, all rows of a table from when it was first heard of."""

    def __init__(self, stop_is_asked: Callable[[], bool], bars: Bars | None) -> None:
        self._stop_is_asked = stop_is_asked
        self._bars = bars
        self._task: Any = None
        self._now: tuple[str, str] | None = None
        self._began = (0.0, 0)
        self._told_at = 0.0

    def __call__(self, progress: Progress) -> None:
        from crossdock.store.transfer import TransferStopped

        at = time.monotonic()
        if self._now != (progress.stage, progress.table):
            self._now, self._began, self._told_at = (progress.stage, progress.table), (at, progress.rows), at
            self._task = None
        seconds, rows = at - self._began[0], progress.rows - self._began[1]
        self._show(progress, f"{rows / seconds:,.0f} rows/s" if seconds > 0 and rows else "")
        if self._stop_is_asked():
            raise TransferStopped

    def _show(self, progress: Progress, rate: str) -> None:
        if self._bars is not None:
            if self._task is None:
                self._task = self._bars.add_task(f"{progress.stage} {progress.table}", total=progress.total, rate=rate)
            self._bars.update(self._task, completed=progress.rows, rate=rate)
            return
        is_done = progress.rows >= progress.total
        if (is_done and rate) or time.monotonic() - self._told_at >= LINE_SECONDS:
            self._told_at = time.monotonic()
            share = progress.rows / progress.total if progress.total else 1.0
            counted = f"{progress.rows:,} of {progress.total:,} rows ({share:.0%})"
            typer.echo(f"{progress.stage} {progress.table}: {counted}, {rate}", err=True)


@contextmanager
def _stop_asked() -> Iterator[Callable[[], bool]]:
    """The first signal asks to stop, between two transactions; the second one ends the process as ever."""
    asked = False
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        restore()

    for number in before:
        signal.signal(number, ask)
    try:
        yield lambda: asked
    finally:
        restore()
