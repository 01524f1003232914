"""`crossdock health`: which integrations are well, what is wrong with the others, and saying that somebody cares."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from crossdock.cli import output
from crossdock.cli.client import Api, CommandFailed
from crossdock.cli.options import (
    DEFAULT_URL,
    AsJson,
    IntegrationName,
    Limit,
    Token,
    Url,
    connect,
    find_integration,
    show_json,
)

SHOW = "show"


class ShownByDefault(TyperGroup):
    """`crossdock health ERP` is short for `crossdock health show ERP`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_help = bool(args) and args[0] in ctx.help_option_names
        return super().parse_args(ctx, args if is_help else self._named(args))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, self._named(args))

    def _named(self, args: list[str]) -> list[str]:
        return args if args and args[0] in self.commands else [SHOW, *args]


app = typer.Typer(
    cls=ShownByDefault,
    help="See the health of integrations, and what is wrong. `show` may be left out.",
)

IssueId = Annotated[
    str | None, typer.Argument(metavar="[ISSUE]", help="The id, iss_...; not needed where only one is open.")
]
NoteText = Annotated[str, typer.Option("--note", help="Why, or who looks at it.")]


@app.command(SHOW)
def show(
    integration: Annotated[
        str | None, typer.Argument(metavar="[INTEGRATION]", help="Name, path or id. Default: all in a list.")
    ] = None,
    status: Annotated[
        str | None, typer.Option("--status", help="In the list: only these states, such as warning,error.")
    ] = None,
    limit: Limit = 10,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """List integrations with their states; or show what is wrong with one, and what was (--limit changes)."""
    with connect(url, token) as api:
        if integration is None:
            _list(list(api.items("integrations", query={"health": status})), as_json=as_json)
            return
        found = find_integration(api, integration)
        health = api.get("integrations", found["id"], "health", query={"limit": min(limit, 200)})
    if as_json:
        show_json(health)
    else:
        _show(found["name"], health)


@app.command("ack")
def acknowledge(
    integration: IntegrationName,
    issue: IssueId = None,
    note: NoteText = "",
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Say that somebody has seen an issue. The state stays as it is."""
    told = _act(url, token, integration, issue, "acknowledge", {"note": note})
    typer.echo(f"{told['id']} is acknowledged: {told['message']}")


@app.command("snooze")
def snooze(
    integration: IntegrationName,
    issue: IssueId = None,
    length: Annotated[str | None, typer.Option("--for", help="How long, such as PT8H.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Until when (RFC 3339).")] = None,
    note: NoteText = "",
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Let an issue not count for the state for a while."""
    document = {"for": length, "until": until, "note": note}
    told = _act(url, token, integration, issue, "snooze", {k: v for k, v in document.items() if v is not None})
    typer.echo(f"{told['id']} is snoozed until {told['snoozed_until']}: {told['message']}")


@app.command("wake")
def wake(integration: IntegrationName, issue: IssueId = None, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Let a snoozed issue count again."""
    told = _act(url, token, integration, issue, "wake", None)
    typer.echo(f"{told['id']} counts again: {told['message']}")


@app.command("resolve")
def resolve(
    integration: IntegrationName,
    issue: IssueId = None,
    note: NoteText = "",
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """End an issue and forget what was counted for it. It comes back when it is met again."""
    told = _act(url, token, integration, issue, "resolve", {"note": note})
    typer.echo(f"{told['id']} is resolved: {told['message']}")


def _act(url: str, token: str | None, integration: str, issue: str | None, deed: str, document: Any) -> dict[str, Any]:
    with connect(url, token) as api:
        found = find_integration(api, integration)
        issue_id = issue or _only_issue(api, found)
        told: dict[str, Any] = api.post(
            "integrations", found["id"], "health", "issues", issue_id, deed, document=document
        )
    return told


def _only_issue(api: Api, integration: dict[str, Any]) -> str:
    """The id of the issue that is open; CommandFailed when there is none, or a choice."""
    issues = list(api.items("integrations", integration["id"], "health", "issues"))
    if not issues:
        raise CommandFailed(f"{integration['name']} has no open issue")
    if len(issues) > 1:
        lines = "".join(f"\n  {one['id']}  {one['message']}" for one in issues)
        raise CommandFailed(f"{integration['name']} has {len(issues)} open issues; say which one:{lines}")
    return str(issues[0]["id"])


def _list(found: list[dict[str, Any]], *, as_json: bool) -> None:
    health = [{"id": one["id"], "name": one["name"], **one["current_health"]} for one in found]
    if as_json:
        show_json(health)
        return
    output.show_table(
        ("NAME", "STATUS", "SINCE", "ISSUES"),
        ((one["name"], one["status"], one["since"], one["issues"] or "") for one in health),
        empty="No such integrations.",
    )


def _show(name: str, health: dict[str, Any]) -> None:
    typer.echo(f"{name} is {output.colored(health['status'])} since {health['since']}.")
    if health["issues"]:
        typer.echo("")
        output.show_table(
            ("ISSUE", "STATUS", "COUNT", "LAST SEEN", "WHAT", "EVENT", "NOTED"),
            (
                (
                    one["id"],
                    one["status"],
                    one["count"],
                    one["last_seen"],
                    one["message"],
                    one["sample_event"],
                    _noted(one),
                )
                for one in health["issues"]
            ),
            empty="",
        )
    if health["history"]:
        typer.echo("")
        output.show_table(
            ("WHEN", "FROM", "TO", "BECAUSE"),
            (
                (
                    one["at"],
                    one["previous_status"],
                    one["status"],
                    output.compact("; ".join(issue["message"] for issue in one["issues"]), 200),
                )
                for one in health["history"]
            ),
            empty="",
        )


def _noted(issue: dict[str, Any]) -> str:
    """What somebody did about it."""
    told = []
    if issue["snoozed_until"]:
        told.append(f"snoozed until {issue['snoozed_until']}{_why(issue['snoozed'])}")
    if issue["acknowledged"]:
        told.append(f"seen by {issue['acknowledged']['by']}{_why(issue['acknowledged'])}")
    return "; ".join(told)


def _why(deed: dict[str, Any] | None) -> str:
    return f" ({deed['note']})" if deed and deed["note"] else ""
