"""The steps of a run as people look at them."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from crossdock.manage.paging import read_text_cursor
from crossdock.manage.step_lists import PAGE_BYTES, SHOWN_BYTES, SHOWN_STEPS, in_order, shown_steps, steps_page
from crossdock.model.run import StepStatus
from crossdock.store.step_lines import StepLine


def line(path: str, status: StepStatus = StepStatus.SUCCEEDED, output: Any = None) -> StepLine:
    return StepLine(path, "transform", status, 1, 2, 1, output=msgspec.Raw(msgspec.json.encode(output)))


def loop(count: int) -> list[StepLine]:
    """A loop of two steps for each item, as it is recorded: the block itself at its end."""
    inside = [line(f"lines[{n}].{name}") for n in range(count) for name in ("find", "book")]
    return [line("order"), *inside, line("lines"), line("said")]


def ids(documents: list[Any]) -> list[str]:
    return [document["id"] for document in documents]


def pages(lines: list[StepLine], prefix: str = "", limit: int = 3) -> list[list[str]]:
    found, cursor = [], None
    while True:
        page = steps_page(lines, prefix=prefix, after=read_text_cursor(cursor), limit=limit)
        found.append(ids(page.items))
        cursor = page.next
        if cursor is None:
            return found


def test_a_block_stands_before_what_is_inside_it_in_the_order_of_its_items():
    recorded = [line(f"lines[{n}].book") for n in (10, 2, 0)]

    told = ids(shown_steps([line("a"), *recorded, line("lines"), line("z")]))

    assert told == ["a", "lines", "lines[0].book", "lines[2].book", "lines[10].book", "z"]


def test_what_tells_most_is_shown_of_a_long_loop():
    lines = loop(10_000)
    lines[15_000] = line("lines[7499].book", StepStatus.FAILED)
    lines[18_000] = line("lines[8999].book", StepStatus.WAITING)

    told = ids(shown_steps(lines))

    assert len(told) == SHOWN_STEPS
    assert told[:3] == ["order", "lines", "lines[0].find"]
    assert told[-3:] == ["lines[7499].book", "lines[8999].book", "said"]


def test_inputs_and_outputs_that_are_too_large_together_are_told_by_their_sizes():
    lines = [line("small", output="x"), line("large", output="y" * SHOWN_BYTES), line("none")]

    told = shown_steps(lines)

    assert [one["output"] for one in told] == ["x", {"truncated": True, "size": SHOWN_BYTES + 2}, None]


def test_pages_hold_every_step_once():
    assert pages(loop(2)) == [
        ["order", "lines", "lines[0].find"],
        ["lines[0].book", "lines[1].find", "lines[1].book"],
        ["said"],
    ]


def test_pages_of_a_prefix_hold_what_is_below_it():
    assert pages(loop(20), "lines[1].") == [["lines[1].find", "lines[1].book"]]
    assert pages(loop(20), "nowhere") == [[]]


def test_a_page_of_large_outputs_is_shorter_and_whole():
    lines = [line(f"s{n}", output="x" * (PAGE_BYTES // 2)) for n in range(3)]

    assert pages(lines) == [["s0"], ["s1"], ["s2"]]
    assert len(steps_page(lines, prefix="", after=None, limit=3).items[0]["output"]) == PAGE_BYTES // 2


def test_a_page_goes_on_where_the_last_one_ended_although_steps_were_added():
    before, after = loop(3)[:4], loop(3)
    first = steps_page(before, prefix="", after=None, limit=3)

    second = steps_page(after, prefix="", after=read_text_cursor(first.next), limit=200)

    assert first.next is not None
    assert set(ids(first.items) + ids(second.items)) >= {one.id for one in before} | {"said"}
    assert not set(ids(first.items)) & set(ids(second.items))


_parts = st.sampled_from(["a", "b", "c[0]", "c[1]", "c[12]", "d"])
_paths = st.lists(st.lists(_parts, min_size=1, max_size=3).map(".".join), unique=True, max_size=30)


@given(_paths)
def test_every_step_is_there_once_and_before_what_is_inside_it(paths: list[str]):
    ordered = [one.id for one in in_order([line(path) for path in paths])]

    assert sorted(ordered) == sorted(paths)
    for place, path in enumerate(ordered):
        assert not any(path.startswith(f"{later}.") for later in ordered[place:])


@given(_paths, st.integers(1, 7))
def test_pages_together_are_the_whole(paths: list[str], limit: int):
    lines = [line(path) for path in paths]

    assert [path for page in pages(lines, limit=limit) for path in page] == [one.id for one in in_order(lines)]
