"""Names laid over other names: what a block or a loop adds to what its expressions see."""

from __future__ import annotations

from collections.abc import Mapping

from crossdock.model.outcome import Json


class Scope(dict[str, Json]):
    """`own` names first, then those of `outer`, which are looked up when they are asked for."""

    __slots__ = ("_outer",)

    def __init__(self, outer: Mapping[str, Json], own: Mapping[str, Json]) -> None:
        super().__init__(own)
        self._outer = outer

    def __missing__(self, name: str) -> Json:
        return self._outer[name]
