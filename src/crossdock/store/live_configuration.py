"""Everything that the catalog needs, in one read."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from crossdock.store.configuration import configuration_number, workspaces
from crossdock.store.connections import ConnectionRow, all_connections
from crossdock.store.integrations import IntegrationRow, all_integrations
from crossdock.store.keys import KeyRow, all_keys
from crossdock.store.secrets import SecretRow, all_secrets
from crossdock.store.webhooks import WebhookRow, all_webhooks


@dataclass(frozen=True, slots=True)
class LiveConfiguration:
    """`number` is the count of changes that the rest has seen."""

    number: int
    workspaces: dict[str, str]
    integrations: list[IntegrationRow]
    keys: list[KeyRow]
    secrets: list[SecretRow]
    connections: list[ConnectionRow]
    webhooks: list[WebhookRow]


def read_live_configuration(connection: Connection) -> LiveConfiguration:
    """The whole configuration. To be read at once: a row that comes with the secrets of another moment would be taken
    for what its revision says, and be kept.
    """
    return LiveConfiguration(
        number=configuration_number(connection),
        workspaces=workspaces(connection),
        integrations=all_integrations(connection),
        keys=all_keys(connection),
        secrets=all_secrets(connection),
        connections=all_connections(connection),
        webhooks=all_webhooks(connection),
    )
