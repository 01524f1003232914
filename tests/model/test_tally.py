"""What is counted at the door."""

from __future__ import annotations

from crossdock.model.tally import Tally


def test_counts_are_taken_once() -> None:
    tally = Tally()
    for now in (1, 2, 3):
        tally.reject("int_a", "disabled", now)
    tally.reject("int_b", "disabled", 4)
    tally.use_key("key_1", 5)

    taken = tally.take()

    assert {place: (count.calls, count.last_at) for place, count in taken.rejections.items()} == {
        ("int_a", "disabled"): (3, 3),
        ("int_b", "disabled"): (1, 4),
    }
    assert (taken.keys["key_1"].calls, taken.keys["key_1"].last_at) == (1, 5)
    assert tally.take() == Tally()
