"""`crossdock connections`: see them, who uses them, and whether they work."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from crossdock.cli import output
from crossdock.cli.client import Api, CommandFailed
from crossdock.cli.options import DEFAULT_URL, AsJson, Token, Url, connect, show_json

app = typer.Typer(no_args_is_help=True, help="See connections, who uses them, and whether they work.")

ConnectionName = Annotated[str, typer.Argument(metavar="CONNECTION", help="Name or id.")]


@app.command("list")
def list_connections(
    q: Annotated[str | None, typer.Option("--q", help="Text in the name.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="http or sql.")] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """List connections."""
    with connect(url, token) as api:
        found = list(api.items("connections", query={"q": q, "kind": kind}))
    if as_json:
        show_json(found)
        return
    output.show_table(
        ("ID", "NAME", "KIND", "ADDRESS", "USED BY", "WARNINGS"),
        (
            (item["id"], item["name"], item["kind"], _address(item), _users(item), len(item["warnings"]) or "")
            for item in found
        ),
        empty="No connections. `crossdock apply FILE.yaml` makes one.",
    )


@app.command("show")
def show_connection(
    connection: ConnectionName, as_json: AsJson = False, url: Url = DEFAULT_URL, token: Token = None
) -> None:
    """Show a connection with all its settings, without its secrets."""
    with connect(url, token) as api:
        document = _find(api, connection)
    if as_json:
        show_json(document)
    else:
        typer.echo(output.yaml_text(document), nl=False)


@app.command("test")
def try_connection(
    connection: ConnectionName, as_json: AsJson = False, url: Url = DEFAULT_URL, token: Token = None
) -> None:
    """Use a connection once: a GET of its address, or a question to its database."""
    with connect(url, token) as api:
        found = _find(api, connection)
        tested = api.post("connections", found["id"], "test")
    if as_json:
        show_json(tested)
    else:
        typer.echo(f"Test {tested['outcome']}: {tested.get('error') or found['name']}{_told(tested['details'])}")
    if tested["outcome"] != "successful":
        raise typer.Exit(1)


def _find(api: Api, wanted: str) -> dict[str, Any]:
    """The connection with this id or name; CommandFailed when there is none."""
    if wanted.startswith("con_"):
        document: dict[str, Any] = api.get("connections", wanted)
        return document
    for item in api.items("connections"):
        if item["name"] == wanted:
            found: dict[str, Any] = item
            return found
    raise CommandFailed(f"there is no connection {wanted!r}; `crossdock connections list` shows them all")


def _address(item: dict[str, Any]) -> str:
    return str(item["base_url"] if item["kind"] == "http" else item["url"])


def _told(details: dict[str, Any]) -> str:
    found = []
    if details.get("status"):
        found.append(f"answered {details['status']}")
    if details.get("server_version"):
        found.append(f"version {details['server_version']}")
    if details.get("duration_ms") is not None:
        found.append(f"in {output.duration_words(details['duration_ms'] / 1_000)}")
    return f" ({' '.join(found)})" if found else ""


def _users(item: dict[str, Any]) -> str:
    return output.compact(", ".join(use["name"] for use in item["used_by"]), 60)
