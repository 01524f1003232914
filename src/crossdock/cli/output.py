"""How answers look to people: tables, times, durations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import typer

from crossdock.manage.yaml_text import yaml_text
from crossdock.model.outcome import Json
from crossdock.model.story import between, duration_words

__all__ = ["between", "colored", "compact", "duration_words", "show_table", "yaml_text"]

_COLORS = {
    "succeeded": "green", "enabled": "green", "delivered": "green", "active": "green", "ok": "green",
    "failed": "red", "error": "red", "expired": "red", "blocked": "red",
    "retrying": "yellow", "waiting": "yellow", "warning": "yellow", "canceled": "yellow", "pending": "yellow",
}  # fmt: skip


def show_table(titles: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """A table without lines: readable for people, and for `awk` where the output is no terminal. `empty` says what to
    do when there are no rows."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not cells:
        typer.echo(empty)
        return
    table = Table(*titles, box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        column.overflow = "fold"
    for row in cells:
        table.add_row(*(Text(cell, style=_COLORS.get(cell, "")) for cell in row))
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(table)
        return
    console.width = 1_000  # nobody's window: no line is folded
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        typer.echo(line.rstrip())


def colored(word: str) -> str:
    return typer.style(word, fg=_COLORS.get(word))


def compact(value: Json, limit: int = 300) -> str:
    """A JSON value in one line, cut after `limit` characters."""
    import json

    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters; --json shows all)"
