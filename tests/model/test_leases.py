"""What the store says is held here, and nobody here knows."""

from __future__ import annotations

from crossdock.model.leases import HeldLeases


def test_an_unknown_lease_is_a_stray_when_it_is_seen_again() -> None:
    held = HeldLeases()

    assert held.strays(["a"]) == []
    assert held.strays(["a", "b"]) == ["a"]
    assert held.strays(["b"]) == ["b"]


def test_a_lease_that_became_known_or_ended_in_between_is_no_stray() -> None:
    held = HeldLeases()
    held.strays(["known", "ended", "back"])
    held.add("known")

    assert held.strays(["known"]) == []
    assert held.strays(["known", "back"]) == []


def test_a_lease_that_is_no_longer_held_but_still_recorded_becomes_a_stray() -> None:
    held = HeldLeases()
    held.add("a")
    held.strays(["a"])
    held.discard("a")

    assert held.strays(["a"]) == []
    assert held.strays(["a"]) == ["a"]


def test_a_returned_stray_is_not_returned_again_at_once() -> None:
    held = HeldLeases()
    held.strays(["a"])
    held.strays(["a"])

    assert held.strays(["a"]) == []
