"""What a receiver that hangs does to one that answers: the time from queue to receipt, on the embedded AWS.

usage: python -m benchmarks.isolation [ROUNDS]        (5 by default, about 3 minutes)

In each round 200 deliveries to the receiver that answers are put in alone, then together with 200 to the one that
hangs. What that one still has to get is taken away then: it would hold up a worker in the next round.
"""

from __future__ import annotations

import statistics
import sys

from tests.stack.driving import DeployedStack
from tests.stack.hanging import DELIVERIES, Receivers, Sender

from benchmarks.embedded import embedded_stack
from benchmarks.report import Row, report


def main(rounds: int) -> None:
    """Measure and report."""
    alone_s, beside_s = [], []
    with embedded_stack() as stack, Receivers() as receivers:
        environment = stack.environment
        sender = Sender(DeployedStack(environment, environment.outputs()), receivers, "bench")
        for name in ("warm-1", "warm-2"):  # as many workers as there will be
            sender.p95_s(name, beside_one_that_hangs=True)
        for number in range(rounds):
            sender.clear()
            alone_s.append(sender.p95_s(f"alone-{number}", beside_one_that_hangs=False))
            beside_s.append(sender.p95_s(f"beside-{number}", beside_one_that_hangs=True))
    ratio = statistics.median(beside / alone for beside, alone in zip(beside_s, alone_s, strict=True))
    report(
        "isolation",
        f"{DELIVERIES} deliveries from queue to receipt, median of {rounds} rounds",
        [
            Row("alone, p95", statistics.median(alone_s), "s"),
            Row("beside a receiver that hangs, p95", statistics.median(beside_s), "s"),
            Row("beside / alone", ratio, "ratio", at_most=1.5),
        ],
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
