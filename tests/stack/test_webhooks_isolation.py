"""A receiver that hangs delays no other, on the embedded stack; `benchmarks/isolation.py` prints how much."""

from __future__ import annotations

from tests.stack.driving import DeployedStack
from tests.stack.hanging import DELIVERIES, Receivers, Sender

ROUNDS = 3
"""One of them has to do: the machine may be busy with other things in the others."""


def test_the_p95_beside_a_receiver_that_hangs_is_at_most_one_and_a_half_times_that_alone(
    stack: DeployedStack, unique: str
) -> None:
    ratios: list[float] = []
    with Receivers() as receivers:
        sender = Sender(stack, receivers, unique)
        sender.p95_s("warm", beside_one_that_hangs=True)
        while len(ratios) < ROUNDS and (not ratios or ratios[-1] > 1.5):
            sender.clear()
            alone_s = sender.p95_s(f"alone-{len(ratios)}", beside_one_that_hangs=False)
            ratios.append(sender.p95_s(f"beside-{len(ratios)}", beside_one_that_hangs=True) / alone_s)
        sender.clear()
        assert ratios[-1] <= 1.5, ratios
        assert 0 < receivers.hanging < DELIVERIES / 10
