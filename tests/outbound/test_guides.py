"""What the guide to replies and the reference of addresses promise is so."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from crossdock.clock import system_now
from crossdock.manage.secrets import write_signing_secret
from crossdock.outbound.ranges import REFUSED
from crossdock.outbound.signatures import sign

DOCS = Path(__file__).resolve().parents[2] / "docs"
SECRET = bytes(range(32))
Verify = Callable[[str, dict[str, str], bytes], None]


@pytest.fixture
def verify() -> Verify:
    """The function that the guide gives to receivers."""
    text = (DOCS / "guides" / "replies.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Verify] = {}
    exec(blocks[0], names)
    return names["verify"]


def test_the_guides_receiver_accepts_a_genuine_message(verify: Verify) -> None:
    verify(write_signing_secret(SECRET), dict(sign(SECRET, "dlv_1", system_now(), b"{}")), b"{}")


def test_the_guides_receiver_refuses_forged_and_old_messages(verify: Verify) -> None:
    genuine = dict(sign(SECRET, "dlv_1", system_now(), b"{}"))
    old = dict(sign(SECRET, "dlv_1", system_now() - 400_000_000, b"{}"))

    with pytest.raises(ValueError, match="wrong"):
        verify(write_signing_secret(SECRET), genuine, b'{"forged":1}')
    with pytest.raises(ValueError, match="wrong"):
        verify(write_signing_secret(bytes(32)), genuine, b"{}")
    with pytest.raises(ValueError, match="too old"):
        verify(write_signing_secret(SECRET), old, b"{}")


def test_the_reference_lists_every_refused_range() -> None:
    text = (DOCS / "reference" / "outgoing-addresses.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([0-9a-f.:/]+)` \| (.+) \|$", text, re.MULTILINE)

    assert listed == [(str(one.network), one.kind) for one in REFUSED]
