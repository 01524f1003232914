"""`crossdock lanes`: see what an ordered integration waits for, and decide about a failed head."""

from __future__ import annotations

from typing import Annotated

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

app = typer.Typer(no_args_is_help=True, help="Lanes of ordered integrations, and their failed heads.")

LaneName = Annotated[str, typer.Argument(metavar="LANE", help="The lane's id in the list, or its ordering key.")]
HeadMeant = Annotated[
    str | None, typer.Option("--event", help="The head that is meant: refused when another event is the head by now.")
]


@app.command("list")
def list_lanes(
    integration: IntegrationName, as_json: AsJson = False, url: Url = DEFAULT_URL, token: Token = None
) -> None:
    """List the lanes that have work, and why their heads wait."""
    with connect(url, token) as api:
        found = list(api.items("integrations", find_integration(api, integration)["id"], "lanes"))
    if as_json:
        show_json(found)
        return
    rows = []
    for lane in found:
        head = lane["head"]
        rows.append(
            (
                lane["id"],
                lane["status"],
                lane["waiting"],
                head["id"],
                head["received_at"],
                output.compact((head["error"] or {}).get("message") or "", 80),
            )
        )
    output.show_table(("LANE", "STATUS", "BEHIND", "HEAD", "RECEIVED", "ERROR"), rows, empty="No lane has work.")


@app.command("retry")
def retry(
    integration: IntegrationName, lane: LaneName, event: HeadMeant = None, url: Url = DEFAULT_URL, token: Token = None
) -> None:
    """Try the head again now."""
    _decide(url, token, (integration, lane, event), "retry")


@app.command("skip")
def skip(
    integration: IntegrationName, lane: LaneName, event: HeadMeant = None, url: Url = DEFAULT_URL, token: Token = None
) -> None:
    """Let the head fail for good and go on with the next."""
    _decide(url, token, (integration, lane, event), "skip")


@app.command("park")
def park(
    integration: IntegrationName, lane: LaneName, event: HeadMeant = None, url: Url = DEFAULT_URL, token: Token = None
) -> None:
    """Set the head aside, to be retried later out of order, and go on with the next."""
    _decide(url, token, (integration, lane, event), "park")


def _decide(url: str, token: str | None, meant: tuple[str, str, str | None], move: str) -> None:
    integration, lane, event = meant
    with connect(url, token) as api:
        integration_id = find_integration(api, integration)["id"]
        named = [item["id"] for item in api.items("integrations", integration_id, "lanes") if item["key"] == lane]
        document = None if event is None else {"event_id": event}
        api.post("integrations", integration_id, "lanes", named[0] if named else lane, move, document=document)
    typer.echo({"retry": "The head runs again.", "skip": "The head was skipped.", "park": "The head is parked."}[move])
