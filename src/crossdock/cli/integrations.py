"""`crossdock integrations`: see them, switch them on and off, and give out their keys."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from crossdock.cli import output
from crossdock.cli.options import (
    DEFAULT_URL,
    AsJson,
    IntegrationName,
    Token,
    Url,
    connect,
    find_integration,
    show_json,
)

app = typer.Typer(no_args_is_help=True, help="See integrations, switch them on and off, give out keys.")
keys = typer.Typer(no_args_is_help=True, help="API keys of an integration.")
app.add_typer(keys, name="keys")


@app.command("list")
def list_integrations(
    q: Annotated[str | None, typer.Option("--q", help="Text in the name or path.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Only of this external system type.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="enabled or disabled.")] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """List integrations."""
    with connect(url, token) as api:
        found = list(api.items("integrations", query={"q": q, "type": kind, "status": status}))
    if as_json:
        show_json(found)
        return
    output.show_table(
        ("ID", "NAME", "TYPE", "STATUS", "URL"),
        ((item["id"], item["name"], item["type"], item["status"], _address(item)) for item in found),
        empty="No integrations. `crossdock apply FILE.yaml` makes one.",
    )


@app.command("show")
def show_integration(
    integration: IntegrationName, as_json: AsJson = False, url: Url = DEFAULT_URL, token: Token = None
) -> None:
    """Show an integration with all its settings."""
    with connect(url, token) as api:
        document = find_integration(api, integration)
    if as_json:
        show_json(document)
    else:
        typer.echo(output.yaml_text(document), nl=False)


@app.command("enable")
def enable(integration: IntegrationName, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Take calls from now on."""
    _switch(url, token, integration, "enabled")


@app.command("disable")
def disable(integration: IntegrationName, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Refuse calls from now on. What was accepted is still handled."""
    _switch(url, token, integration, "disabled")


@keys.command("list")
def list_keys(
    integration: IntegrationName, as_json: AsJson = False, url: Url = DEFAULT_URL, token: Token = None
) -> None:
    """List an integration's keys; their text is known to nobody."""
    with connect(url, token) as api:
        found = list(api.items("integrations", find_integration(api, integration)["id"], "keys"))
    if as_json:
        show_json(found)
        return
    output.show_table(
        ("ID", "LABEL", "HINT", "DISABLED", "EXPIRES", "LAST USED"),
        (
            (
                key["id"],
                key["label"],
                key["hint"],
                "yes" if key.get("disabled") else "",
                key.get("expires_at"),
                key.get("last_used_at"),
            )
            for key in found
        ),
        empty="No keys: nobody can call it. `crossdock integrations keys add INTEGRATION LABEL` makes one.",
    )


@keys.command("add")
def add_key(
    integration: IntegrationName,
    label: Annotated[str, typer.Argument(help="Who will use it.")],
    key: Annotated[str | None, typer.Option("--key", help="An existing key. Default: a new random one.")] = None,
    expires: Annotated[str | None, typer.Option("--expires", help="Until when (RFC 3339).")] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Add a key and show it, once."""
    wanted: dict[str, str] = {"label": label}
    wanted |= {"key": key} if key else {}
    wanted |= {"expires_at": expires} if expires else {}
    with connect(url, token) as api:
        made = api.post("integrations", find_integration(api, integration)["id"], "keys", document=wanted)
    if as_json:
        show_json(made)
        return
    typer.echo(made.get("key") or key)
    typer.echo(f"{made['id']} for {label}. Keep the key now: it is not shown again.", err=True)


@keys.command("delete")
def delete_key(
    integration: IntegrationName,
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="The id, key_...")],
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Delete a key; calls with it are refused from now on."""
    with connect(url, token) as api:
        api.delete("integrations", find_integration(api, integration)["id"], "keys", key_id)
    typer.echo(f"{key_id} is deleted.")


def _switch(url: str, token: str | None, integration: str, status: str) -> None:
    with connect(url, token) as api:
        found = find_integration(api, integration)
        changed = api.patch("integrations", found["id"], document={"status": status})
    typer.echo(f"{changed['name']} is {output.colored(changed['status'])}.")


def _address(item: dict[str, Any]) -> str:
    return str(item.get("url") or item.get("hook_url") or item.get("path", ""))
