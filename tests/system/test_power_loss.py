"""Lost power on SQLite: a promise rests on writes that the disk has confirmed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.powerloss import lose_power_repeatedly

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(300)]


async def test_promises_outlive_lost_power(tmp_path: Path):
    report = await lose_power_repeatedly(tmp_path, 25, seconds=4.0)

    assert report.problems() == {}
    assert report.checked > 100
    assert report.dropped > 0


async def test_promises_would_not_outlive_it_with_synchronous_normal(tmp_path: Path):
    report = await lose_power_repeatedly(tmp_path, 25, synchronous="NORMAL", seconds=4.0)

    assert report.lost != []
