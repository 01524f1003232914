"""Changing the master key of the secret store while everything runs."""

from __future__ import annotations

from crossdock.clock import Clock
from crossdock.manage.actor import Actor
from crossdock.manage.audit_entries import Subject, entry_of
from crossdock.manage.secrets import seal_everything_again
from crossdock.model.errors import Conflict
from crossdock.model.outcome import Json
from crossdock.observe import MASTER_KEY_ROTATED, emit
from crossdock.store import Store
from crossdock.store.audit import AuditEntry
from crossdock.store.nodes import list_nodes
from crossdock.vault import Vault


class MasterKey:
    def __init__(self, store: Store, vault: Vault, now: Clock) -> None:
        self._store = store
        self._vault = vault
        self._now = now

    async def rotate(self, actor: Actor) -> Json:
        """Seal every secret with a new key; how many there were, and the key's id. See `Vault.rotate`.

        Conflict where other nodes could not open them any more.
        """
        actor.require("admin")
        if self._vault.has_key_file and len(await self._store.read(list_nodes)) > 1:
            raise Conflict(
                "other nodes use this database, and a new key in this node's key file would not reach them: give all "
                "of them the setting master_key first; the guide to operations tells how, under On several nodes"
            )

        def tell(count: int) -> AuditEntry:
            key_id = self._vault.current_key_id
            after = {"secrets": count, "key_id": key_id}
            return entry_of(actor, "master_key.rotated", Subject(key_id, "master key"), now=self._now(), after=after)

        count = await self._vault.rotate(lambda: seal_everything_again(self._store, self._vault, self._now, tell))
        emit(MASTER_KEY_ROTATED, secrets_sealed=count, master_key_id=self._vault.current_key_id, by=actor.name)
        return {"secrets": count, "key_id": self._vault.current_key_id}
