"""Who asks for something, and what that role may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from crossdock.model.errors import Forbidden

Role: TypeAlias = Literal["viewer", "operator", "admin"]

ROLES: tuple[Role, ...] = get_args(Role)
"""From the least to the most: an operator may do all that a viewer may, an admin everything."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody or something that was recognised. `workspace` is the slug; all that it sees is in there.

    `id` is the user's or the token's; '' for what the server itself does, and for tokens that are not stored.
    """

    name: str
    workspace_id: str
    workspace: str
    role: Role
    id: str = ""

    def require(self, role: Role) -> None:
        """Forbidden unless the actor has this role or a higher one."""
        if ROLES.index(self.role) < ROLES.index(role):
            raise Forbidden(f"this needs the role {role}; {self.name} has the role {self.role}")
