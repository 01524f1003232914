"""`crossdock token`: who may use the admin API."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from crossdock.cli import output
from crossdock.cli.options import DEFAULT_URL, AsJson, Token, Url, connect, show_json

app = typer.Typer(no_args_is_help=True, help="Tokens for the admin API.")


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Who or what will use it.")],
    role: Annotated[Literal["viewer", "operator", "admin"], typer.Option("--role", help="What it may do.")] = "viewer",
    expires: Annotated[str | None, typer.Option("--expires", help="Until when (RFC 3339).")] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Make a token and show it, once."""
    wanted = {"name": name, "role": role} | ({"expires_at": expires} if expires else {})
    with connect(url, token) as api:
        made = api.post("tokens", document=wanted)
    if as_json:
        show_json(made)
        return
    typer.echo(made["token"])
    typer.echo(f"{made['id']} for {name} ({role}). Keep the token now: it is not shown again.", err=True)


@app.command("list")
def list_tokens(as_json: AsJson = False, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """List tokens; their text is known to nobody."""
    with connect(url, token) as api:
        found = list(api.items("tokens"))
    if as_json:
        show_json(found)
        return
    output.show_table(
        ("ID", "NAME", "ROLE", "HINT", "EXPIRES", "LAST USED"),
        (
            (item["id"], item["name"], item["role"], item.get("hint"), item.get("expires_at"), item.get("last_used_at"))
            for item in found
        ),
        empty="No tokens. `crossdock token create NAME` makes one.",
    )


@app.command("revoke")
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="The token's id.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Make a token useless, from now on."""
    with connect(url, token) as api:
        api.delete("tokens", token_id)
    typer.echo(f"{token_id} is revoked.")
