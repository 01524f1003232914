"""Signatures as the Standard Webhooks library makes and checks them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from crossdock.clock import system_now
from crossdock.outbound.signatures import (
    format_signing_secret,
    new_signing_secret,
    parse_signing_secret,
    sign,
)


@given(
    st.binary(min_size=24, max_size=64),
    st.from_regex(r"\Adlv_[0-9a-f]{32}\Z"),
    st.integers(946_684_800, 4_102_444_800),
)
def test_a_signature_is_the_one_of_the_standard(secret: bytes, message_id: str, seconds: int) -> None:
    body = '{"name":"Zoë"}'
    at = datetime.fromtimestamp(seconds, UTC)

    headers = dict(sign(secret, message_id, seconds * 1_000_000, body.encode()))

    assert headers["webhook-id"] == message_id
    assert headers["webhook-timestamp"] == str(seconds)
    assert headers["webhook-signature"] == Webhook(format_signing_secret(secret)).sign(message_id, at, body)


def test_a_receiver_with_the_standard_library_accepts_it() -> None:
    secret = new_signing_secret()

    headers = dict(sign(parse_signing_secret(secret), "dlv_1", system_now(), b'{"a": 1}'))

    assert Webhook(secret).verify(b'{"a": 1}', headers) == {"a": 1}


def test_secrets_are_random_and_can_be_read_back() -> None:
    first, second = new_signing_secret(), new_signing_secret()

    assert first != second
    assert len(parse_signing_secret(first)) == 32
    assert format_signing_secret(parse_signing_secret(first)) == first


@pytest.mark.parametrize(
    "text", ["", "whsec_", "whsec_!!!!", "whsec_c2hvcnQ=", "opensesame", "whsec_" + "A" * 200, "é"]
)
def test_a_text_that_is_no_signing_secret_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="signing secret"):
        parse_signing_secret(text)
