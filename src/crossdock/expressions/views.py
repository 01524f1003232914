"""JSON values as the engine gets them: without a single Python method.

The engine looks a name up as an item first and as a Python attribute second, so a plain `dict` would answer
`body.items` with a bound method where the sender left `items` out, and would let `body.lines.append(1)` change the
event. A view has items and no attributes, and wraps what it hands out only when it is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from crossdock.model.expression import OUTPUT_BYTES, ExpressionError
from crossdock.model.outcome import Json

_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
"""The integers that the engine keeps exactly; beyond them it would turn to floating point."""
_MAX_DEPTH = 200


class _View:
    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _View) and bool(self._value == other._value)

    def __hash__(self) -> int:
        return hash(type(self))

    def __str__(self) -> str:
        return as_text(self._value)


class MapView(_View):
    __slots__ = ("_missed_items",)

    def __init__(self, value: dict[str, Json]) -> None:
        super().__init__(value)
        self._missed_items = False

    def __getitem__(self, key: Any) -> Any:
        try:
            return view(self._value[key])
        except KeyError:
            self._missed_items = key == "items"
            raise

    def __iter__(self) -> Iterator[str]:
        return iter(self._value)

    def __len__(self) -> int:
        return len(self._value)

    @property
    def items(self) -> None:
        """By its presence the engine takes this for a mapping. As a field it is missing, if the value has none."""
        if self._missed_items:
            self._missed_items = False
            raise AttributeError("items")


class ListView(_View):
    __slots__ = ()

    def __getitem__(self, index: int) -> Any:
        return view(self._value[index])

    def __len__(self) -> int:
        return len(self._value)


Sequence.register(ListView)  # what the engine takes for a list


class ExactNumber(_View):
    """An integer too large for the engine. It can be handed on and written, not calculated with."""

    __slots__ = ()


def view(value: Json) -> Any:
    """What stands for `value` inside the engine."""
    kind = type(value)
    if kind is dict:
        return MapView(value)
    if kind is list:
        return ListView(value)
    if kind is int and not _SMALLEST <= value <= _LARGEST:
        return ExactNumber(value)
    return value


def as_json(value: Any) -> Json:
    """Plain JSON from what the engine hands out; ExpressionError when it is not JSON or too large.

    What is only passed on is not copied, so the caller must not change it.
    """
    if isinstance(value, _View):
        return value._value
    if isinstance(value, list | tuple | dict):
        return _container(value, _Budget(OUTPUT_BYTES), 0)
    return _scalar(value)


def as_text(value: Any) -> str:
    """Text as it is; anything else as JSON."""
    if type(value) is str:
        return value
    plain = as_json(value)
    return plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()


class _Budget:
    """Counts characters and values, because one list can stand in a result many times and cost nothing until then."""

    __slots__ = ("_left",)

    def __init__(self, size: int) -> None:
        self._left = size

    def spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ExpressionError(f"the value is larger than {OUTPUT_BYTES // 1024**2} MiB")


def _container(value: Any, budget: _Budget, depth: int) -> Json:
    if depth > _MAX_DEPTH:
        raise ExpressionError(f"the value is nested more than {_MAX_DEPTH} deep")
    if isinstance(value, _View):
        value = value._value
    if isinstance(value, dict):
        budget.spend(2)
        return {_key(key, budget): _container(item, budget, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        budget.spend(2)
        return [_container(item, budget, depth + 1) for item in value]
    plain = _scalar(value)
    budget.spend(len(plain) + 3 if isinstance(plain, str) else 4)
    return plain


def _key(key: Any, budget: _Budget) -> str:
    if not isinstance(key, str):
        raise ExpressionError(f"an object's keys are text; {key!r} is not")
    budget.spend(len(key) + 4)
    return str(key)


def _scalar(value: Any) -> Json:
    if isinstance(value, str):
        if len(value) > OUTPUT_BYTES:
            raise ExpressionError(f"the text is longer than {OUTPUT_BYTES // 1024**2} MiB")
        return str(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ExpressionError("the number is not finite")
        return value
    raise ExpressionError("the value is not JSON")
