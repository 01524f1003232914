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
from crossdock.model.outcome import Json

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


@app.command("steps")
def show_steps(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="The id, evt_...")],
    prefix: Annotated[str, typer.Option("--prefix", help="How their paths begin, such as 'lines[3].'")] = "",
    limit: Limit = 200,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Show the steps of an event's run, with those inside blocks."""
    from crossdock.cli.story import tell_steps

    with connect(url, token) as api:
        found = list(api.items("events", event_id, "steps", query={"prefix": prefix}, limit=limit))
    if as_json:
        show_json(found)
    else:
        typer.echo("\n".join(tell_steps(found)) or "No such steps.")


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


OptionalIds = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids, or none and a filter.")]
Rate = Annotated[float | None, typer.Option("--rate", help="Events a second at most, with a filter. Default: 50.")]
Reason = Annotated[
    str | None, typer.Option("--reason", help="Why, with a filter; kept with the job and in the audit log.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before doing it to all that a filter finds.")]
Detach = Annotated[bool, typer.Option("--detach", help="Leave the job to the server; do not wait for its end.")]


@app.command("replay")
def replay_events(
    event_ids: OptionalIds = None,
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
    from_step: Annotated[
        str | None,
        typer.Option("--from-step", metavar="STEP", help="Start from this step; earlier ones are not run again."),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="@FILE|TEXT", help="Another body; @- reads standard input.")
    ] = None,
    rate: Rate = None,
    reason: Reason = None,
    yes: Yes = False,
    detach: Detach = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Run events again, each as a new event: those with the ids, or all that a filter finds, as a job of the server."""
    if not event_ids and (from_step is not None or data is not None):
        raise typer.BadParameter("--from-step and --data go with ids of events, not with a filter")
    change: dict[str, Json] = {} if version is None else {"workflow_version": version}
    with connect(url, token) as api:
        wanted = _filter(
            api, integration, received=(after, before), failed_reply=failed_reply, status=status, q=q, key=key
        )
        if _needs_job(event_ids, wanted):
            job = _start_job(api, "replay", wanted, {**change, "rate": rate, "reason": reason}, yes=yes)
            _end_job(api, job, ("Replaying", "Replayed"), detach=detach, as_json=as_json)
        else:
            _replay(api, event_ids or [], change | _edits(from_step, data), as_json=as_json)


EventIds = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of events.")]


@app.command("retry")
def retry_events(event_ids: EventIds, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Start events now that wait for an operator or for their next attempt, with all their attempts."""
    _move(event_ids, "retry", url, token)


@app.command("cancel")
def cancel_events(
    event_ids: OptionalIds = None,
    integration: IntegrationFilter = None,
    status: StatusFilter = None,
    q: TextFilter = None,
    key: KeyFilter = None,
    after: After = None,
    before: Before = None,
    rate: Rate = None,
    reason: Reason = None,
    yes: Yes = False,
    detach: Detach = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Stop events: at once when they wait, at their next step when they are worked on.

    Those with the ids, or all that a filter finds, as a job of the server.
    """
    with connect(url, token) as api:
        wanted = _filter(api, integration, received=(after, before), status=status, q=q, key=key)
        if _needs_job(event_ids, wanted):
            job = _start_job(api, "cancel", wanted, {"rate": rate, "reason": reason}, yes=yes)
            _end_job(api, job, ("Canceling", "Canceled"), detach=detach, as_json=as_json)
            return
    _move(event_ids or [], "cancel", url, token)


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


def _needs_job(event_ids: list[str] | None, wanted: Filter) -> bool:
    has_filter = any(value is not None for value in wanted.values())
    if bool(event_ids) == has_filter:
        raise typer.BadParameter("give ids, or a filter such as --integration NAME --status failed")
    return has_filter


def _start_job(api: Api, verb: str, wanted: Filter, options: dict[str, Json], *, yes: bool) -> dict[str, Any] | None:
    """The new job; None when there is nothing to do."""
    counted = sum(1 for _ in api.items("events", query=wanted, limit=_COUNTED))
    if not counted:
        return None
    if not yes:
        number = f"{counted} or more" if counted == _COUNTED else str(counted)
        typer.confirm(f"{verb.capitalize()} {number} event{'' if counted == 1 else 's'}?", abort=True, err=True)
    chosen: dict[str, Json] = {name: value for name, value in wanted.items() if value is not None}
    if "has_failed_reply" in chosen:
        chosen["has_failed_reply"] = True
    given = {name: value for name, value in options.items() if value is not None}
    job: dict[str, Any] = api.post("events", verb, document={"filter": chosen, **given})
    return job


_COUNTED = 1_000
"""How many events are counted before somebody is asked; the job itself counts them all."""


def _end_job(api: Api, job: dict[str, Any] | None, words: tuple[str, str], *, detach: bool, as_json: bool) -> None:
    from crossdock.cli.jobs import follow

    if job is None:
        typer.echo("null" if as_json else "No such events.")
        return
    if not detach:
        job = follow(api, job, words[0])
    if as_json:
        show_json(job)
    elif detach:
        typer.echo(f"{job['id']} is at work; `crossdock jobs show {job['id']}` tells how far it is.")
    else:
        rest = "".join(f", {job[name]} {name}" for name in ("skipped", "failed") if job[name])
        typer.echo(f"{words[1]} {job['done']} event{'' if job['done'] == 1 else 's'}{rest}.")
        typer.echo(f"crossdock jobs items {job['id']} tells of each.", err=True)
    if job["failed"]:
        raise typer.Exit(1)


def _edits(from_step: str | None, data: str | None) -> dict[str, Json]:
    import base64

    from crossdock.cli.send import read_body

    edits: dict[str, Json] = {} if from_step is None else {"from_step": from_step}
    body = read_body(data)
    if body is None:
        return edits
    try:
        request = {"body": body.decode()}
    except UnicodeDecodeError:
        request = {"body": base64.b64encode(body).decode(), "body_encoding": "base64"}
    return {**edits, "request": request}


def _replay(api: Api, event_ids: list[str], change: dict[str, Json], *, as_json: bool) -> None:
    from rich.console import Console
    from rich.progress import track

    console, made = Console(stderr=True), []
    try:
        for event_id in track(event_ids, "Replaying", console=console, transient=True, disable=not console.is_terminal):
            made.append(api.post("events", event_id, "replay", document=change))
            if not as_json:
                typer.echo(f"{event_id} -> {made[-1]['id']}")
    except KeyboardInterrupt:
        raise CommandFailed(f"stopped after {len(made)} of {len(event_ids)} events") from None
    except CommandFailed as failure:
        raise CommandFailed(f"stopped after {len(made)} of {len(event_ids)} events: {failure}") from None
    if as_json:
        show_json(made)
    else:
        typer.echo(f"Replayed {len(made)} event{'' if len(made) == 1 else 's'}.", err=True)
