"""What `scripts/faults` can do: each mode is one kind of fault, again and again, with a report at the end."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from tests.system.ledger import Promises

OnFault: TypeAlias = Callable[[int, Promises], bool]
"""Hears how many faults there have been; False ends the measurement, and the report tells what there is."""


def go_on(_number: int, _promises: Promises) -> bool:
    """Hears and never ends anything."""
    return True


class Report(Protocol):
    def document(self) -> dict[str, Any]:
        """The figures, as they are shown and written as JSON."""

    def problems(self) -> dict[str, list[str]]:
        """What went wrong; empty when nothing did."""


Measure: TypeAlias = Callable[[Path, argparse.Namespace, OnFault], Awaitable[Report]]
"""Carries a mode out in a folder of its own."""


@dataclass(frozen=True, slots=True)
class Mode:
    """`option` takes the number of faults: `--zombies 20`. The mode whose option is given is carried out."""

    option: str
    help: str
    measure: Measure
    add_options: Callable[[argparse.ArgumentParser], None] | None = None

    @property
    def name(self) -> str:
        return self.option.removeprefix("--").replace("-", "_")
