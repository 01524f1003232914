"""`${NAME}` in documents: filled in with values from outside, and given to the secrets of what is exported.

`$${` stands for `${` itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from crossdock.manage.refusals import field_path, invalid
from crossdock.model.errors import FieldError
from crossdock.model.outcome import Json

Location: TypeAlias = tuple[str | int, ...]

_PLACEHOLDER = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Kept:
    """What stands for a secret that stays as it is stored."""

    value: Json


KeepSecret: TypeAlias = Callable[[Location, str], Kept | None]
"""What to write in the place of a text whose placeholders have no value; None where no secret is kept."""


def placeholder_names(tree: Json) -> set[str]:
    """The names that documents ask for, so that only these values need to be handed over."""
    return {match[1] for text in _texts(tree) for match in _PLACEHOLDER.finditer(text) if match[1]}


def fill_placeholders(document: Json, values: Mapping[str, str], subject: str, keep: KeepSecret) -> Json:
    """The document with values in the place of placeholders.

    A secret whose placeholder has no value keeps the stored secret; any other such placeholder is refused by name.
    """
    missing: list[FieldError] = []

    def fill(tree: Json, location: Location) -> Json:
        if isinstance(tree, dict):
            return {key: fill(value, (*location, str(key))) for key, value in tree.items()}
        if isinstance(tree, list):
            return [fill(value, (*location, position)) for position, value in enumerate(tree)]
        if not isinstance(tree, str):
            return tree
        unset = placeholder_names(tree) - values.keys()
        if not unset:
            return fill_text(tree, values)
        kept = keep(location, tree)
        if kept is not None:
            return kept.value
        missing.extend(FieldError(field_path(location), f"needs {name}, which is not set") for name in sorted(unset))
        return tree

    filled = fill(document, ())
    if missing:
        raise invalid(subject, missing)
    return filled


def fill_text(text: str, values: Mapping[str, str], otherwise: str = "") -> str:
    """The text with values, and with `otherwise` where a placeholder has none."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], otherwise) if match[1] else "${", text)


def escape(tree: Json) -> Json:
    """The tree as it has to be written so that filling it gives it back."""
    if isinstance(tree, dict):
        return {key: escape(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [escape(value) for value in tree]
    return tree.replace("${", "$${") if isinstance(tree, str) else tree


class PlaceholderNames:
    """Names for placeholders, each given once."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def new(self, *words: str) -> str:
        """A placeholder named after the words: `${ERP_PASSWORD}`."""
        name = re.sub(r"[^A-Z0-9]+", "_", "_".join(words).upper()).strip("_")
        name = name if name and not name[0].isdigit() else f"X_{name}"
        free, number = name, 1
        while free in self._given:
            number += 1
            free = f"{name}_{number}"
        self._given.add(free)
        return "${" + free + "}"


def _texts(tree: Json) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict | list):
        for child in tree.values() if isinstance(tree, dict) else tree:
            yield from _texts(child)
