"""`crossdock audit`: who changed what, and how it was before and after."""

from __future__ import annotations

from typing import Annotated

import typer

from crossdock.cli import output
from crossdock.cli.options import DEFAULT_URL, AsJson, Limit, Token, Url, connect, show_json
from crossdock.model.outcome import Json

app = typer.Typer(no_args_is_help=True, help="The audit log: who changed what, before and after. For admins.")


@app.command("list")
def list_entries(
    subject: Annotated[str | None, typer.Option("--subject", help="Only changes of what has this id.")] = None,
    actor: Annotated[
        str | None, typer.Option("--actor", help="Only changes by the user or token with this id.")
    ] = None,
    action: Annotated[
        str | None, typer.Option("--action", help="Such as integration.changed, or integration for the whole group.")
    ] = None,
    q: Annotated[str | None, typer.Option("--q", help="Text in names, actions, notes and documents.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="From this time on (RFC 3339).")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Before this time (RFC 3339).")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """List changes, newest first."""
    query = {"subject": subject, "actor": actor, "action": action, "q": q, "since": since, "until": until}
    with connect(url, token) as api:
        found = list(api.items("audit", query=query, limit=limit))
    if as_json:
        show_json(found)
        return
    titles = ("AT", "ID", "WHO", "WHAT", "OF", "FIELDS", "NOTE")
    output.show_table(titles, map(_row, found), empty="The audit log has no such entry.")


@app.command("show")
def show_entry(
    entry_id: Annotated[str, typer.Argument(metavar="ID", help="The id, aud_...")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Show one change with how it was before and after."""
    with connect(url, token) as api:
        entry = api.get("audit", entry_id)
    if as_json:
        show_json(entry)
        return
    typer.echo(f"{entry['at']}  {entry['actor']['name']}  {entry['action']}")
    typer.echo(f"Of: {entry['subject']['name']}" + (f" ({entry['subject']['id']})" if entry["subject"]["id"] else ""))
    if entry["note"]:
        typer.echo(f"Note: {entry['note']}")
    for change in entry["changes"]:
        typer.echo(f"\n{change['field']}")
        typer.echo(f"  before: {output.compact(change['before'])}")
        typer.echo(f"  after:  {output.compact(change['after'])}")


def _row(entry: Json) -> tuple[object, ...]:
    fields = ", ".join(entry["fields"]) + (f" and {entry['more_fields']} more" if entry["more_fields"] else "")
    who, subject = entry["actor"]["name"], entry["subject"]["name"] or entry["subject"]["id"]
    return entry["at"], entry["id"], who, entry["action"], subject, fields, entry["note"]
