"""The documents of users, their sessions and workspaces as OpenAPI describes them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from crossdock.api.documents import Document

Role = Literal["viewer", "operator", "admin"]


class User(Document):
    id: str
    login: str
    name: str
    disabled: bool
    password_set: bool
    issuer: str | None = Field(description="The OpenID provider that vouches for this user.")
    memberships: dict[str, Role] = Field(
        description="The role in each workspace, by its slug. Admins of one workspace see that one only."
    )
    created_at: str
    updated_at: str
    last_signed_in_at: str | None


class SignInLink(Document):
    url: str = Field(description="By it the user sets a password, once. Whoever has it can be that user.")
    expires_at: str


class CreatedUser(User):
    link: SignInLink


class Me(Document):
    id: str = Field(description="Of the token or the user; empty for tokens that are not stored.")
    name: str
    workspace: str
    role: Role
    administrator: bool = Field(description="May change users, workspaces and the whole installation.")
    user: User | None = Field(description="Null for a token.")


class Session(Document):
    id: str
    created_at: str
    expires_at: str
    last_seen_at: str
    agent: str = Field(description="What the browser calls itself.")
    source_ip: str
    current: bool = Field(description="It is the one that asks.")


class Workspace(Document):
    id: str
    slug: str
    name: str
    members: int
    integrations: int
    created_at: str
