"""The tables of who may do what, and of who did what.

A user is one person on the whole installation; memberships say what that person may do in which workspace.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from crossdock.store.schema.shared import metadata

_ROLES = "('viewer', 'operator', 'admin')"

user = Table(  # `user` is a keyword of PostgreSQL, so the table is called after what it holds
    "account",
    metadata,
    Column("id", String, primary_key=True),
    Column("login", String, nullable=False, unique=True),  # in lower case: a name or an e-mail address
    Column("name", String, nullable=False),  # as it is shown
    Column("password_hash", Text),  # Argon2id in its PHC string; NULL: signs in in another way, or not yet
    Column("disabled", Boolean, nullable=False),
    Column("issuer", String),  # of the OpenID provider that vouches for this person
    Column("subject", String),  # who this person is there
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("last_signed_in_at", BigInteger),
    UniqueConstraint("issuer", "subject", name="account_identity"),
)

membership = Table(
    "membership",
    metadata,
    Column("user_id", ForeignKey("account.id", ondelete="CASCADE"), primary_key=True),
    Column("workspace_id", ForeignKey("workspace.id"), primary_key=True, index=True),
    Column("role", String, nullable=False),
    CheckConstraint(f"role IN {_ROLES}", name="membership_role"),
)

sign_in_failure = Table(  # what makes guessing slow: failed tries by what was tried, shared by all nodes
    "sign_in_failure",
    metadata,
    Column("subject", String, primary_key=True),  # 'login:' or 'address:' and a SHA-256 in hexadecimal
    Column("failures", Integer, nullable=False),
    Column("last_at", BigInteger, nullable=False, index=True),
)

audit = Table(  # written in the transaction of the change that it tells of; never changed
    "audit",
    metadata,
    Column("id", String, primary_key=True),
    Column("workspace_id", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("actor_id", String, nullable=False),  # usr_..., tok_..., or '' for the server itself
    Column("actor_name", String, nullable=False),
    Column("action", String, nullable=False),  # such as integration.changed
    Column("subject_id", String, nullable=False),
    Column("subject_name", String, nullable=False),
    Column("before", Text),  # JSON without secrets; NULL where there was nothing
    Column("after", Text),
    Column("note", Text),
    Index("audit_of_workspace", "workspace_id", "id"),
    Index("audit_of_subject", "workspace_id", "subject_id", "id"),
)
