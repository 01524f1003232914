"""A unified difference as rows for a page: one below the other, or side by side. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DifferenceLine:
    """`sign` is `+`, `-`, a blank, or `@` where lines are left out; numbers are those of the two sides, 0 for none."""

    sign: str
    text: str
    before: int = 0
    after: int = 0


@dataclass(frozen=True, slots=True)
class DifferencePair:
    """What stands on the left and on the right of a row; None where one side has nothing there."""

    left: DifferenceLine | None
    right: DifferenceLine | None


def unified(text: str | None) -> list[DifferenceLine]:
    """The lines of a unified difference with their numbers on both sides."""
    found: list[DifferenceLine] = []
    before = after = 0
    for line in (text or "").splitlines()[2:]:
        sign, rest = line[:1], line[1:]
        if sign == "@":
            before, after = _begins(line)
            found.append(DifferenceLine("@", f"from line {after or before}", 0, 0))
        elif sign == "-":
            found.append(DifferenceLine(sign, rest, before, 0))
            before += 1
        elif sign == "+":
            found.append(DifferenceLine(sign, rest, 0, after))
            after += 1
        elif sign == " ":
            found.append(DifferenceLine(sign, rest, before, after))
            before, after = before + 1, after + 1
    return found


def _begins(head: str) -> tuple[int, int]:
    """The numbers in `@@ -1,4 +1,9 @@`."""
    _, left, right, *_ = head.split(" ")
    return int(left[1:].partition(",")[0]), int(right[1:].partition(",")[0])


def side_by_side(text: str | None) -> list[DifferencePair]:
    """The same in two columns: what was removed beside what was added in its place."""
    found: list[DifferencePair] = []
    removed: list[DifferenceLine] = []
    added: list[DifferenceLine] = []

    def put_down() -> None:
        for n in range(max(len(removed), len(added))):
            left = removed[n] if n < len(removed) else None
            found.append(DifferencePair(left, added[n] if n < len(added) else None))
        removed.clear()
        added.clear()

    for line in unified(text):
        if line.sign == "-":
            removed.append(line)
        elif line.sign == "+":
            added.append(line)
        else:
            put_down()
            found.append(DifferencePair(line, line))
    put_down()
    return found
