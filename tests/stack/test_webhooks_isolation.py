"""A receiver that hangs holds up no other, on the embedded stack; `benchmarks/isolation.py` measures how little."""

from __future__ import annotations

from tests.stack.driving import DeployedStack
from tests.stack.hanging import DELIVERIES, Receivers, Sender

from webhooks.attempt import ATTEMPT_S


def test_deliveries_beside_a_receiver_that_hangs_do_not_wait_for_it(
    stack: DeployedStack, unique: str
) -> None:
    with Receivers() as receivers:
        sender = Sender(stack, receivers, unique)
        sender.p95_s("warm", beside_one_that_hangs=False)
        assert sender.p95_s("beside", beside_one_that_hangs=True) < ATTEMPT_S
        assert 0 < receivers.hanging < DELIVERIES / 10
