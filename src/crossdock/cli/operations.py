"""Commands for whoever runs an installation: serve, migrate, doctor, backup, rotate-key, version."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from crossdock import __version__
from crossdock.cli.options import (
    DEFAULT_URL,
    AsJson,
    Config,
    Data,
    Database,
    Token,
    Url,
    connect,
    settings_of,
    show_json,
)


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on. [default: 8420]")] = None,
    database: Database = None,
    data: Data = None,
    config: Config = None,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="PEM certificate chain, for HTTPS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="PEM private key, for HTTPS.")] = None,
    workflows: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder with the modules that `python` steps call.")
    ] = None,
    demo: Annotated[
        bool | None, typer.Option("--demo", help="Add examples, a few calls of them, and a sink for their replies.")
    ] = None,
    roles: Annotated[
        str | None, typer.Option(help="Parts that this process plays. [default: receive,run,deliver,web]")
    ] = None,
) -> None:
    """Start the server; SIGTERM or Ctrl-C stops it gracefully, a second one at once.

    Every setting is also an environment variable: see `docs/reference/settings.md`.
    """
    settings = settings_of(
        config,
        host=host,
        port=port,
        database=database,
        data=data,
        tls_cert=tls_cert,
        tls_key=tls_key,
        workflows=workflows,
        demo=demo,
        roles=roles,
    )
    gc.disable()  # what is loaded stays: looking for garbage in it takes a seventh of the time that loading takes
    from crossdock import compose

    gc.freeze()
    gc.enable()
    raise typer.Exit(compose.serve(settings))


def migrate(database: Database = None, data: Data = None, config: Config = None) -> None:
    """Bring the database's tables to this version. `serve` does it too; this is for doing it apart."""
    settings = settings_of(config, database=database, data=data)
    from crossdock.store.database import lock_file, open_database
    from crossdock.store.migrate import current_revision
    from crossdock.store.migrate import migrate as bring_up_to_date

    opened = open_database(settings.database_url, settings.secret("database_direct"))
    lock = lock_file(opened)
    try:
        if lock is not None:
            lock.acquire()
        with opened.reading() as connection:
            before = current_revision(connection)
        bring_up_to_date(opened)
        with opened.reading() as connection:
            after = current_revision(connection)
    finally:
        opened.dispose()
        if lock is not None:
            lock.release()
    typer.echo(f"Already at {after}." if before == after else f"Migrated from {before or 'nothing'} to {after}.")


def doctor(as_json: AsJson = False, database: Database = None, data: Data = None, config: Config = None) -> None:
    """Look for what is wrong with an installation, and say what to do. Changes nothing; the server may run."""
    from crossdock.cli.doctor import examine

    findings = examine(settings_of(config, database=database, data=data))
    if as_json:
        show_json([finding.document() for finding in findings])
    else:
        for finding in findings:
            typer.echo(finding.line())
    if any(finding.grade == "error" for finding in findings):
        raise typer.Exit(1)


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file; never overwritten.")],
    database: Database = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Copy a SQLite database while the server runs, checked. Keep a copy of the key file too, apart."""
    settings = settings_of(config, database=database, data=data)
    from crossdock.store.backup import back_up

    with _copying(file) as watch:
        size = back_up(settings.database_url, file, watch)
    typer.echo(f"{file}: {size / 1_000_000:.1f} MB, checked.")
    if settings.master_key is None:
        typer.echo(
            f"It can't be used without the key file {settings.data / 'master.key'}: keep a copy of that apart.",
            err=True,
        )


@contextmanager
def _copying(file: Path) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal; who runs it by a timer hears of the end only."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"copying to {file}", total=None)

        def watch(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            if done >= total:
                bar.update(task, description=f"checking {file}")

        yield watch


def rotate_key(url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Make a new master key and seal all secrets with it, in the running server."""
    with connect(url, token) as api:
        answer = api.post("rotate-key")
    typer.echo(f"Sealed with the new key {answer['key_id']}: {answer['secrets']} secret(s).")
    typer.echo("The last key before it still opens; rotate twice to get rid of a key that leaked.", err=True)


def version(as_json: AsJson = False) -> None:
    """Show the version."""
    python = ".".join(map(str, sys.version_info[:3]))
    if as_json:
        show_json({"version": __version__, "python": python})
    else:
        typer.echo(f"crossdock {__version__} (Python {python})")
