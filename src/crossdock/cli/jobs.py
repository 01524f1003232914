"""`crossdock jobs`: look at bulk jobs, pause, resume and stop them; and following one to its end."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from crossdock.cli import output
from crossdock.cli.client import Api, CommandFailed
from crossdock.cli.options import DEFAULT_URL, AsJson, Limit, Token, Url, connect, show_json

app = typer.Typer(no_args_is_help=True, help="Bulk jobs: what is done to many events.")

LOOK_SECONDS = 0.3
ENDED = ("finished", "canceled", "failed")

JobId = Annotated[str, typer.Argument(metavar="ID", help="The id, job_...")]
Job = dict[str, Any]


@app.command("list")
def list_jobs(
    state: Annotated[str | None, typer.Option("--state", help="running, paused, finished, canceled or failed.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="replay, cancel or what_if.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """List bulk jobs, newest first."""
    with connect(url, token) as api:
        found = list(api.items("bulk-jobs", query={"state": state, "kind": kind}, limit=limit))
    if as_json:
        show_json(found)
        return
    titles = ("CREATED", "ID", "KIND", "STATE", "PROGRESS", "DONE", "SKIPPED", "FAILED")
    output.show_table(titles, map(_row, found), empty="No such jobs.")


@app.command("show")
def show_job(job_id: JobId, as_json: AsJson = False, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Tell how far a job is."""
    with connect(url, token) as api:
        job = api.get("bulk-jobs", job_id)
    if as_json:
        show_json(job)
    else:
        typer.echo("\n".join(tell(job)))


@app.command("items")
def list_items(
    job_id: JobId,
    outcome: Annotated[
        str | None, typer.Option("--outcome", help="replayed, canceled, skipped, failed, changed, ...")
    ] = None,
    limit: Limit = 200,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """List what each event of a job came to."""
    with connect(url, token) as api:
        found = list(api.items("bulk-jobs", job_id, "items", query={"outcome": outcome}, limit=limit))
    if as_json:
        show_json(found)
        return
    rows = [(item["event_id"], item["outcome"], item["new_event_id"] or item["reason"]) for item in found]
    output.show_table(("EVENT", "OUTCOME", "NEW EVENT, OR WHY"), rows, empty="No such events.")


@app.command("pause")
def pause(job_id: JobId, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Stop a job for a while."""
    _move(job_id, "pause", url, token)


@app.command("resume")
def resume(job_id: JobId, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Let a paused job go on where it was."""
    _move(job_id, "resume", url, token)


@app.command("cancel")
def cancel(job_id: JobId, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Stop a job for good. What was done stays done."""
    _move(job_id, "cancel", url, token)


def _move(job_id: str, move: str, url: str, token: str | None) -> None:
    with connect(url, token) as api:
        job = api.post("bulk-jobs", job_id, move)
    typer.echo(f"{job_id} is {job['state']}")


def _row(job: Job) -> tuple[object, ...]:
    progress = f"{job['progress']:.0%}"
    return (
        job["created_at"],
        job["id"],
        job["kind"],
        job["state"],
        progress,
        job["done"],
        job["skipped"],
        job["failed"],
    )


def tell(job: Job) -> list[str]:
    """A job in a few lines."""
    counted = "still being counted" if job["total"] is None else str(job["total"])
    lines = [
        f"{job['id']}  {job['kind']}  {output.colored(job['state'])}",
        f"Made {job['created_at']} by {job['created_by']}, {job['rate']:g} events a second at most.",
        f"Events: {counted}; {job['done']} done, {job['skipped']} skipped, {job['failed']} failed.",
        f"Filter: {output.compact(job['filter'])}",
    ]
    lines += [f"Reason: {job['reason']}"] if job.get("reason") else []
    if job["options"]:
        lines.append(f"Options: {output.compact(job['options'])}")
    if job["summary"]:
        lines.append("Outcomes: " + ", ".join(f"{count} {name}" for name, count in job["summary"].items()))
    if job["remaining_seconds"]:
        lines.append(f"About {output.duration_words(job['remaining_seconds'])} to go.")
    lines += [f"It waits: {job['waiting_because']}."] if job["waiting_because"] else []
    lines += [f"Error: {job['error']}"] if job["error"] else []
    return lines


# --- following -------------------------------------------------------------------------------------------------------


def follow(api: Api, job: Job, doing: str) -> Job:
    """Show a job's progress until it ends, and how it ended then. CommandFailed when it did not finish.

    Ctrl-C asks whether to cancel the job, and cancels it where nobody can be asked.
    """
    try:
        ended = _look_until_ended(api, job, doing)
    except KeyboardInterrupt:
        raise CommandFailed(_interrupted(api, job)) from None
    if ended["state"] != "finished":
        raise CommandFailed(
            f"{ended['id']} was {ended['state']} after {_counted(ended)}: {ended['error'] or 'see above'}"
        )
    return ended


def _look_until_ended(api: Api, job: Job, doing: str) -> Job:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(doing, total=None)
        while job["state"] not in ENDED:
            time.sleep(LOOK_SECONDS)
            job = api.get("bulk-jobs", job["id"])
            standing = job["waiting_because"] or ("paused" if job["state"] == "paused" else None)
            words = f"{doing} ({standing})" if standing else doing
            bar.update(task, description=words, total=job["total"], completed=_dealt_with(job))
    return job


def _interrupted(api: Api, job: Job) -> str:
    """What is told after Ctrl-C."""
    api.server.close()  # it may have been in the middle of an answer
    wants_it = not sys.stdin.isatty() or typer.confirm("Cancel the job? Otherwise it goes on.", default=True, err=True)
    if not wants_it:
        return f"{job['id']} goes on; `crossdock jobs show {job['id']}` tells how far it is"
    try:
        job = api.post("bulk-jobs", job["id"], "cancel")
    except CommandFailed:  # it came to its end in this moment, or the server is away: then this says so
        job = api.get("bulk-jobs", job["id"])
    return f"stopped {job['id']} after {_counted(job)}"


def _dealt_with(job: Job) -> int:
    return int(job["done"] + job["skipped"] + job["failed"])


def _counted(job: Job) -> str:
    total = "events" if job["total"] is None else f"of {job['total']} events"
    return f"{_dealt_with(job)} {total}"
