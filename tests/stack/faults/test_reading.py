"""What a receiver of a run verifies: each signature that it was promised, and no other."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from tests.stack.faults import world
from tests.stack.faults.reading import Keys, Reader

from tunehook.signatures import SignatureScheme, sign, signing_texts
from tunehook_local.sandbox import ReceivedRequest

MASTER, OTHER = "m" * 64, "o" * 64
BODY = json.dumps({"type": "task.completed", "data": {"task_id": "one"}}).encode()


def received(
    scheme: SignatureScheme,
    *,
    master: str = MASTER,
    version: int = 1,
    body: bytes = BODY,
    age_s: float = 0,
    order: int = 1,
) -> world.Receipt:
    """A request whose signatures are of the body that it should have."""
    came = datetime.now(UTC)
    timestamp = int((came - timedelta(seconds=age_s)).timestamp())
    texts = signing_texts(master, "sub", version, scheme)[::order]
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign("msg_1", timestamp, BODY, texts),
    }
    return world.Receipt(ReceivedRequest(came, "sub", "POST", "/receiver/sub", headers, body), 1)


def fault(promised: SignatureScheme, receipt: world.Receipt) -> str:
    (read,) = Reader({"sub": Keys.of(MASTER, "sub", promised)}, {"one"}).read([receipt])
    assert read.task_id == "one"
    return read.fault


@pytest.mark.parametrize("sent", SignatureScheme)
@pytest.mark.parametrize("promised", SignatureScheme)
def test_a_receiver_gets_the_signatures_that_it_was_promised(
    promised: SignatureScheme, sent: SignatureScheme
) -> None:
    assert (fault(promised, received(sent)) == "") is (promised is sent)


@pytest.mark.parametrize("scheme", SignatureScheme)
def test_what_is_forged_altered_or_old_is_noticed(scheme: SignatureScheme) -> None:
    altered = BODY.replace(b"completed", b"failed")
    for bad in (
        received(scheme, master=OTHER),
        received(scheme, version=2),
        received(scheme, body=altered),
        received(scheme, age_s=600),
    ):
        assert fault(scheme, bad)


def test_each_of_two_signatures_counts() -> None:
    good, forged = (received(SignatureScheme.BOTH, master=master).request for master in (MASTER, OTHER))
    of_hmac, of_ed25519 = good.headers["webhook-signature"].split(" ")
    bad_hmac, bad_ed25519 = forged.headers["webhook-signature"].split(" ")
    for signatures in (f"{bad_hmac} {of_ed25519}", f"{of_hmac} {bad_ed25519}"):
        headers = good.headers | {"webhook-signature": signatures}
        request = ReceivedRequest(good.received_at, "sub", "POST", good.path, headers, good.body)
        assert fault(SignatureScheme.BOTH, world.Receipt(request, 1))
    assert fault(SignatureScheme.BOTH, received(SignatureScheme.BOTH, order=-1))


def test_a_request_without_a_signature_is_noticed() -> None:
    request = ReceivedRequest(datetime.now(UTC), "sub", "POST", "/receiver/sub", {}, BODY)
    for scheme in SignatureScheme:
        assert fault(scheme, world.Receipt(request, 1))
