"""The stack's queues, and how many messages are in them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class DeadLetters(StrEnum):
    """The dead-letter queues, by whose failures are in them."""

    FULFILLMENT = "fulfillment"
    DELIVERIES = "deliveries"
    INTAKE = "intake"
    POLLER = "poller"

    @property
    def output(self) -> str:
        return f"{self.capitalize()}DeadLetters"


WORK_QUEUES: Final = {"fulfillment": "FulfillmentQueue", "deliveries": "DeliveriesQueue"}
"""The queues that work comes from, and the stack's outputs that are their URLs."""


@dataclass(frozen=True, slots=True)
class Depth:
    """About how many messages a queue has: to be received now, received and invisible, and delayed."""

    waiting: int
    taken: int
    later: int

    @property
    def total(self) -> int:
        return self.waiting + self.taken + self.later


def depth(sqs: SQSClient, url: str) -> Depth:
    """Return about how many messages a queue has.

    >>> depth(stack.client("sqs"), stack.output("DeliveriesQueue"))
    Depth(waiting=0, taken=0, later=0)
    """
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return Depth(
        waiting=int(counts["ApproximateNumberOfMessages"]),
        taken=int(counts["ApproximateNumberOfMessagesNotVisible"]),
        later=int(counts["ApproximateNumberOfMessagesDelayed"]),
    )
