"""Signatures of Standard Webhooks 1.0."""

import pytest

from overgrow.notify.signing import key_of, signature_headers

# The example in the specification of Standard Webhooks: secret, id, timestamp, body and signature.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_signature_is_that_of_the_specification():
    headers = signature_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY, SECRET)

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": SIGNATURE,
    }


def test_without_a_secret_nothing_is_signed():
    assert signature_headers("evt", 1, b"", None) == {"webhook-id": "evt", "webhook-timestamp": "1"}


def test_a_secret_without_the_prefix_is_the_key_itself():
    assert key_of("pässword") == "pässword".encode()


def test_a_secret_that_was_copied_in_half_is_refused():
    with pytest.raises(ValueError, match="not base64"):
        key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS")
