import base64
from datetime import UTC, datetime

import pytest
from benchmarks.senders.receiver import Kept
from benchmarks.senders.verifiers import VERIFIERS, standard_headers
from standardwebhooks import Webhook

SECRET = f"whsec_{base64.b64encode(b's' * 24).decode()}"
OTHER = f"whsec_{base64.b64encode(b'o' * 24).decode()}"


def signed(secret: str, body: bytes = b'{"id":"senders-1"}', prefix: str = "webhook-") -> Kept:
    now = datetime.now(UTC)
    signature = Webhook(secret).sign("msg_1", now, body.decode())
    return Kept(
        {
            f"{prefix}id": "msg_1",
            f"{prefix}timestamp": str(int(now.timestamp())),
            f"{prefix}signature": signature,
        },
        body,
    )


@pytest.mark.parametrize("name", VERIFIERS)
def test_a_library_tells_the_right_signature_from_a_wrong_one(name: str) -> None:
    right, before = signed(SECRET), signed(SECRET, prefix="svix-")
    altered = Kept(right.headers, right.body + b" ")
    unsigned = Kept({"x-hook0-signature": "t=1,v0=abc"}, right.body)
    verified = VERIFIERS[name](SECRET, [right, signed(OTHER), altered, before, unsigned])
    if verified is None:
        pytest.skip("the library is not on this machine")
    assert verified == [True, False, False, True, False]


def test_headers_of_neither_name_are_none_of_the_standard() -> None:
    assert standard_headers({"webhook-id": "msg_1", "webhook-timestamp": "1"}) is None
    assert standard_headers({"svix-id": "a", "svix-timestamp": "1", "svix-signature": "v1,x", "b": "c"}) == {
        "webhook-id": "a",
        "webhook-timestamp": "1",
        "webhook-signature": "v1,x",
    }
