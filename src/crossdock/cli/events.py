"""`crossdock events`: look at what came in, follow it, run it again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any

import typer

from crossdock.cli import output
from crossdock.cli.client import Api, CommandFailed
from crossdock.cli.options import DEFAULT_URL as DEFAULT_URL
from crossdock.cli.options import AsJson, Limit, Token, Url, connect, find_integration, show_json

app = typer.Typer(no_args_is_help=True, help="Look at events, follow them, run them again.")

_FILTERS = "Filters"
IntegrationFilter = Annotated[
    str | None, typer.Option("--integration", help="Name, path or id.", rich_help_panel=_FILTERS)
]
StatusFilter = Annotated[
    str | None,
    typer.Option(
        "--status",
        help="queued, running, waiting, retrying, succeeded, failed or canceled.",
        rich_help_panel=_FILTERS,
    ),
]
TextFilter = Annotated[str | None, typer.Option("--q", help="Text in the request.", rich_help_panel=_FILTERS)]
KeyFilter = Annotated[str | None, typer.Option("--key", help="The id of an API key.", rich_help_panel=_FILTERS)]
After = Annotated[
    str | None, typer.Option("--after", help="Received after this time (RFC 3339).", rich_help_panel=_FILTERS)
]
Before = Annotated[
    str | None, typer.Option("--before", help="Received before this time (RFC 3339).", rich_help_panel=_FILTERS)
]
FailedReply = Annotated[
    bool, typer.Option("--failed-reply", help="Only those whose reply failed.", rich_help_panel=_FILTERS)
]

Filter = dict[str, str | int | None]


@app.command("list")
def list_events(
    integration: IntegrationFilter = None,
    status: StatusFilter = None,
    q: TextFilter = None,
    key: KeyFilter = None,
    after: After = None,
    before: Before = None,
    failed_reply: FailedReply = False,
    limit: Limit = 50,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """List events, newest first."""
    with connect(url, token) as api:
        wanted = _filter(
            api, integration, received=(after, before), failed_reply=failed_reply, status=status, q=q, key=key
        )
        found = list(api.items("events", query=wanted, limit=limit))
    if as_json:
        show_json(found)
        return
    output.show_table(
        ("RECEIVED", "ID", "INTEGRATION", "STATUS", "TOOK", "ERROR"),
        map(_row, found),
        empty="No such events.",
    )


@app.command("show")
def show_event(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="The id, evt_...")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Tell an event's whole story: request, waiting, steps, result, reply."""
    from crossdock.cli.story import tell

    with connect(url, token) as api:
        event = api.get("events", event_id)
    if as_json:
        show_json(event)
    else:
        typer.echo(tell(event))


@app.command("tail")
def tail_events(
    integration: IntegrationFilter = None,
    status: StatusFilter = None,
    q: TextFilter = None,
    key: KeyFilter = None,
    every: Annotated[float, typer.Option("--every", min=0.1, help="Seconds between two looks.")] = 1.0,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Show events as they come in, until Ctrl-C."""
    import json

    with connect(url, token) as api, suppress(KeyboardInterrupt):
        wanted = _filter(api, integration, status=status, q=q, key=key)
        for event in _newcomers(api, wanted, every):
            typer.echo(json.dumps(event) if as_json else "  ".join(str(cell or "") for cell in _row(event)).rstrip())


@app.command("replay")
def replay_events(
    event_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids, or none and a filter.")] = None,
    integration: IntegrationFilter = None,
    status: StatusFilter = None,
    q: TextFilter = None,
    key: KeyFilter = None,
    after: After = None,
    before: Before = None,
    failed_reply: FailedReply = False,
    version: Annotated[
        int | None, typer.Option("--workflow-version", help="Run with this version instead of the published one.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before replaying what a filter finds.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Run events again, each as a new event. Ctrl-C stops between two of them."""
    with connect(url, token) as api:
        wanted = _filter(
            api, integration, received=(after, before), failed_reply=failed_reply, status=status, q=q, key=key
        )
        chosen = _chosen(api, event_ids or [], wanted, yes)
        _replay(api, chosen, {} if version is None else {"workflow_version": version})


EventIds = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of events.")]


@app.command("retry")
def retry_events(event_ids: EventIds, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Start events now that wait for an operator or for their next attempt, with all their attempts."""
    _move(event_ids, "retry", url, token)


@app.command("cancel")
def cancel_events(event_ids: EventIds, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Stop events: at once when they wait, at their next step when they are worked on."""
    _move(event_ids, "cancel", url, token)


def _move(event_ids: list[str], move: str, url: str, token: str | None) -> None:
    with connect(url, token) as api:
        for event_id in event_ids:
            event = api.post("events", event_id, move)
            typer.echo(f"{event_id} is {event['status']}")


def _filter(
    api: Api,
    integration: str | None,
    *,
    received: tuple[str | None, str | None] = (None, None),
    failed_reply: bool = False,
    **plain: str | None,
) -> Filter:
    """What people gave as the API's query parameters. `received` is after and before."""
    return {
        "integration": None if integration is None else str(find_integration(api, integration)["id"]),
        "received_after": received[0],
        "received_before": received[1],
        "has_failed_reply": "true" if failed_reply else None,
        **plain,
    }


def _row(event: dict[str, Any]) -> tuple[object, ...]:
    from crossdock.cli.story import integration_name

    took = output.between(event.get("received_at"), event.get("finished_at"))
    error = event.get("error") or {}
    return (
        event["received_at"],
        event["id"],
        integration_name(event),
        event["status"],
        None if took is None else output.duration_words(took),
        output.compact(error.get("message"), 80) if error else None,
    )


def _newcomers(api: Api, wanted: Filter, every: float) -> Iterator[dict[str, Any]]:
    """Events that come after now, oldest first; ids are ordered by time."""
    newest = max((item["id"] for item in api.items("events", query=wanted, limit=1)), default="")
    while True:
        time.sleep(every)
        fresh = []
        for event in api.items("events", query=wanted):
            if event["id"] <= newest:
                break
            fresh.append(event)
        yield from reversed(fresh)
        newest = max([newest, *(event["id"] for event in fresh)])


def _chosen(api: Api, event_ids: list[str], wanted: Filter, yes: bool) -> list[str]:
    has_filter = any(value is not None for value in wanted.values())
    if bool(event_ids) == has_filter:
        raise typer.BadParameter("give ids, or a filter such as --integration NAME --status failed")
    if event_ids:
        return event_ids
    found = [str(event["id"]) for event in api.items("events", query=wanted)]
    if found and not yes:
        typer.confirm(f"Replay {len(found)} events?", abort=True, err=True)
    return found[::-1]  # in the order in which they came


def _replay(api: Api, event_ids: list[str], change: dict[str, object]) -> None:
    from rich.console import Console
    from rich.progress import track

    console, done = Console(stderr=True), 0
    try:
        for event_id in track(event_ids, "Replaying", console=console, transient=True, disable=not console.is_terminal):
            made = api.post("events", event_id, "replay", document=change)
            done += 1
            typer.echo(f"{event_id} -> {made['id']}")
    except KeyboardInterrupt:
        raise CommandFailed(f"stopped after {done} of {len(event_ids)} events") from None
    except CommandFailed as failure:
        raise CommandFailed(f"stopped after {done} of {len(event_ids)} events: {failure}") from None
    typer.echo(f"Replayed {done} event{'' if done == 1 else 's'}.", err=True)
