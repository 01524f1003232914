"""A notification webhook as it is used: where notifications go, in which form, and with which credentials.

Read from its stored document, which was checked and filled with defaults, and its opened secrets. These are keyed by
their places in the document, header names in lower case: `authentication.token`, `authentication.client_secret`,
`authentication.headers.dd-api-key`, `headers.x-secret`, `secrets.routing_key`, `signing_secret`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from crossdock.model.outcome import Json
from crossdock.notices.template import Template, load_template
from crossdock.notices.validators import Validator, compile_validators
from crossdock.outbound.connection import HttpConnection
from crossdock.outbound.connection_document import read_authentication, read_headers

DEFAULT_TIMEOUT_SECONDS = 10.0
_SIGNING_PREFIX = "whsec_"
"""How Standard Webhooks writes a symmetric secret: this, then base64."""
_BODY_SECRETS = "secrets."


@dataclass(frozen=True, slots=True)
class WebhookIdentity:
    """What a webhook's row says of it beside its document. `workspace` is the slug."""

    id: str
    workspace: str
    name: str
    revision: int
    active: bool


@dataclass(frozen=True, slots=True)
class NotificationWebhook:
    """`connection` leads to the webhook's URL with its authentication, its own headers and its timeout.

    `secrets` are those that the body template may use. Without a template the whole payload is sent, without
    `signing_key` nothing is signed.
    """

    id: str
    workspace: str
    name: str
    revision: int
    active: bool
    method: str
    url: str
    connection: HttpConnection
    template: Template | None = None
    secrets: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    signing_key: bytes | None = field(default=None, repr=False)
    validators: tuple[Validator, ...] = ()


def read_webhook(identity: WebhookIdentity, document: Json, secrets: Mapping[str, str]) -> NotificationWebhook:
    """The webhook of a stored document; LookupError or ValueError when a secret is missing or the rest is damaged."""
    body_secrets = {
        key.removeprefix(_BODY_SECRETS): value for key, value in secrets.items() if key.startswith(_BODY_SECRETS)
    }
    text = document.get("body_template")
    signing_secret = secrets.get("signing_secret", "").removeprefix(_SIGNING_PREFIX)
    return NotificationWebhook(
        id=identity.id,
        workspace=identity.workspace,
        name=identity.name,
        revision=identity.revision,
        active=identity.active,
        method=document.get("method", "POST"),
        url=document["url"],
        connection=HttpConnection(
            identity.id,
            identity.revision,
            identity.name,
            base_url=document["url"],
            authentication=read_authentication(document.get("authentication", {"type": "none"}), secrets),
            headers=read_headers(document.get("headers", {}), secrets, "headers"),
            timeout=float(document.get("timeout_seconds", DEFAULT_TIMEOUT_SECONDS)),
        ),
        template=load_template(text, frozenset(body_secrets)) if text is not None else None,
        secrets=MappingProxyType(body_secrets),
        signing_key=base64.b64decode(signing_secret, validate=True) if signing_secret else None,
        validators=compile_validators(document.get("response_validators", ())),
    )
