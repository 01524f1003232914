"""`crossdock user`: people, on the database itself. For whoever has the machine: the way in, and back in."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from crossdock.cli import output
from crossdock.cli.client import CommandFailed
from crossdock.cli.options import AsJson, Config, Data, Database, settings_of, show_json

if TYPE_CHECKING:
    from crossdock.manage.actor import Actor
    from crossdock.manage.users import Users
    from crossdock.settings import Settings

T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True,
    help="Users, on the database itself: the server may run, or not. `crossdock token` is for programs.",
)

Login = Annotated[str, typer.Argument(metavar="LOGIN", help="A name or an e-mail address.")]


@dataclass(frozen=True, slots=True)
class Desk:
    """Managing users without a server, as somebody who may everything."""

    users: Users
    actor: Actor


@app.command("add")
def add(
    login: Login,
    name: Annotated[str | None, typer.Option("--name", help="As it is shown. [default: the login]")] = None,
    role: Annotated[
        Literal["viewer", "operator", "admin"], typer.Option("--role", help="What they may do.")
    ] = "viewer",
    workspace: Annotated[str, typer.Option("--workspace", help="Where.")] = "default",
    as_json: AsJson = False,
    database: Database = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make a user, and show a one-time link to set a password by."""
    wanted: dict[str, Any] = {"login": login, "memberships": {workspace: role}} | ({"name": name} if name else {})
    made = _at_desk(settings_of(config, database=database, data=data), lambda at: at.users.create(at.actor, wanted))
    if as_json:
        show_json(made)
        return
    typer.echo(made["link"]["url"])
    typer.echo(f"{made['login']} is {role} of {workspace}, and sets a password with this link.", err=True)
    typer.echo(f"It works once, until {made['link']['expires_at']}.", err=True)


@app.command("passwd")
def passwd(
    login: Login,
    link: Annotated[bool, typer.Option("--link", help="Show a one-time link instead; the password stays.")] = False,
    database: Database = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Set the password of a user: asked for on a terminal, else the first line of the input. All sessions end."""
    settings = settings_of(config, database=database, data=data)
    if link:
        made = _at_desk(settings, lambda at: at.users.link_for(at.actor, login))
        typer.echo(made["url"])
        typer.echo(f"It works once, until {made['expires_at']}.", err=True)
        return
    password = _ask_password()
    known = _at_desk(settings, lambda at: at.users.set_password(at.actor, login, password))
    typer.echo(f"{known['login']} has a new password, and is signed out everywhere.")
    if known["disabled"]:
        typer.echo("The user is disabled: an administrator enables it in the workspace's settings.", err=True)


@app.command("list")
def list_users(as_json: AsJson = False, database: Database = None, data: Data = None, config: Config = None) -> None:
    """List users, with what they may do."""
    found = _at_desk(settings_of(config, database=database, data=data), _all)
    if as_json:
        show_json(found)
        return
    output.show_table(
        ("LOGIN", "NAME", "STATUS", "SIGNS IN WITH", "WORKSPACES", "LAST SIGNED IN"),
        (
            (
                item["login"],
                item["name"],
                "disabled" if item["disabled"] else "enabled",
                ", ".join(_ways(item)) or "nothing yet",
                ", ".join(f"{slug}: {role}" for slug, role in item["memberships"].items()),
                item["last_signed_in_at"],
            )
            for item in found
        ),
        empty="No users. `crossdock user add LOGIN --role admin` makes the first one.",
    )


async def _all(at: Desk) -> list[Any]:
    found: list[Any] = []
    cursor: str | None = None
    while True:
        page = await at.users.page(at.actor, limit=200, cursor=cursor)
        found += page.items
        cursor = page.next
        if cursor is None:
            return found


def _ways(user: dict[str, Any]) -> Iterator[str]:
    if user["password_set"]:
        yield "password"
    if user["issuer"]:
        yield user["issuer"]


def _ask_password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("New password", hide_input=True, confirmation_prompt="Once more"))
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise CommandFailed("there is no password: write it into the first line of the input, or use a terminal")
    return password


def _at_desk(settings: Settings, work: Callable[[Desk], Coroutine[Any, Any, T]]) -> T:
    """Carry out `work` on the database that the settings name."""
    from crossdock.clock import new_id, system_now
    from crossdock.manage.actor import Actor
    from crossdock.manage.passwords import Passwords
    from crossdock.manage.sessions import Sessions
    from crossdock.manage.users import UserPorts, Users
    from crossdock.store.beside import Beside, open_beside
    from crossdock.store.configuration import ensure_workspace
    from crossdock.store.people import ADMINISTRATION

    async def carry_out(beside: Beside) -> T:
        place = await beside.write(ensure_workspace, new_id("wsp"), ADMINISTRATION, system_now())
        sessions = Sessions(beside, Passwords(), system_now)
        ports = UserPorts(beside, sessions, system_now, settings.url_at(settings.port))
        return await work(Desk(Users(ports), Actor("crossdock user", place, ADMINISTRATION, "admin")))

    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open_beside(settings.database_url, settings.secret("database_direct")) as beside:
        return asyncio.run(carry_out(beside))
