"""Who administers the whole installation: the admins of the workspace `default`."""

from __future__ import annotations

from crossdock.manage.actor import Actor
from crossdock.model.errors import Forbidden
from crossdock.store.people import ADMINISTRATION


def is_administrator(actor: Actor) -> bool:
    """Whether the actor may change users, workspaces and what else belongs to the whole installation."""
    return actor.workspace == ADMINISTRATION and actor.role == "admin"


def require_administrator(actor: Actor) -> None:
    """Forbidden unless the actor is one."""
    if not is_administrator(actor):
        raise Forbidden(f"this is for administrators: admins of the workspace {ADMINISTRATION}, acting in it")
