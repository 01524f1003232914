"""The histogram over the list of events."""

from __future__ import annotations

from crossdock.ui.pictures.histogram import KINDS, histogram


def counted(**counts: list[int]) -> dict[str, object]:
    lists = {kind: [0, 0] for kind in (*KINDS, "accepted")} | counts
    return {"start": "2026-09-21T14:00:00.000Z", "interval": "PT5M", **lists}


def drawn(counts: dict[str, object], kinds=KINDS) -> str:
    return str(histogram(counts, lambda start, end: f"?from={start}&until={end}", kinds))


def test_each_bar_leads_to_its_time():
    shown = drawn(counted(succeeded=[3, 0], failed=[1, 0]))

    assert 'href="?from=2026-09-21T14:00:00.000Z&amp;until=2026-09-21T14:05:00.000Z"' in shown
    assert "3 succeeded, 1 failed" in shown
    assert shown.count("data-bar=") == 2


def test_bars_stand_on_one_another_and_fill_the_height():
    shown = drawn(counted(succeeded=[3, 0], failed=[1, 0]))

    assert '<rect data-state="succeeded" x="40.00" y="25.50" width="420.00" height="70.50"/>' in shown
    assert '<rect data-state="failed" x="40.00" y="2.00" width="420.00" height="23.50"/>' in shown


def test_the_same_numbers_stand_in_a_table():
    assert '<td class="number">3</td>' in drawn(counted(succeeded=[3, 0]))
    assert "histogram-table" not in drawn(counted())


def test_only_the_kinds_that_are_wanted_are_drawn():
    shown = drawn(counted(succeeded=[3, 0], failed=[1, 0]), ["failed"])

    assert 'data-state="succeeded"' not in shown
    assert 'height="94.00"' in shown
