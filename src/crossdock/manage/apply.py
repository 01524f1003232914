"""Configuration as files: documents in, a plan out, carried out as a whole; and the same documents back.

A document is `{kind: Integration, spec: {...}}`, the spec as the API takes it; an integration's fields may also stand
beside `kind`. It says all that there is to say: fields that it leaves out take their defaults. Only secrets that it
does not name are kept. `${NAME}` in any text is replaced by a value from outside, `$${` stands for `${` itself.

Connections are written before the integrations that use them, and deleted after them. Notification webhooks come last:
their filters name integrations, which get their ids before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from crossdock.manage.actor import Actor
from crossdock.manage.authentication import Place
from crossdock.manage.connection_documents import SUBJECT
from crossdock.manage.connection_saving import ConnectionSave
from crossdock.manage.connections import Connections
from crossdock.manage.documents import Rules, check_size
from crossdock.manage.exporting import export_connection, export_integration, export_webhook
from crossdock.manage.fields import SET, is_secret_header
from crossdock.manage.integrations import Integrations
from crossdock.manage.placeholders import (
    KeepSecret,
    Kept,
    Location,
    PlaceholderNames,
    fill_placeholders,
    fill_text,
)
from crossdock.manage.refusals import invalid
from crossdock.manage.saving import Difference, Save
from crossdock.manage.secrets import BASIC_PASSWORD, PLATFORM_TOKEN, REPLY_HEADERS
from crossdock.manage.webhook_documents import SUBJECT as WEBHOOK
from crossdock.manage.webhook_names import name_in_differences, with_ids
from crossdock.manage.webhook_saving import WebhookSave
from crossdock.manage.webhooks import Webhooks
from crossdock.model.errors import FieldError, Invalid
from crossdock.model.outcome import Json
from crossdock.model.workflow import connections_named
from crossdock.outbound.connection_document import URL_PASSWORD
from crossdock.outbound.database_url import KEPT, parse_database_url
from crossdock.store.connections import StoredConnection
from crossdock.store.integrations import StoredIntegration
from crossdock.store.webhooks import StoredWebhook

Kind: TypeAlias = Literal["Connection", "Integration", "NotificationWebhook"]
Action: TypeAlias = Literal["create", "change", "none", "prune"]

KINDS: tuple[Kind, ...] = ("Integration", "Connection", "NotificationWebhook")
MAX_DOCUMENTS = 1_000
NOTE = "apply"
"""What the audit log notes of each thing that is changed here."""
_WHOLE = "the configuration"


@dataclass(frozen=True, slots=True)
class PlanStep:
    """What happens to one thing. `save` is missing where nothing is written, or something is deleted."""

    kind: Kind
    name: str
    action: Action
    id: str | None = None
    path: str | None = None
    """An integration's, which no two may share."""
    differences: tuple[Difference, ...] = ()
    save: Save | ConnectionSave | WebhookSave | None = None
    connections: frozenset[str] = frozenset()
    """The names of those that an integration's workflow uses."""
    number: int = -1
    """The document's; -1 for what has none."""

    @property
    def lasting_id(self) -> str:
        """The id that it has, or will have."""
        return self.id or (self.save.change.row.id if self.save is not None else "")

    def document(self) -> Json:
        return {
            "kind": self.kind,
            "name": self.name,
            "action": self.action,
            "differences": [difference.document() for difference in self.differences],
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """All that an apply does, in order."""

    steps: tuple[PlanStep, ...]

    @property
    def changes_something(self) -> bool:
        return any(step.action != "none" for step in self.steps)

    def document(self) -> Json:
        return {"steps": [step.document() for step in self.steps], "changes_something": self.changes_something}


@dataclass(frozen=True, slots=True)
class _Spec:
    number: int
    kind: Kind
    spec: Json


class Apply:
    """Applies and exports documents."""

    def __init__(self, integrations: Integrations, connections: Connections, webhooks: Webhooks) -> None:
        self._integrations = integrations
        self._connections = connections
        self._webhooks = webhooks

    async def plan(
        self, actor: Actor, documents: Sequence[Json], values: Mapping[str, str], *, prune: bool = False
    ) -> Plan:
        """What would have to be done so that the workspace is as the documents say; nothing is written.

        `values` are those of the placeholders. With `prune`, what has no document is deleted; a connection only when
        nobody uses it any more. Invalid tells all that is wrong in any document, with the document's number before
        the field.
        """
        actor.require("admin")
        specs = _specs(documents)
        errors: list[FieldError] = []
        connections = await self._plan_connections(actor, specs, values, errors)
        rules = await self._integrations.rules(actor)
        rules = replace(rules, connections={**rules.connections, **_kinds(specs, values)})
        integrations = await self._plan_integrations(actor, specs, values, rules, errors)
        named = {step.name for step in integrations}
        others = [stored for stored in await self._integrations.all_stored(actor) if stored.row.name not in named]
        staying = {step.lasting_id: step.name for step in integrations}
        staying |= {} if prune else {stored.row.id: stored.row.name for stored in others}
        webhooks = await self._plan_webhooks(actor, specs, values, staying, errors)
        if errors:
            raise invalid(_WHOLE, sorted(errors, key=_document_number))
        for planned in (connections, integrations, webhooks):
            _check_names(planned)
        _check_paths(integrations, [] if prune else others)
        if not prune:
            return Plan((*connections, *integrations, *webhooks))
        pruned = [PlanStep("Integration", one.row.name, "prune", one.row.id) for one in others]
        unused = await self._unused(actor, connections, integrations)
        unwanted = await self._unwanted_webhooks(actor, webhooks)
        return Plan((*connections, *unwanted, *pruned, *integrations, *webhooks, *unused))

    async def carry_out(self, actor: Actor, plan: Plan) -> Json:
        """Do what the plan says; Conflict when something was changed since it was made. Steps before that stay done:
        planning again shows what is left."""
        actor.require("admin")
        for step in plan.steps:
            if step.action == "prune" and step.id is not None:
                await self._cases(step.kind).delete(actor, step.id, note=NOTE)
                continue
            match step.save:
                case ConnectionSave():
                    await self._connections.carry_out(actor, step.save, note=NOTE)
                case WebhookSave():
                    await self._webhooks.carry_out(actor, step.save, note=NOTE)
                case Save():
                    await self._integrations.carry_out(actor, step.save, note=NOTE)
        return plan.document()

    def _cases(self, kind: Kind) -> Connections | Integrations | Webhooks:
        if kind == "NotificationWebhook":
            return self._webhooks
        return self._connections if kind == "Connection" else self._integrations

    async def export(self, actor: Actor) -> list[Json]:
        """Everything that is set up as documents without what is default, secrets as placeholders."""
        actor.require("viewer")
        names = PlaceholderNames()
        connections = await self._connections.all_stored(actor)
        integrations = await self._integrations.all_stored(actor)
        webhooks = await self._webhooks.all_stored(actor)
        known = {stored.row.id: stored.row.name for stored in integrations}
        return [
            *(export_connection(stored, names) for stored in connections),
            *(export_integration(stored, names) for stored in integrations),
            *(export_webhook(stored, names, known) for stored in webhooks),
        ]

    async def export_integration(self, actor: Actor, integration_id: str) -> Json:
        """The document of one integration, as `export` writes it; NotFound when the workspace has none of this id."""
        actor.require("viewer")
        return export_integration(await self._integrations.stored(actor, integration_id), PlaceholderNames())

    # --- connections -------------------------------------------------------------------------------------------------

    async def _plan_connections(
        self, actor: Actor, specs: Sequence[_Spec], values: Mapping[str, str], errors: list[FieldError]
    ) -> list[PlanStep]:
        stored = {one.row.name: one for one in await self._connections.all_stored(actor)}
        planned: list[PlanStep] = []
        for one in specs:
            if one.kind == "Connection":
                try:
                    step = self._plan_connection(actor, one.spec, values, stored)
                except Invalid as error:
                    errors += _numbered(one.number, error)
                else:
                    planned.append(replace(step, number=one.number))
        return planned

    def _plan_connection(
        self, actor: Actor, spec: Json, values: Mapping[str, str], known: Mapping[str, StoredConnection]
    ) -> PlanStep:
        check_size(spec, SUBJECT)
        stored = known.get(_name_of(spec, values, SUBJECT))
        keep = _keep_nothing if stored is None else _keep_of_connection(self._connections.kept_keys(stored), values)
        save = self._connections.plan(actor, fill_placeholders(spec, values, SUBJECT, keep), stored)
        row = save.change.row
        if save.read_revision is None:
            return PlanStep("Connection", row.name, "create", save=save)
        if not save.differences:
            return PlanStep("Connection", row.name, "none", row.id)
        return PlanStep("Connection", row.name, "change", row.id, differences=save.differences, save=save)

    async def _unused(
        self, actor: Actor, connections: Sequence[PlanStep], integrations: Sequence[PlanStep]
    ) -> list[PlanStep]:
        """The connections to be deleted: without a document, and used neither by a workflow that is to be nor by the
        draft of an integration that stays."""
        staying = {step.id for step in integrations}
        wanted = {step.name for step in connections}.union(*(step.connections for step in integrations))
        for name, uses in (await self._connections.all_uses(actor)).items():
            if any(use.draft and use.integration_id in staying for use in uses):
                wanted.add(name)
        stored = await self._connections.all_stored(actor)
        return [PlanStep("Connection", o.row.name, "prune", o.row.id) for o in stored if o.row.name not in wanted]

    # --- integrations ------------------------------------------------------------------------------------------------

    async def _plan_integrations(
        self,
        actor: Actor,
        specs: Sequence[_Spec],
        values: Mapping[str, str],
        rules: Rules,
        errors: list[FieldError],
    ) -> list[PlanStep]:
        planned: list[PlanStep] = []
        for one in specs:
            if one.kind == "Integration":
                try:
                    step = await self._plan_integration(actor, one.spec, values, rules)
                except Invalid as error:
                    errors += _numbered(one.number, error)
                else:
                    planned.append(replace(step, number=one.number))
        return planned

    async def _plan_integration(self, actor: Actor, spec: Json, values: Mapping[str, str], rules: Rules) -> PlanStep:
        check_size(spec)
        stored = await self._integrations.stored_by_name(actor, _name_of(spec, values, "the integration"))
        keep = _keep_nothing if stored is None else _keep_of_integration(stored)
        filled = fill_placeholders(spec, values, "the integration", keep)
        save = self._integrations.plan(actor, filled, stored, rules)
        row, named = save.change.row, connections_named(filled.get("workflow"))
        step = PlanStep("Integration", row.name, "create", path=row.path, save=save, connections=named)
        if save.read_revision is None:
            return step
        if not save.differences:
            return replace(step, action="none", id=row.id, save=None)
        return replace(step, action="change", id=row.id, differences=save.differences)

    # --- notification webhooks ---------------------------------------------------------------------------------------

    async def _plan_webhooks(
        self,
        actor: Actor,
        specs: Sequence[_Spec],
        values: Mapping[str, str],
        integrations: Mapping[str, str],
        errors: list[FieldError],
    ) -> list[PlanStep]:
        stored = {one.row.name: one for one in await self._webhooks.all_stored(actor)}
        planned: list[PlanStep] = []
        for one in specs:
            if one.kind == "NotificationWebhook":
                try:
                    step = await self._plan_webhook(actor, one.spec, values, stored, integrations)
                except Invalid as error:
                    errors += _numbered(one.number, error)
                else:
                    planned.append(replace(step, number=one.number))
        return planned

    async def _plan_webhook(
        self,
        actor: Actor,
        spec: Json,
        values: Mapping[str, str],
        known: Mapping[str, StoredWebhook],
        integrations: Mapping[str, str],
    ) -> PlanStep:
        check_size(spec, WEBHOOK)
        stored = known.get(_name_of(spec, values, WEBHOOK))
        keep = _keep_nothing if stored is None else _keep_of_webhook(self._webhooks.kept_keys(stored))
        filled = with_ids(fill_placeholders(spec, values, WEBHOOK, keep), integrations, stored)
        save = await self._webhooks.plan(actor, filled, stored, integrations)
        row = save.change.row
        if save.read_revision is None:
            return PlanStep("NotificationWebhook", row.name, "create", save=save)
        if not save.differences:
            return PlanStep("NotificationWebhook", row.name, "none", row.id)
        told = name_in_differences(save.differences, integrations)
        return PlanStep("NotificationWebhook", row.name, "change", row.id, differences=told, save=save)

    async def _unwanted_webhooks(self, actor: Actor, planned: Sequence[PlanStep]) -> list[PlanStep]:
        named = {step.name for step in planned}
        stored = await self._webhooks.all_stored(actor)
        return [
            PlanStep("NotificationWebhook", o.row.name, "prune", o.row.id) for o in stored if o.row.name not in named
        ]


# --- documents -----------------------------------------------------------------------------------------------------


def _specs(documents: Sequence[Json]) -> list[_Spec]:
    """The specs of the documents; Invalid for unknown kinds and shapes."""
    if len(documents) > MAX_DOCUMENTS:
        raise Invalid(f"an apply takes {MAX_DOCUMENTS} documents at most, not {len(documents)}")
    specs, errors = [], []
    for number, document in enumerate(documents):
        written = document.get("kind") if isinstance(document, dict) else None
        kind = next((known for known in KINDS if known == written), None)
        if kind is None:
            errors.append(FieldError(f"[{number}].kind", f"must be one of {', '.join(KINDS)}"))
            continue
        rest = {key: value for key, value in document.items() if key != "kind"}
        # a connection has a kind of its own: its fields can't stand beside this one
        spec = rest.get("spec", None if kind == "Connection" else rest)
        if not isinstance(spec, dict) or ("spec" in rest and len(rest) > 1):
            errors.append(FieldError(f"[{number}].spec", "must be an object, with nothing beside it but kind"))
            continue
        specs.append(_Spec(number, kind, spec))
    if errors:
        raise invalid(_WHOLE, errors)
    return specs


def _name_of(spec: Json, values: Mapping[str, str], subject: str) -> str:
    """The name by which the stored one is found; whether it is a good one is judged with the rest."""
    name = fill_placeholders({"name": spec.get("name")}, values, subject, _keep_nothing)["name"]
    return name.strip() if isinstance(name, str) else ""


def _kinds(specs: Iterable[_Spec], values: Mapping[str, str]) -> dict[str, str]:
    """The kinds of the connections that the documents tell of by name, faulty ones too: what is wrong with them is said
    once, at their own place."""
    found = {}
    for one in specs:
        name, kind = one.spec.get("name"), one.spec.get("kind")
        if one.kind == "Connection" and isinstance(name, str) and isinstance(kind, str):
            found[fill_text(name, values).strip()] = kind
    return found


def _numbered(number: int, error: Invalid) -> list[FieldError]:
    found = error.errors or (FieldError("", str(error)),)
    return [FieldError(f"[{number}].{one.field}".rstrip("."), one.message) for one in found]


def _document_number(error: FieldError) -> int:
    return int(error.field[1:].partition("]")[0])


def _check_names(planned: Sequence[PlanStep]) -> None:
    names: set[str] = set()
    for step in planned:
        if step.name in names:
            raise invalid(_WHOLE, (FieldError(f"[{step.number}].name", f"is there twice: {step.name}"),))
        names.add(step.name)


def _check_paths(planned: Sequence[PlanStep], others: Sequence[StoredIntegration]) -> None:
    """Invalid when two integrations would have one path in the end."""
    owners = {stored.row.path: stored.row.name for stored in others}
    for step in planned:
        owner = owners.setdefault(step.path or "", step.name)
        if owner != step.name:
            raise invalid(_WHOLE, (FieldError(f"[{step.number}].path", f"{step.path} is taken by {owner}"),))


# --- secrets that are kept -----------------------------------------------------------------------------------------


def _keep_nothing(_location: Location, _text: str) -> None:
    return None


def _keep_of_connection(kept: frozenset[str], values: Mapping[str, str]) -> KeepSecret:
    def keep(location: Location, text: str) -> Kept | None:
        if location == ("url",) and URL_PASSWORD in kept:
            written = fill_text(text, values, KEPT)
            return Kept(written) if _keeps_password(written) else None
        return Kept(SET) if Place(tuple(map(str, location))).key in kept else None

    return keep


def _keep_of_webhook(kept: frozenset[str]) -> KeepSecret:
    def keep(location: Location, _text: str) -> Kept | None:
        return Kept(SET) if Place(tuple(map(str, location))).key in kept else None

    return keep


def _keeps_password(url: str) -> bool:
    try:
        return parse_database_url(url).password == KEPT
    except ValueError:
        return False


def _keep_of_integration(stored: StoredIntegration) -> KeepSecret:
    def keep(location: Location, _text: str) -> Kept | None:
        match location:
            case ("platform_token",) if PLATFORM_TOKEN in stored.secrets:
                return Kept(None)
            case ("trigger", "authentication", "password") if BASIC_PASSWORD in stored.secrets:
                return Kept(None)
            case ("reply", "headers", str(name)) if REPLY_HEADERS in stored.secrets:
                known = (stored.row.document.get("reply") or {}).get("headers", {})
                same = any(name.lower() == other.lower() and is_secret_header(other) for other in known)
                return Kept(SET) if same else None
            case _:
                return None

    return keep
