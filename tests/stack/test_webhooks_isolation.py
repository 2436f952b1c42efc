"""A receiver that hangs holds up no other, on the embedded stack; `benchmarks/isolation.py` prints by how much."""

from __future__ import annotations

from tests.stack.driving import DeployedStack
from tests.stack.hanging import DELIVERIES, Receivers, Sender


def test_who_answers_has_all_its_deliveries_while_few_workers_wait_for_who_hangs(
    stack: DeployedStack, unique: str
) -> None:
    with Receivers() as receivers:
        sender = Sender(stack, receivers, unique)
        sender.p95_s("beside", beside_one_that_hangs=True)
        hanging = receivers.most_hanging
        sender.clear()
    assert 0 < hanging < DELIVERIES / 10
