"""The documents of connections as OpenAPI describes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, RootModel

from crossdock.api.documents import Document
from crossdock.manage.connection_documents import HttpConnectionPart, SqlConnectionPart


class ConnectionToSave(RootModel[Annotated[HttpConnectionPart | SqlConnectionPart, Field(discriminator="kind")]]):
    """A connection of either kind. Secrets are write-only."""


class ConnectionUse(Document):
    id: str
    name: str
    published: bool = Field(description="Its published workflow names the connection.")
    draft: bool = Field(description="Its draft does.")


class AnyConnection(Document):
    id: str
    name: str
    used_by: list[ConnectionUse]
    warnings: list[str]
    revision: int
    created_at: str
    updated_at: str


class ClientCertificate(Document):
    certificate: str
    key: Literal["[set]"]


class HttpConnection(AnyConnection):
    kind: Literal["http"]
    base_url: str
    authentication: dict[str, Any] = Field(description="Its secrets are shown as [set].")
    headers: dict[str, str]
    timeout: str
    verify_tls: bool
    ca_certificate: str | None
    client_certificate: ClientCertificate | None
    certificate_expires_at: str | None = Field(description="When the client certificate does.")
    follow_redirects: bool
    test_path: str | None


class SqlConnection(AnyConnection):
    kind: Literal["sql"]
    url: str = Field(description="With *** for the password.")
    read_only: bool
    pool_size: int
    statement_timeout: str


Connection: TypeAlias = HttpConnection | SqlConnection


class ConnectionTested(Document):
    outcome: Literal["successful", "failed"]
    error: str | None = None
    details: dict[str, Any]
