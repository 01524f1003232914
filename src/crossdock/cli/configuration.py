"""`crossdock apply` and `crossdock export`: what people set up, as YAML files.

A file holds one document or several, each `kind: Integration`, `kind: Connection` or `kind: NotificationWebhook` with
its `spec:`. `${NAME}` in any text stands for the value of the environment variable, so that files can be shared without
their secrets; the server fills it in.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from crossdock.cli import output
from crossdock.cli.client import CommandFailed
from crossdock.cli.options import DEFAULT_URL, AsJson, Token, Url, connect, show_json
from crossdock.model.outcome import Json

_MARKS = {"create": ("+", "green"), "change": ("~", "yellow"), "prune": ("-", "red"), "none": (" ", None)}
_DONE = {"create": "created", "change": "changed", "prune": "deleted", "none": "unchanged"}


def apply(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="YAML files, or folders with them.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference and change nothing.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Delete what is in none of the files.")] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Make the server have what the files say, and show the difference."""
    documents = [document for path in paths for document in read_documents(path)]
    if not documents:
        raise CommandFailed(f"no documents in {', '.join(map(str, paths))}")
    from crossdock.manage.placeholders import placeholder_names

    values = {name: os.environ[name] for name in placeholder_names(documents) if name in os.environ}
    wanted = {"documents": documents, "values": values, "dry_run": dry_run, "prune": prune}
    with connect(url, token) as api:
        answer = api.post("apply", document=wanted)
    if as_json:
        show_json(answer)
        return
    for line in _difference(answer["steps"]):
        typer.echo(line)
    typer.echo(_totals(answer["steps"], dry_run=dry_run))


def export(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="A file for each document, in this folder.")
    ] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Write what is set up as YAML, secrets as ${NAME}. Applying it changes nothing."""
    with connect(url, token) as api:
        documents = api.get("export")["documents"]
    if as_json:
        show_json(documents)
    elif out is None:
        typer.echo("---\n".join(output.yaml_text(document) for document in documents), nl=False)
    else:
        _write_files(out, documents)


def read_documents(path: Path) -> Iterator[Json]:
    """The documents of a file, or of all YAML files in a folder by name.

    CommandFailed names the file when it can't be read or is not YAML.
    """
    files = sorted([*path.rglob("*.yaml"), *path.rglob("*.yml")]) if path.is_dir() else [path]
    for file in files:
        yield from _parse(file)


def _parse(file: Path) -> list[Json]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{file} can't be read: {error}") from None
    try:
        parsed = list(YAML(typ="safe").load_all(text))
    except YAMLError as error:
        raise CommandFailed(f"{file} is not YAML: {error}") from None
    found = [_as_json(document) for document in parsed if document is not None]
    if not all(isinstance(document, dict) and "kind" in document for document in found):
        raise CommandFailed(
            f"{file}: each document begins with its kind, such as `kind: Integration`, and has its `spec:`"
        )
    return found


def _as_json(value: Any) -> Json:
    """YAML knows more than JSON: names that are no text become text, and so do dates."""
    if isinstance(value, dict):
        return {str(name): _as_json(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_as_json(inner) for inner in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _difference(changes: Iterable[dict[str, Any]]) -> Iterator[str]:
    for change in changes:
        mark, color = _MARKS[change["action"]]
        yield typer.style(f"{mark} {change['kind']} {change['name']}", fg=color, bold=True)
        for field in change.get("differences") or []:
            before, after = field.get("before"), field.get("after")
            shown = (
                output.compact(after, 100) if before is None else f"{output.compact(before, 100)} -> {_after(after)}"
            )
            yield f"    {field['field']}: {shown}"


def _after(value: Json) -> str:
    return "(removed)" if value is None else output.compact(value, 100)


def _totals(changes: list[dict[str, Any]], *, dry_run: bool) -> str:
    counts = {action: sum(1 for change in changes if change["action"] == action) for action in _DONE}
    words = ", ".join(f"{count} {_DONE[action]}" for action, count in counts.items() if count) or "nothing to do"
    return f"Dry run, nothing was changed: {words}." if dry_run else f"{words[0].upper()}{words[1:]}."


def _write_files(out: Path, documents: list[dict[str, Any]]) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, document in _named(documents):
            (out / name).write_text(output.yaml_text(document), encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"{out} can't be written: {error}") from None
    typer.echo(f"{len(documents)} documents in {out}.")


def _named(documents: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each document with a file name of its own: `a b` and `a/b` are written alike in file names."""
    given: set[str] = set()
    for document in documents:
        stem = free = _stem(document)
        number = 1
        while free in given:
            number += 1
            free = f"{stem}-{number}"
        given.add(free)
        yield f"{free}.yaml", document


def _stem(document: dict[str, Any]) -> str:
    spec = document["spec"]
    words = re.sub(r"[^a-z0-9]+", "-", str(spec.get("path") or spec["name"]).lower()).strip("-") or "document"
    return f"{str(document['kind']).lower()}-{words}"
