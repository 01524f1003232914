"""Signatures as the Standard Webhooks library makes and checks them."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from crossdock.clock import system_now
from crossdock.manage.secrets import write_signing_secret
from crossdock.outbound.signatures import sign
from crossdock.vault import new_signing_secret


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
    assert headers["webhook-signature"] == Webhook(write_signing_secret(secret)).sign(message_id, at, body)


def test_a_receiver_with_the_standard_library_accepts_it() -> None:
    secret = new_signing_secret()

    headers = dict(sign(secret, "dlv_1", system_now(), b'{"a": 1}'))

    assert Webhook(write_signing_secret(secret)).verify(b'{"a": 1}', headers) == {"a": 1}
