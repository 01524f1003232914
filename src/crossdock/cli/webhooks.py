"""`crossdock webhooks`: whom Crossdock tells when an integration's health changes, and how that goes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from crossdock.cli import output
from crossdock.cli.client import Api, CommandFailed
from crossdock.cli.options import DEFAULT_URL, AsJson, Limit, Token, Url, connect, show_json

app = typer.Typer(no_args_is_help=True, help="See notification webhooks, test them, switch them on and off.")

WebhookName = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Name or id.")]
_LIST = "notification-webhooks"


@app.command("list")
def list_webhooks(
    q: Annotated[str | None, typer.Option("--q", help="Text in the name.")] = None,
    active: Annotated[
        bool | None, typer.Option("--active/--inactive", help="Only those that are on, or off. Default: all.")
    ] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """List notification webhooks and how their last deliveries went."""
    wanted = {"q": q, "active": None if active is None else str(active).lower()}
    with connect(url, token) as api:
        found = list(api.items(_LIST, query=wanted))
    if as_json:
        show_json(found)
        return
    output.show_table(
        ("ID", "NAME", "STATUS", "URL", "TOLD OF", "DELIVERIES", "HELD", "WARNINGS"),
        (
            (
                item["id"],
                item["name"],
                "active" if item["active"] else "inactive",
                item["url"],
                _told_of(item),
                item["status"]["state"],
                len(item["held"]) or "",
                len(item["warnings"]) or "",
            )
            for item in found
        ),
        empty="No notification webhooks. `crossdock apply FILE.yaml` makes one.",
    )


@app.command("show")
def show_webhook(webhook: WebhookName, as_json: AsJson = False, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Show a notification webhook with all its settings, without its secrets."""
    with connect(url, token) as api:
        document = _find(api, webhook)
    if as_json:
        show_json(document)
    else:
        typer.echo(output.yaml_text(document), nl=False)


@app.command("test")
def try_webhook(webhook: WebhookName, as_json: AsJson = False, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Send made-up data once, and show what was sent and answered."""
    with connect(url, token) as api:
        found = _find(api, webhook)
        tested = api.post(_LIST, found["id"], "test")
    if as_json:
        show_json(tested)
    else:
        for line in _tested(found["name"], tested):
            typer.echo(line)
    if tested["outcome"] != "successful":
        raise typer.Exit(1)


@app.command("deliveries")
def list_deliveries(
    webhook: WebhookName,
    limit: Limit = 20,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """List what was sent to it, or waits to be, the newest first."""
    with connect(url, token) as api:
        found = _find(api, webhook)
        deliveries = list(api.items(_LIST, found["id"], "deliveries", limit=limit))
    if as_json:
        show_json(deliveries)
        return
    output.show_table(
        ("ID", "MADE", "STATUS", "TRIES", "TOLD", "ERROR"),
        (
            (
                one["id"],
                one["created_at"],
                one["status"],
                one["attempts"],
                "; ".join(_change(change) for change in one["changes"]),
                output.compact(one["error"] or "", 100),
            )
            for one in deliveries
        ),
        empty=f"{found['name']} was not told anything yet. `crossdock webhooks test` sends made-up data.",
    )


@app.command("enable")
def enable(webhook: WebhookName, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Tell it of changes from now on."""
    _switch(url, token, webhook, active=True)


@app.command("disable")
def disable(webhook: WebhookName, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Tell it nothing any more; what waits to be sent to it is canceled."""
    _switch(url, token, webhook, active=False)


@app.command("delete")
def delete(webhook: WebhookName, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Delete it with its secrets; what waits to be sent to it is canceled."""
    with connect(url, token) as api:
        found = _find(api, webhook)
        api.delete(_LIST, found["id"])
    typer.echo(f"{found['name']} is deleted.")


def _switch(url: str, token: str | None, webhook: str, *, active: bool) -> None:
    with connect(url, token) as api:
        changed = api.patch(_LIST, _find(api, webhook)["id"], document={"active": active})
    typer.echo(f"{changed['name']} is {output.colored('active' if changed['active'] else 'inactive')}.")


def _find(api: Api, wanted: str) -> dict[str, Any]:
    """The webhook with this id or name; CommandFailed when there is none."""
    if wanted.startswith("nwh_"):
        document: dict[str, Any] = api.get(_LIST, wanted)
        return document
    for item in api.items(_LIST):
        if item["name"] == wanted:
            found: dict[str, Any] = item
            return found
    raise CommandFailed(f"there is no notification webhook {wanted!r}; `crossdock webhooks list` shows them all")


def _told_of(item: dict[str, Any]) -> str:
    """Its filters in a few words."""
    filters = item["filters"]
    names = [one["name"] or one["id"] for one in item["filtered_integrations"]]
    statuses = ", ".join(filters["statuses"]) or "all states"
    of = ", ".join([*names, *filters["types"]])
    return output.compact(f"{statuses} of {of}" if of else statuses, 60)


def _change(change: dict[str, Any]) -> str:
    return f"{change['integration']['name'] or change['integration']['id']}: {change['status']}"


def _tested(name: str, tested: dict[str, Any]) -> Iterator[str]:
    yield f"Test {tested['outcome']}: {tested.get('error') or name}"
    invocation = tested["invocation"]
    if invocation is None:
        return
    request, response = invocation["request"], invocation["response"]
    yield f"\n{request['method']} {request['url']}"
    yield from _message(request)
    if response is None:
        return
    yield f"\n{response['status']} in {output.duration_words(response['duration_ms'] / 1_000)}"
    yield from _message(response)
    for one in invocation["validators"]:
        found = ", ".join(json.dumps(value, ensure_ascii=False) for value in one["found"]) or "nothing"
        verdict = "passed" if one["passed"] else f"failed: {one.get('problem')}"
        yield f"\n{one['json_path']} found {found}: {verdict}"


def _message(message: dict[str, Any]) -> Iterator[str]:
    yield from (f"{name}: {value}" for name, value in message["headers"].items())
    yield ""
    yield message["body"]
