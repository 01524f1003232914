"""The tree of commands, and the one place where a failure becomes a line and an exit code."""

from __future__ import annotations

import sys

import typer

from crossdock.cli import (
    audit,
    configuration,
    connections,
    events,
    health,
    integrations,
    jobs,
    lanes,
    nodes,
    operations,
    send,
    test,
    tokens,
    transfer,
    users,
    webhooks,
    what_if,
    workflows,
)
from crossdock.model.errors import CrossdockError

app = typer.Typer(
    name="crossdock",
    help="Self-hosted webhook integrations that lose nothing.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_INSTALLATION = "Installation"
_SETUP = "What is set up"
_WORK = "What happens"

app.command(rich_help_panel=_INSTALLATION)(operations.serve)
app.command(rich_help_panel=_INSTALLATION)(operations.migrate)
app.command(rich_help_panel=_INSTALLATION)(operations.doctor)
app.command(rich_help_panel=_INSTALLATION)(operations.backup)
app.command(rich_help_panel=_INSTALLATION)(transfer.transfer)
app.command(rich_help_panel=_INSTALLATION)(nodes.nodes)
app.add_typer(users.app, name="user", rich_help_panel=_INSTALLATION)
app.command("rotate-key", rich_help_panel=_INSTALLATION)(operations.rotate_key)
app.command(rich_help_panel=_INSTALLATION)(operations.version)
app.command(rich_help_panel=_SETUP)(configuration.apply)
app.command(rich_help_panel=_SETUP)(configuration.export)
app.add_typer(integrations.app, name="integrations", rich_help_panel=_SETUP)
app.add_typer(connections.app, name="connections", rich_help_panel=_SETUP)
app.add_typer(webhooks.app, name="webhooks", rich_help_panel=_SETUP)
app.add_typer(workflows.app, name="workflow", rich_help_panel=_SETUP)
app.add_typer(tokens.app, name="token", rich_help_panel=_SETUP)
app.add_typer(audit.app, name="audit", rich_help_panel=_INSTALLATION)
app.command(rich_help_panel=_WORK)(send.send)
app.add_typer(events.app, name="events", rich_help_panel=_WORK)
app.command(rich_help_panel=_WORK)(nodes.backlog)
app.add_typer(lanes.app, name="lanes", rich_help_panel=_WORK)
app.add_typer(health.app, name="health", rich_help_panel=_WORK)
app.command("test", rich_help_panel=_WORK)(test.try_workflow)
app.command("what-if", rich_help_panel=_WORK)(what_if.what_if)
app.add_typer(jobs.app, name="jobs", rich_help_panel=_WORK)


def run() -> int:
    """Carry out the command line; the exit code: 0 done, 1 failed, 2 wrong usage."""
    try:
        app()
    except CrossdockError as error:
        typer.secho(f"crossdock: {error}", err=True, fg="red" if sys.stderr.isatty() else None)
        return 1
    return 0
