"""What the queue costs a webhook's first attempt: from its record to its arrival, by SQS and by an invocation.

usage: python -m benchmarks.hop [ATTEMPTS]        (100 by default, about a minute)

On the embedded AWS, with a worker of the webhooks function that is warm, one attempt at a time, the three ways in turn.
Each begins where fulfillment has made the record: with its message (as it is), with an asynchronous invocation of the
function with that message, and with a synchronous one. The baseline is the attempt alone, from its claim on: no way is
faster, an attempt by fulfillment itself included.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final

from benchmarks.embedded import EmbeddedStack, embedded_stack
from benchmarks.report import Row, report
from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable
from tunehook.deliveries import DeliveryMessage, message_for, new_delivery
from tunehook.tasks import Format
from tunehook.times import now_ms

ATTEMPTS: Final = 100
WARM_UP: Final = 10
APART_S: Final = 0.1
PATIENCE_S: Final = 60.0
RECEIVER: Final = "bench"
WAYS: Final = ("the queue", "an asynchronous invocation", "a synchronous invocation")


def main(count: int) -> None:
    """Measure `count` attempts each way and report."""
    hops_s: dict[str, list[float]] = defaultdict(list)
    alone_s: list[float] = []
    with embedded_stack() as stack:
        stack.subscribe(RECEIVER)
        senders = _senders(stack)
        deliveries = DeliveriesTable(stack.environment.client("dynamodb"), stack.outputs["DeliveriesTable"])
        for number in range(WARM_UP + count):
            for way in WAYS:
                delivery_id, took_s = _attempt(stack, deliveries, senders[way], f"{way} {number}")
                if number < WARM_UP:
                    continue
                hops_s[way].append(took_s)
                begun_ms = deliveries.begun_at(delivery_id)
                arrived_s = _arrived_s(stack, delivery_id)
                if begun_ms is not None and arrived_s is not None:
                    alone_s.append(arrived_s - begun_ms / 1000)
    rows = [Row(f"record to arrival by {way}, p50", statistics.median(hops_s[way]), "s") for way in WAYS]
    rows += [Row(f"record to arrival by {way}, p95", _p95(hops_s[way]), "s") for way in WAYS]
    report(
        "hop",
        f"{count} first attempts each way, one at a time, on the embedded AWS",
        [*rows, Row("baseline, the attempt alone, p50", statistics.median(alone_s), "s")],
    )


def _senders(stack: EmbeddedStack) -> Mapping[str, Callable[[DeliveryMessage], Any]]:
    queue = DeliveriesQueue(stack.environment.client("sqs"), stack.outputs["DeliveriesQueue"])
    lambdas = stack.environment.client("lambda")

    def invoke(kind: str, message: DeliveryMessage) -> Any:
        record = {
            "messageId": message.delivery_id,
            "receiptHandle": "none",
            "body": message.model_dump_json(),
            "attributes": {"ApproximateReceiveCount": "1"},
            "eventSource": "aws:sqs",
        }
        payload = json.dumps({"Records": [record]}).encode()
        return lambdas.invoke(
            FunctionName=stack.outputs["WebhooksFunction"], InvocationType=kind, Payload=payload
        )

    return {
        "the queue": lambda message: queue.send_batch([message], now_ms()),
        "an asynchronous invocation": lambda message: invoke("Event", message),
        "a synchronous invocation": lambda message: invoke("RequestResponse", message),
    }


def _attempt(
    stack: EmbeddedStack, deliveries: DeliveriesTable, send: Callable[[DeliveryMessage], Any], name: str
) -> tuple[str, float]:
    """Make a record and have its first attempt made; return its id, and how long it took to arrive, in seconds."""
    present_ms = now_ms()
    delivery = new_delivery(
        event_id=name,
        subscription_id=RECEIVER,
        task_id=name,
        provider="suno",
        type="task.completed",
        event_at_ms=present_ms,
        format=Format.STANDARD,
        payload=json.dumps({"task_id": name, "clips": []}),
        now_ms=present_ms,
    )
    deliveries.create(delivery)
    began_s = time.time()
    send(message_for(delivery))
    deadline = time.monotonic() + PATIENCE_S
    while (arrived_s := _arrived_s(stack, delivery.delivery_id)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no webhook of {name}")
        time.sleep(0.01)
    time.sleep(APART_S)
    return delivery.delivery_id, arrived_s - began_s


def _arrived_s(stack: EmbeddedStack, delivery_id: str) -> float | None:
    return next(
        (
            request.received_at.timestamp()
            for request in stack.sandbox.received(RECEIVER)
            if request.headers.get("webhook-id") == delivery_id
        ),
        None,
    )


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[94]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ATTEMPTS)
