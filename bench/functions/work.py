"""A function for `python` steps that does next to nothing: what is measured is the step."""

from __future__ import annotations


def touch(item: int) -> int:
    return item + 1
