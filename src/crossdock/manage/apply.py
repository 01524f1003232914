"""Configuration as files: documents in, a plan out, carried out as a whole; and the same documents back.

A document is `{kind: Integration, spec: {...}}`, the spec as the API takes it; the fields may also stand beside
`kind`. It says all that there is to say: fields that it leaves out take their defaults. Only secrets that it does not
name are kept. `${NAME}` in any text is replaced by a value from outside, `$${` stands for `${` itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from crossdock.manage.actor import Actor
from crossdock.manage.documents import Rules, check_size, default_document
from crossdock.manage.fields import SET, is_secret_header
from crossdock.manage.integrations import Integrations
from crossdock.manage.refusals import field_path, invalid
from crossdock.manage.saving import Difference, Save
from crossdock.manage.secrets import BASIC_PASSWORD, PLATFORM_TOKEN, REPLY_HEADERS
from crossdock.manage.written import editable_document
from crossdock.model.errors import FieldError, Invalid
from crossdock.model.outcome import Json
from crossdock.store.integrations import StoredIntegration

KINDS = ("Integration",)
MAX_DOCUMENTS = 1_000

Action: TypeAlias = Literal["create", "change", "none", "prune"]

_PLACEHOLDER = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_Location: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class PlanStep:
    """What happens to one integration. `save` is missing where nothing is written, or something is deleted."""

    name: str
    action: Action
    path: str
    integration_id: str | None = None
    differences: tuple[Difference, ...] = ()
    save: Save | None = None

    def document(self) -> Json:
        return {
            "kind": "Integration",
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


def placeholder_names(tree: Json) -> set[str]:
    """The names that documents ask for, so that only these values need to be handed over."""
    return {match[1] for text in _texts(tree) for match in _PLACEHOLDER.finditer(text) if match[1]}


class Apply:
    """Applies and exports documents."""

    def __init__(self, integrations: Integrations) -> None:
        self._integrations = integrations

    async def plan(
        self, actor: Actor, documents: Sequence[Json], values: Mapping[str, str], *, prune: bool = False
    ) -> Plan:
        """What would have to be done so that the workspace is as the documents say; nothing is written.

        `values` are those of the placeholders. With `prune`, integrations without a document are deleted. Invalid
        tells all that is wrong in any document, with the document's number before the field.
        """
        actor.require("admin")
        specs = _specs(documents)
        rules = await self._integrations.rules(actor)
        planned, errors = [], []
        for number, spec in enumerate(specs):
            try:
                planned.append(await self._plan_one(actor, spec, values, rules))
            except Invalid as error:
                found = error.errors or (FieldError("", str(error)),)
                errors += [FieldError(f"[{number}].{one.field}".rstrip("."), one.message) for one in found]
        if errors:
            raise invalid("the configuration", errors)
        named = {step.name for step in planned}
        others = [stored for stored in await self._integrations.all_stored(actor) if stored.row.name not in named]
        pruned = [PlanStep(one.row.name, "prune", one.row.path, one.row.id) for one in others] if prune else []
        _check_twins(planned, [] if prune else others)
        return Plan((*pruned, *planned))

    async def carry_out(self, actor: Actor, plan: Plan) -> Json:
        """Do what the plan says; Conflict when something was changed since it was made. Steps before that stay done:
        planning again shows what is left."""
        actor.require("admin")
        for step in plan.steps:
            if step.action == "prune" and step.integration_id is not None:
                await self._integrations.delete(actor, step.integration_id)
            elif step.save is not None:
                await self._integrations.carry_out(actor, step.save)
        return plan.document()

    async def export(self, actor: Actor) -> list[Json]:
        """All integrations as documents without what is default, secrets as placeholders."""
        actor.require("viewer")
        names = _PlaceholderNames()
        return [
            {"kind": "Integration", "spec": _export(stored, names)}
            for stored in await self._integrations.all_stored(actor)
        ]

    async def _plan_one(self, actor: Actor, spec: Json, values: Mapping[str, str], rules: Rules) -> PlanStep:
        check_size(spec)
        name = _fill_placeholders({"name": spec.get("name")}, values, None)["name"]
        stored = await self._integrations.stored_by_name(actor, name.strip()) if isinstance(name, str) else None
        save = self._integrations.plan(actor, _fill_placeholders(spec, values, stored), stored, rules)
        row = save.change.row
        if save.read_revision is None:
            return PlanStep(row.name, "create", row.path, save=save)
        if not save.differences:
            return PlanStep(row.name, "none", row.path, row.id)
        return PlanStep(row.name, "change", row.path, row.id, save.differences, save)


def _specs(documents: Sequence[Json]) -> list[Json]:
    """The specs of the documents; Invalid for unknown kinds and shapes."""
    if len(documents) > MAX_DOCUMENTS:
        raise Invalid(f"an apply takes {MAX_DOCUMENTS} documents at most, not {len(documents)}")
    specs, errors = [], []
    for number, document in enumerate(documents):
        kind = document.get("kind") if isinstance(document, dict) else None
        if kind not in KINDS:
            errors.append(FieldError(f"[{number}].kind", f"must be one of {', '.join(KINDS)}"))
            continue
        rest = {key: value for key, value in document.items() if key != "kind"}
        spec = rest.get("spec", rest)
        if not isinstance(spec, dict) or ("spec" in rest and len(rest) > 1):
            errors.append(FieldError(f"[{number}].spec", "must be an object, with nothing beside it but kind"))
            continue
        specs.append(spec)
    if errors:
        raise invalid("the configuration", errors)
    return specs


def _check_twins(planned: Sequence[PlanStep], others: Sequence[StoredIntegration]) -> None:
    """Invalid when two integrations would have one name or one path in the end."""
    owners = {stored.row.path: stored.row.name for stored in others}
    names: set[str] = set()
    for number, step in enumerate(planned):
        if step.name in names:
            raise invalid("the configuration", (FieldError(f"[{number}].name", f"is there twice: {step.name}"),))
        names.add(step.name)
        owner = owners.setdefault(step.path, step.name)
        if owner != step.name:
            raise invalid("the configuration", (FieldError(f"[{number}].path", f"{step.path} is taken by {owner}"),))


# --- placeholders --------------------------------------------------------------------------------------------------


def _texts(tree: Json) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict | list):
        for child in tree.values() if isinstance(tree, dict) else tree:
            yield from _texts(child)


def _fill_placeholders(document: Json, values: Mapping[str, str], stored: StoredIntegration | None) -> Json:
    """The document with values in the place of placeholders.

    A secret whose placeholder has no value keeps the stored secret; any other such placeholder is refused by name.
    """
    missing: list[FieldError] = []

    def fill(tree: Json, location: _Location) -> Json:
        if isinstance(tree, dict):
            return {key: fill(value, (*location, str(key))) for key, value in tree.items()}
        if isinstance(tree, list):
            return [fill(value, (*location, position)) for position, value in enumerate(tree)]
        if not isinstance(tree, str):
            return tree
        unset = [match[1] for match in _PLACEHOLDER.finditer(tree) if match[1] and match[1] not in values]
        if not unset:
            return _PLACEHOLDER.sub(lambda match: values[match[1]] if match[1] else "${", tree)
        if stored is not None and _is_kept_secret(location, stored):
            return SET if location[0] == "reply" else None
        missing.extend(FieldError(field_path(location), f"needs {name}, which is not set") for name in unset)
        return tree

    filled = fill(document, ())
    if missing:
        raise invalid("the integration", missing)
    return filled


def _is_kept_secret(location: _Location, stored: StoredIntegration) -> bool:
    match location:
        case ("platform_token",):
            return PLATFORM_TOKEN in stored.secrets
        case ("trigger", "authentication", "password"):
            return BASIC_PASSWORD in stored.secrets
        case ("reply", "headers", str(name)):
            known = (stored.row.document.get("reply") or {}).get("headers", {})
            return REPLY_HEADERS in stored.secrets and any(
                name.lower() == other.lower() and is_secret_header(other) for other in known
            )
        case _:
            return False


# --- export --------------------------------------------------------------------------------------------------------


class _PlaceholderNames:
    """Names for placeholders, each given once."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def new(self, *words: str) -> str:
        name = re.sub(r"[^A-Z0-9]+", "_", "_".join(words).upper()).strip("_")
        name = name if name and not name[0].isdigit() else f"X_{name}"
        free, number = name, 1
        while free in self._given:
            number += 1
            free = f"{name}_{number}"
        self._given.add(free)
        return "${" + free + "}"


_PARAMETER = {"required": False, "default": None}


def _export(stored: StoredIntegration, names: _PlaceholderNames) -> Json:
    row = stored.row
    written = _escape(editable_document(row, stored.workflow))
    parameters = [_without_defaults(one, _PARAMETER) for one in written["trigger"]["query_parameters"]]
    written["trigger"]["query_parameters"] = parameters
    spec = _without_defaults(written, default_document(row.type))
    spec = {"name": written["name"], "type": row.type, "status": written["status"], "path": row.path, **spec}
    if PLATFORM_TOKEN in stored.secrets:
        spec["platform_token"] = names.new(row.path, "platform_token")
    if BASIC_PASSWORD in stored.secrets:
        authentication = spec.setdefault("trigger", {}).setdefault("authentication", {})
        authentication["password"] = names.new(row.path, "password")
    headers = spec.get("reply", {}).get("headers", {})
    for name in headers:
        if is_secret_header(name):
            headers[name] = names.new(row.path, "reply", name)
    return spec


def _escape(tree: Json) -> Json:
    if isinstance(tree, dict):
        return {key: _escape(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_escape(value) for value in tree]
    return tree.replace("${", "$${") if isinstance(tree, str) else tree


def _without_defaults(tree: Json, default: Json) -> Json:
    """What differs from the defaults. Trees that the defaults do not describe are kept whole."""
    if not isinstance(tree, dict) or not isinstance(default, dict):
        return tree
    return {key: _without_defaults(value, default.get(key)) for key, value in tree.items() if value != default.get(key)}
