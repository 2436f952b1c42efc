"""What a subscription's limit holds while a backlog of webhooks waits for it: the rate, the worst window, the messages.

usage: python -m benchmarks.rate_limit [--webhooks N]        (3,000 by default, about a minute)

Ten workers of the deliveries queue with the function's real code over moto, in virtual time; calls to AWS take up to
20 ms. All webhooks are there at the start, to one subscription.
"""

from __future__ import annotations

import argparse
import os
from typing import Final

from moto import mock_aws
from tests.support.aws import client
from tests.support.fleet import Fleet, excess
from tests.support.virtual import Clock, Seeded

from benchmarks.report import Row, report

PER_SECOND: Final = 10
WORKERS: Final = 10
WEBHOOKS: Final = 3_000
_BEGINS_MS: Final = 1_800_000_000_000
_CALL_S: Final = 0.01


def measure(webhooks: int) -> list[Row]:
    """Send so many webhooks to a limited subscription, and return the figures."""
    with mock_aws():
        clock = Clock(_BEGINS_MS, Seeded(1, _CALL_S))
        fleet = Fleet(client("dynamodb"), clock, workers=WORKERS)
        fleet.subscribe(max_per_second=PER_SECOND)
        made = [fleet.add(number) for number in range(webhooks)]
        clock.run(fleet.work())
        delivered = sum(fleet.item(each)["status"] == "delivered" for each in made)
    begun_ms = fleet.begun_at_ms()
    # The first goes at once, so there is one interval less than there are webhooks.
    rate = (len(begun_ms) - 1) * 1000 / (begun_ms[-1] - begun_ms[0])
    messages = [len(fleet.messages[each.delivery_id]) for each in made]
    return [
        Row("webhooks", webhooks, "webhooks"),
        Row("delivered", delivered, "webhooks", at_least=webhooks, at_most=webhooks),
        Row("attempts begun", len(begun_ms), "attempts", at_most=webhooks),
        Row("faults of workers", len(fleet.faults), "faults", at_most=0),
        Row("limit", PER_SECOND, "attempts/s"),
        Row("rate held", rate, "attempts/s", at_least=0.95 * PER_SECOND, at_most=PER_SECOND * 1.01),
        Row("worst window: attempts above its bound", excess(begun_ms, PER_SECOND), "attempts", at_most=0),
        Row("messages a delivery, mean", sum(messages) / webhooks, "messages"),
        Row("messages a delivery, most", max(messages), "messages"),
    ]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rate_limit", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--webhooks", type=int, default=WEBHOOKS, help="how many wait at the start")
    webhooks = parser.parse_args().webhooks
    os.environ.update(AWS_DEFAULT_REGION="eu-west-1", AWS_ACCESS_KEY_ID="none", AWS_SECRET_ACCESS_KEY="none")
    title = f"{webhooks:,} webhooks at once to a subscription of {PER_SECOND} a second, {WORKERS} workers, virtual time"
    report("rate_limit", title, measure(webhooks))


if __name__ == "__main__":
    main()
