"""The configuration in memory: an immutable snapshot, swapped whole when something changes.

No call asks the database who may call what. A snapshot is built beside the one in use, only changed integrations are
compiled anew, and the attribute is replaced in one step: whoever holds the old one finishes with it. One integration
that can't be read (a secret whose master key is gone) is left out with its reason and does not fail the others.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import jsonschema_rs

from crossdock import observe
from crossdock.expressions import compile_value
from crossdock.model.errors import CrossdockError
from crossdock.model.expression import Expression, ExpressionError
from crossdock.model.integration import ApiKey, Integration, ReplySettings
from crossdock.model.outcome import Json
from crossdock.notices.webhook import NotificationWebhook, WebhookIdentity, read_webhook
from crossdock.observe import CONFIGURATION_BROKEN, CONNECTION_BROKEN, WEBHOOK_BROKEN, emit
from crossdock.outbound.connection import Connection
from crossdock.outbound.connection_document import read_connection
from crossdock.store import Store
from crossdock.store.configuration import configuration_number
from crossdock.store.connections import ConnectionRow
from crossdock.store.integration_document import read_integration
from crossdock.store.integrations import IntegrationRow
from crossdock.store.live_configuration import LiveConfiguration, read_live_configuration
from crossdock.store.secrets import CREDENTIALS, SecretRow
from crossdock.store.signals import Signals, Topic
from crossdock.store.versions import version
from crossdock.store.webhooks import WebhookRow
from crossdock.vault import Sealed, Vault

CheckBody: TypeAlias = Callable[[Json], list[str]]
"""What is wrong with a body, each with the place where; nothing when it is valid."""

BODY_ERRORS = 20
"""How many errors of a body are told at once."""
_ERROR_LENGTH = 300
_PATTERN_BYTES = 1024 * 1024
_WORKFLOWS_KEPT = 512


@dataclass(frozen=True, slots=True)
class LiveIntegration:
    """An integration, ready to judge calls: credentials as hashes, expressions and schema compiled."""

    integration: Integration
    signing_secret: bytes
    keys: Mapping[bytes, ApiKey] = field(default_factory=dict)
    """By the SHA-256 of the key's text."""
    token_hash: bytes | None = None
    """SHA-256 of the platform token."""
    basic_hash: bytes | None = None
    """SHA-256 of the Basic password."""
    dedupe_key: Expression | None = None
    ordering_key: Expression | None = None
    check_body: CheckBody | None = None

    @property
    def reply(self) -> ReplySettings | None:
        """Where the handled event goes, with the complete header values."""
        return self.integration.reply

    def find_key(self, credential: bytes) -> ApiKey | None:
        """The key with this text, usable or not."""
        digest = sha256(credential).digest()
        key = self.keys.get(digest)
        return key if key is not None and hmac.compare_digest(key.hash, digest) else None

    def accepts_token(self, credential: bytes) -> bool:
        """Whether it is the platform token, in constant time."""
        return self.token_hash is not None and hmac.compare_digest(self.token_hash, sha256(credential).digest())

    def accepts_basic(self, username: bytes, password: bytes) -> bool:
        """Whether both are right, in constant time for either."""
        expected = sha256(self.integration.trigger.basic_username.encode()).digest()
        same_name = hmac.compare_digest(expected, sha256(username).digest())
        digest = sha256(password).digest()
        same_password = hmac.compare_digest(self.basic_hash or bytes(32), digest) and self.basic_hash is not None
        return same_name and same_password


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The configuration at one moment. `by_path` is keyed by workspace slug and path."""

    by_path: Mapping[tuple[str, str], LiveIntegration] = field(default_factory=lambda: MappingProxyType({}))
    by_id: Mapping[str, LiveIntegration] = field(default_factory=lambda: MappingProxyType({}))
    workspaces: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The ids of workspaces by their slugs."""
    broken: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Why an integration, by its id, can't be used."""
    broken_paths: frozenset[tuple[str, str]] = frozenset()
    connections: Mapping[tuple[str, str], Connection] = field(default_factory=lambda: MappingProxyType({}))
    """By workspace slug and name."""
    broken_connections: Mapping[tuple[str, str], str] = field(default_factory=lambda: MappingProxyType({}))
    """Why a connection can't be used."""
    webhooks: Mapping[str, NotificationWebhook] = field(default_factory=lambda: MappingProxyType({}))
    """Notification webhooks by their ids, those that are switched off as well."""
    broken_webhooks: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Why a notification webhook, by its id, can't be used."""
    number: int = -1
    """How many changes of the configuration it contains."""


class Catalog:
    """Holds the current snapshot. `reload` after each change in this process; `reload_if_changed` for other nodes'."""

    def __init__(
        self, store: Store, vault: Vault, sqlite_folder: Path | None = None, signals: Signals | None = None
    ) -> None:
        """`sqlite_folder` holds the database files of connections; without it there can be none."""
        self.snapshot = Snapshot()
        self._store = store
        self._vault = vault
        self._sqlite_folder = sqlite_folder
        self._signals = signals or Signals()
        self._reloading = asyncio.Lock()
        self._rows: dict[str, tuple[IntegrationRow, Sequence[ApiKey]]] = {}
        self._workflows: OrderedDict[tuple[str, int], Json] = OrderedDict()

    async def reload(self) -> None:
        """Read what was changed here, and tell the other nodes of it."""
        self._signals.tell(Topic.CONFIGURATION)
        await self._read()

    async def _read(self) -> None:
        """Read the configuration and swap the snapshot; StoreUnavailable leaves the old one in use."""
        async with self._reloading:
            configuration = await self._store.read_at_once(read_live_configuration)
            self.snapshot = self._build(configuration)
        observe.emit(observe.CONFIGURATION_LOADED, integrations=len(self.snapshot.by_id), number=configuration.number)

    async def reload_if_changed(self) -> bool:
        """Reload when the configuration was changed since the last time, by whatever node; whether it was."""
        return await self.reload_unless(await self._store.read(configuration_number))

    async def reload_unless(self, number: int) -> bool:
        """Reload unless the snapshot contains just so many changes; whether it did not."""
        if number == self.snapshot.number:
            return False
        await self._read()
        return True

    def target(self, integration_id: str, name: str) -> LiveIntegration:
        """The integration called `name` in the workspace of another one; LookupError says why there is none."""
        own = self.snapshot.by_id.get(integration_id)
        workspace = own.integration.workspace if own is not None else None
        for live in self.snapshot.by_id.values():
            if live.integration.name == name and live.integration.workspace == workspace:
                return live
        raise LookupError(f"there is no integration {name!r} in this workspace")

    def connection(self, integration_id: str, name: str) -> Connection:
        """The connection called `name` in the integration's workspace; LookupError says why there is none."""
        own = self.snapshot.by_id.get(integration_id)
        key = (own.integration.workspace if own is not None else "", name)
        found = self.snapshot.connections.get(key)
        if found is not None:
            return found
        if key in self.snapshot.broken_connections:
            raise LookupError(f"the connection {name!r} can't be used: {self.snapshot.broken_connections[key]}")
        raise LookupError(f"there is no connection {name!r} in this workspace")

    async def workflow(self, integration_id: str, number: int) -> Json:
        """The document of a workflow version; number 0 has no steps. LookupError when there is no such version.

        Versions never change, so those that were used last are kept in memory.
        """
        if number == 0:
            return {"steps": []}
        key = (integration_id, number)
        if key not in self._workflows:
            row = await self._store.read(version, integration_id, number)
            if row is None:
                raise LookupError(f"workflow version {number} of {integration_id} does not exist")
            self._workflows[key] = row.document
            if len(self._workflows) > _WORKFLOWS_KEPT:
                self._workflows.popitem(last=False)
        self._workflows.move_to_end(key)
        return self._workflows[key]

    def _build(self, configuration: LiveConfiguration) -> Snapshot:
        keys: dict[str, list[ApiKey]] = defaultdict(list)
        for key in configuration.keys:
            keys[key.integration_id].append(key.as_key())
        secrets: dict[str, dict[str, SecretRow]] = defaultdict(dict)
        for secret in configuration.secrets:
            secrets[secret.owner_id][secret.name] = secret
        live: dict[str, LiveIntegration] = {}
        broken: dict[str, str] = {}
        broken_paths: set[tuple[str, str]] = set()
        for row in configuration.integrations:
            try:
                live[row.id] = self._reuse_or_build(row, keys[row.id], secrets[row.id])
            except _UNREADABLE as error:
                broken[row.id] = f"{type(error).__name__}: {error}"
                broken_paths.add((row.workspace, row.path))
                if row.id not in self.snapshot.broken:
                    emit(CONFIGURATION_BROKEN, integration=row.id, name=row.name, reason=str(error))
        self._rows = {row.id: (row, keys[row.id]) for row in configuration.integrations if row.id in live}
        connections, broken_connections = self._build_connections(configuration.connections, secrets)
        webhooks, broken_webhooks = self._build_webhooks(configuration.webhooks, secrets)
        return Snapshot(
            by_path=MappingProxyType({(one.integration.workspace, one.integration.path): one for one in live.values()}),
            by_id=MappingProxyType(live),
            workspaces=MappingProxyType(configuration.workspaces),
            broken=MappingProxyType(broken),
            broken_paths=frozenset(broken_paths),
            connections=MappingProxyType(connections),
            broken_connections=MappingProxyType(broken_connections),
            webhooks=MappingProxyType(webhooks),
            broken_webhooks=MappingProxyType(broken_webhooks),
            number=configuration.number,
        )

    def _build_connections(
        self, rows: Sequence[ConnectionRow], secrets: Mapping[str, Mapping[str, SecretRow]]
    ) -> tuple[dict[tuple[str, str], Connection], dict[tuple[str, str], str]]:
        """All of them anew: that costs little, and what is cached for one goes by its id and revision."""
        live: dict[tuple[str, str], Connection] = {}
        broken: dict[tuple[str, str], str] = {}
        for row in rows:
            key = (row.workspace, row.name)
            try:
                live[key] = self._open_connection(row, secrets.get(row.id, {}))
            except _UNREADABLE as error:
                broken[key] = str(error)
                if key not in self.snapshot.broken_connections:
                    emit(CONNECTION_BROKEN, connection=row.id, name=row.name, reason=str(error))
        return live, broken

    def _open_connection(self, row: ConnectionRow, secrets: Mapping[str, SecretRow]) -> Connection:
        identity = (row.id, row.revision, row.name)
        opened = _open_credentials(self._vault, secrets)
        return read_connection(identity, row.kind, row.document, opened, self._sqlite_folder)

    def _build_webhooks(
        self, rows: Sequence[WebhookRow], secrets: Mapping[str, Mapping[str, SecretRow]]
    ) -> tuple[dict[str, NotificationWebhook], dict[str, str]]:
        """Those that changed anew: each has a template to compile."""
        live: dict[str, NotificationWebhook] = {}
        broken: dict[str, str] = {}
        for row in rows:
            try:
                live[row.id] = self._reuse_or_open_webhook(row, secrets.get(row.id, {}))
            except _UNREADABLE as error:
                broken[row.id] = str(error)
                if row.id not in self.snapshot.broken_webhooks:
                    emit(WEBHOOK_BROKEN, webhook=row.id, name=row.name, reason=str(error))
        return live, broken

    def _reuse_or_open_webhook(self, row: WebhookRow, secrets: Mapping[str, SecretRow]) -> NotificationWebhook:
        known = self.snapshot.webhooks.get(row.id)
        if known is not None and known.revision == row.revision:
            return known
        identity = WebhookIdentity(row.id, row.workspace, row.name, row.revision, row.active)
        return read_webhook(identity, row.document, _open_credentials(self._vault, secrets))

    def _reuse_or_build(
        self, row: IntegrationRow, keys: Sequence[ApiKey], secrets: Mapping[str, SecretRow]
    ) -> LiveIntegration:
        # every change of an integration or of its secrets counts its revision up; keys have rows of their own
        known = self._rows.get(row.id)
        if known is not None and known[0].revision == row.revision and known[1] == keys:
            return self.snapshot.by_id[row.id]
        return _bring_to_life(row, keys, {name: _open(self._vault, secret) for name, secret in secrets.items()})


_UNREADABLE = (CrossdockError, ExpressionError, ValueError, LookupError, TypeError, AttributeError)
"""What a row that was damaged, or written by a newer version, can raise while it is read."""


def _open_credentials(vault: Vault, secrets: Mapping[str, SecretRow]) -> dict[str, str]:
    """The secret values of a document by their places."""
    sealed = secrets.get(CREDENTIALS)
    return json.loads(_open(vault, sealed)) if sealed is not None else {}


def _open(vault: Vault, row: SecretRow) -> bytes:
    return vault.open(Sealed(row.key_id, row.sealed), row.associated)


def _bring_to_life(row: IntegrationRow, keys: Sequence[ApiKey], secrets: Mapping[str, bytes]) -> LiveIntegration:
    integration = read_integration(row, json.loads(secrets.get("reply_headers", b"{}")))
    trigger = integration.trigger
    token, password = secrets.get("platform_token"), secrets.get("basic_password")
    return LiveIntegration(
        integration=integration,
        signing_secret=secrets["signing_secret"],
        keys=MappingProxyType({key.hash: key for key in keys}),
        token_hash=sha256(token).digest() if token is not None else None,
        basic_hash=sha256(password).digest() if password is not None else None,
        dedupe_key=compile_value(trigger.deduplicate.key, "trigger.deduplicate.key") if trigger.deduplicate else None,
        ordering_key=compile_value(trigger.ordering_key, "trigger.ordering_key") if trigger.ordering_key else None,
        check_body=compile_body_schema(json.loads(trigger.body_schema)) if trigger.body_schema else None,
    )


def compile_body_schema(schema: Json) -> CheckBody:
    """A check by a JSON Schema; ValueError with the reason when it is not one.

    Remote and file references are refused: a schema must not make this machine fetch anything. Patterns use the
    engine that takes linear time, so that no body can keep it busy; look-around is refused by it.
    """
    try:
        validator = jsonschema_rs.validator_for(
            schema,
            retriever=_refuse_reference,
            pattern_options=jsonschema_rs.RegexOptions(size_limit=_PATTERN_BYTES),
        )
    except jsonschema_rs.ValidationError as error:
        place = _place(error.instance_path)
        raise ValueError(f"is not a JSON Schema: {place + ': ' if place else ''}{error.message}") from None
    except ValueError as error:
        raise ValueError(f"is not a JSON Schema: {error}") from None

    def check(body: Json) -> list[str]:
        errors: list[str] = []
        try:
            for error in validator.iter_errors(body):
                place = _place(error.instance_path)
                errors.append(f"{place}: {error.message[:_ERROR_LENGTH]}" if place else error.message[:_ERROR_LENGTH])
                if len(errors) == BODY_ERRORS:
                    break
        except (ValueError, OverflowError) as failure:  # nested too deeply, or text with half a surrogate pair
            errors.append(f"can't be checked: {failure}")
        return errors

    return check


def _refuse_reference(uri: str) -> Json:
    raise ValueError(f"references to other documents are not followed ({uri}); put the definition under $defs")


def _place(path: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
