"""Users and workspaces as documents: what may be sent, and what is told."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from crossdock.manage.actor import Role
from crossdock.manage.fields import check_line
from crossdock.manage.logins import check_login, check_person
from crossdock.manage.refusals import field_errors, invalid
from crossdock.model.outcome import Json
from crossdock.model.time import format_instant
from crossdock.store.people import StoredUser
from crossdock.store.workspaces import WorkspaceRow

LONGEST_SLUG = 40
WORKSPACE_NAME_LENGTH = 80

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")

USER_READ_ONLY = frozenset(
    {"id", "login", "password_set", "issuer", "created_at", "updated_at", "last_signed_in_at", "link"}
)
WORKSPACE_READ_ONLY = frozenset({"id", "slug", "members", "integrations", "created_at"})
"""Fields that a change may leave in, as one made from a GET does; they stay as they are."""

Model = TypeVar("Model", bound=BaseModel)


def check_slug(text: str) -> str:
    """What stands for a workspace in addresses; ValueError says what it may consist of."""
    if len(text) > LONGEST_SLUG or not _SLUG.fullmatch(text):
        raise ValueError(
            f"must be 1 to {LONGEST_SLUG} small letters without accents, digits and '-', with a letter or digit at "
            "both ends: it stands in addresses, and can't be changed later"
        )
    return text


def _workspace_name(text: str) -> str:
    return check_line(text, WORKSPACE_NAME_LENGTH)


Text: TypeAlias = Annotated[str, StringConstraints(strict=True, max_length=1_000)]
Login: TypeAlias = Annotated[Text, AfterValidator(check_login)]
PersonName: TypeAlias = Annotated[Text, AfterValidator(check_person)]
Slug: TypeAlias = Annotated[Text, AfterValidator(check_slug)]
WorkspaceName: TypeAlias = Annotated[Text, AfterValidator(_workspace_name)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class NewUser(_Part):
    """A user to be made."""

    login: Login = Field(description="What is typed to sign in: a name or an e-mail address; kept in lower case.")
    name: PersonName | None = Field(None, description="As it is shown. Default: the login.")
    memberships: dict[Text, Role] = Field(
        default_factory=dict, max_length=200, description="The role in each workspace, by its slug."
    )


class UserPart(_Part):
    """What can be changed of a user."""

    name: PersonName | None = Field(None, description="As it is shown.")
    disabled: bool | None = Field(None, description="Can't sign in, and is signed out at once.")
    memberships: dict[Text, Role | None] = Field(
        default_factory=dict,
        max_length=200,
        description="Roles by the slugs of workspaces; null takes one away, workspaces that are left out stay.",
    )


class Member(_Part):
    """What somebody may do in a workspace."""

    role: Role


class NewWorkspace(_Part):
    """A workspace to be made."""

    slug: Slug = Field(description="Stands in the addresses of its endpoints, and never changes.")
    name: WorkspaceName | None = Field(None, description="As it is shown. Default: the slug.")


class WorkspacePart(_Part):
    """What can be changed of a workspace."""

    name: WorkspaceName | None = Field(None, description="As it is shown.")


def parsed(model: type[Model], document: Json, subject: str, ignored: frozenset[str] = frozenset()) -> Model:
    """`document` as a model; Invalid names every field that is wrong."""
    plain: Any = {key: value for key, value in document.items() if key not in ignored}
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        raise invalid(subject, field_errors(error, model)) from None


def user_document(stored: StoredUser, only_workspace: str | None = None) -> Json:
    """A user without secrets; with `only_workspace`, the id of one, no other membership is told."""
    row = stored.row
    shown = [one for one in stored.memberships if only_workspace in (None, one.workspace_id)]
    return {
        "id": row.id,
        "login": row.login,
        "name": row.name,
        "disabled": row.disabled,
        "password_set": row.password_hash is not None,
        "issuer": row.issuer,
        "memberships": {one.slug: one.role for one in shown},
        "created_at": format_instant(row.created_at),
        "updated_at": format_instant(row.updated_at),
        "last_signed_in_at": None if row.last_signed_in_at is None else format_instant(row.last_signed_in_at),
    }


def workspace_document(row: WorkspaceRow) -> Json:
    return {
        "id": row.id,
        "slug": row.slug,
        "name": row.name,
        "members": row.members,
        "integrations": row.integrations,
        "created_at": format_instant(row.created_at),
    }
