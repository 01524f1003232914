"""API keys of an integration: one for each consumer, shown once, known afterwards by label and last characters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from crossdock.catalog import Catalog
from crossdock.clock import Clock, new_id
from crossdock.manage.actor import Actor
from crossdock.manage.audit_entries import Subject, entry_of
from crossdock.manage.fields import check_line, check_secret
from crossdock.manage.paging import Page, check_limit, cut_page, read_text_cursor
from crossdock.manage.refusals import field_errors, invalid
from crossdock.manage.secrets import hash_credential, hint_of, new_credential
from crossdock.model.errors import FieldError, Invalid, NotFound
from crossdock.model.outcome import Json
from crossdock.model.time import Instant, format_instant, parse_instant
from crossdock.store import Store
from crossdock.store.audit import AuditEntry, audited, audited_with
from crossdock.store.keys import KeyRow, add_key, change_key, delete_key, key_by_id, keys_page
from crossdock.store.webhooks import integration_names

_Model = TypeVar("_Model", bound=BaseModel)

KEY_PREFIX = "xdk_"
LABEL_LENGTH = 80


def _label(text: str) -> str:
    return check_line(text, LABEL_LENGTH)


def _pasted_key(text: str) -> str:
    return check_secret(text, 16, 256)


def _time(text: str) -> str:
    parse_instant(text)
    return text


class NewKey(BaseModel):
    """What a new key is made from. Without `key` one is generated."""

    model_config = ConfigDict(extra="forbid", strict=True)
    label: Annotated[str, AfterValidator(_label)]
    key: Annotated[str, AfterValidator(_pasted_key)] | None = None
    expires_at: Annotated[str, AfterValidator(_time)] | None = None


class KeyChange(BaseModel):
    """What can be changed of a key. `expires_at` null: never."""

    model_config = ConfigDict(extra="forbid", strict=True)
    label: Annotated[str, AfterValidator(_label)] = ""
    disabled: bool = False
    expires_at: Annotated[str, AfterValidator(_time)] | None = None


@dataclass(frozen=True, slots=True)
class KeyPorts:
    """What managing keys works with."""

    store: Store
    catalog: Catalog
    now: Clock


class Keys:
    """The use cases around keys. A change is live in this process when its answer is given."""

    def __init__(self, ports: KeyPorts) -> None:
        self._ports = ports

    async def page(
        self, actor: Actor, integration_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page:
        """The keys of an integration, oldest first. Their text is not known any more."""
        actor.require("viewer")
        await self._integration_name(actor, integration_id)
        size, after = check_limit(limit), read_text_cursor(cursor)
        rows = await self._ports.store.read(keys_page, integration_id, after_id=after, limit=size + 1)
        return cut_page(rows, size, lambda row: row.id, _document)

    async def show(self, actor: Actor, integration_id: str, key_id: str) -> Json:
        """One key; NotFound when the integration has none of this id."""
        actor.require("viewer")
        await self._integration_name(actor, integration_id)
        return _document(await self._row(integration_id, key_id))

    async def add(
        self, actor: Actor, integration_id: str, label: str, key: str | None = None, expires_at: str | None = None
    ) -> Json:
        """Add a generated key, or the given one: `{id, label, hint, key, ...}`, the only time that its text is told.

        The same value may open several integrations, but not be there twice on one.
        """
        actor.require("admin")
        name, now = await self._integration_name(actor, integration_id), self._ports.now()
        wanted = _checked(NewKey, {"label": label, "key": key, "expires_at": expires_at})
        text = wanted.key if wanted.key is not None else new_credential(KEY_PREFIX)
        row = KeyRow(
            id=new_id("key"),
            integration_id=integration_id,
            label=wanted.label,
            hint=hint_of(text),
            hash=hash_credential(text),
            disabled=False,
            created_at=now,
            expires_at=_instant(wanted.expires_at),
        )
        made = {**_told(row), "generated": wanted.key is None}
        told = entry_of(actor, "key.added", Subject(integration_id, name), now=now, after=made)
        twin = await self._ports.store.write(audited(add_key, lambda twin: told if twin is None else None), row)
        if twin is not None:
            raise invalid("the key", (FieldError("key", f"is already there, labelled {twin}"),))
        await self._ports.catalog.reload()
        return {**_document(row), "key": text}

    async def change(self, actor: Actor, integration_id: str, key_id: str, patch: Json) -> Json:
        """Relabel, disable or enable, set or lift (null) the time at which it expires."""
        actor.require("admin")
        name = await self._integration_name(actor, integration_id)
        if not isinstance(patch, dict):
            raise Invalid("the change of a key must be an object")
        wanted = _checked(KeyChange, patch)
        values = {name: getattr(wanted, name) for name in wanted.model_fields_set}
        if "expires_at" in values:
            values["expires_at"] = _instant(wanted.expires_at)
        if values:
            subject, now = Subject(integration_id, name), self._ports.now()

            def tell(seen: KeyRow | None, landed: bool) -> AuditEntry | None:
                if not landed or seen is None:
                    return None
                before, after = _told(seen), _told(replace(seen, **values))
                return entry_of(actor, "key.changed", subject, now=now, before=before, after=after)

            look = partial(key_by_id, integration_id=integration_id, key_id=key_id)
            change = audited_with(look, change_key, tell)
            if not await self._ports.store.write(change, integration_id, key_id, values):
                raise _not_found(key_id)
            await self._ports.catalog.reload()
        return _document(await self._row(integration_id, key_id))

    async def delete(self, actor: Actor, integration_id: str, key_id: str) -> None:
        """Forget the key: calls with it are refused from now on."""
        actor.require("admin")
        subject, now = Subject(integration_id, await self._integration_name(actor, integration_id)), self._ports.now()

        def tell(seen: KeyRow | None, landed: bool) -> AuditEntry | None:
            if not landed or seen is None:
                return None
            return entry_of(actor, "key.deleted", subject, now=now, before=_told(seen))

        look = partial(key_by_id, integration_id=integration_id, key_id=key_id)
        if not await self._ports.store.write(audited_with(look, delete_key, tell), integration_id, key_id):
            raise _not_found(key_id)
        await self._ports.catalog.reload()

    async def _integration_name(self, actor: Actor, integration_id: str) -> str:
        names = await self._ports.store.read(integration_names, actor.workspace_id, {integration_id})
        if integration_id not in names:
            raise NotFound(f"there is no integration {integration_id}")
        return names[integration_id]

    async def _row(self, integration_id: str, key_id: str) -> KeyRow:
        row = await self._ports.store.read(key_by_id, integration_id, key_id)
        if row is None:
            raise _not_found(key_id)
        return row


def _checked(model: type[_Model], document: Json) -> _Model:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise invalid("the key", field_errors(error, model)) from None


def _instant(text: str | None) -> Instant | None:
    return None if text is None else parse_instant(text)


def _document(row: KeyRow) -> Json:
    return {
        "id": row.id,
        "label": row.label,
        "hint": row.hint,
        "disabled": row.disabled,
        "created_at": format_instant(row.created_at),
        "expires_at": None if row.expires_at is None else format_instant(row.expires_at),
        "last_used_at": None if row.last_used_at is None else format_instant(row.last_used_at),
        "calls": row.calls,
    }


def _told(row: KeyRow) -> Json:
    """What the audit log keeps of a key: what people decide about it, and by what they know it."""
    document = _document(row)
    return {"key_id": row.id, **{name: document[name] for name in ("label", "hint", "disabled", "expires_at")}}


def _not_found(key_id: str) -> NotFound:
    return NotFound(f"the integration has no key {key_id}")
