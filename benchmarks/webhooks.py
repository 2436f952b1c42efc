"""How many webhooks a second one worker process delivers, beside a bare client that posts the same bytes.

A delivery is: message in, claimed, signed, POSTed, recorded. The receiver is nginx, DynamoDB the embedded AWS, each
a process of its own. Every round delivers in each way in turn; rates are the medians of the rounds, ratios the medians
of each round's own ratio. Processor time is that of this process alone, all of its threads counted.

The embedded AWS answers one call after the other, each after milliseconds: this process sleeps and wakes for each
answer. So deliveries are made once more with a DynamoDB that answers at once and always the same, which is a process of
its own too.

By the clock a worker cannot come to the bare client's rate: a batch ends with its last answer, where the bare client
always has `BATCH` requests under way, and a delivery is a message read, a body made and signed, and a result told
besides.

Run it with ``python -m benchmarks.webhooks``; it takes about a minute and needs nginx.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import boto3

from benchmarks.dynamodb import delivery, quick_aws
from benchmarks.gateway import gateway
from benchmarks.nginx import NginxMissingError
from benchmarks.report import Row, report
from tunehook.aws.clients import client
from tunehook.aws.deliveries import Claim, DeliveriesTable
from tunehook.aws.items import to_attributes
from tunehook.deliveries import Delivery, DeliveryMessage, message_for, new_delivery
from tunehook.http.guard import NetworkPolicy
from tunehook.tasks import Format
from tunehook.times import now_ms
from tunehook.webhook_body import render
from tunehook_local.embedded import ministack
from tunehook_local.embedded.state import Home
from webhooks.delivery import Deliverer, Outcome, Step
from webhooks.settings import WebhooksSettings
from webhooks.worker import Worker

DELIVERIES: Final = 3_000
DELIVERIES_WITH_DYNAMODB: Final = 500
"""Fewer where DynamoDB is called, which is slow: it is the rate that is compared."""

BATCH: Final = 10
"""Messages in one invocation of the function (template.yaml), and requests of the bare client at once."""

ROUNDS: Final = 5
SUBSCRIPTION: Final = "sub_benchmark"
_REGION: Final = "us-east-1"
_TABLES: Final = {
    "deliveries": "delivery_id",
    "subscriptions": "subscription_id",
    "versions": "subscription_id",
    "gates": "receiver",
}
_PAYLOAD: Final = json.dumps(
    {
        "event_id": "evt_0123456789abcdef0123456789abcdef",
        "task_id": "0b2a4cb5-8087-40c4-9cdb-b2e77915b7df",
        "provider": "my-gateway",
        "status": "completed",
        "submitted_at": "2026-11-20T16:00:00.000Z",
        "finished_at": "2026-11-20T16:01:57.123Z",
        "metadata": {"order": "17"},
        "clips": [
            {
                "clip_id": f"clip-{number}",
                "title": "我的曲目",
                "tags": ["pop"],
                "prompt": "la " * 200,
                "assets": [],
            }
            for number in range(2)
        ],
        "truncated": False,
    }
)


class NoDynamoDB:
    """Knows one subscription, and nothing of a receiver: what is asked about receivers costs nothing here."""

    def __init__(self, url: str) -> None:
        self._subscription = to_attributes({"subscription_id": SUBSCRIPTION, "url": url})

    def get_item(self, *, TableName: str, **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's name
        """Read the subscription, whose secret was never rotated."""
        return {"Item": self._subscription} if TableName == "subscriptions" else {}

    def update_item(self, **_: Any) -> dict[str, Any]:
        """Ask for the receiver's gate."""
        return {"Attributes": {}}


def without_records(deliveries: Sequence[Delivery]) -> type[Deliverer]:
    """Return a deliverer that claims and records these deliveries at once, without a table."""
    by_id = {each.delivery_id: each for each in deliveries}

    class NoRecords(Deliverer):
        """Claims and records at once."""

        async def claim(self, message: DeliveryMessage) -> tuple[Claim, Delivery | None]:
            """Take an attempt."""
            return Claim.TAKEN, by_id[message.delivery_id]

        async def record(self, *_: Any, **__: Any) -> None:
            """Forget an attempt."""

    return NoRecords


def deliveries_for(number: int, round_name: str) -> list[Delivery]:
    """Return deliveries whose first attempt is due."""
    return [
        new_delivery(
            event_id=f"{round_name}-{index}",
            subscription_id=SUBSCRIPTION,
            task_id="task",
            provider="my-gateway",
            type="task.completed",
            event_at_ms=now_ms(),
            format=Format.STANDARD,
            payload=_PAYLOAD,
            now_ms=now_ms(),
        )
        for index in range(number)
    ]


class Took(NamedTuple):
    """What it took to deliver, in seconds: by the clock, and of this process's processor time (all of its threads)."""

    real: float
    processor: float


class Stopwatch:
    """Measures from when it is made."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def took(self) -> Took:
        """Return what was taken until now."""
        real, processor = self._began
        return Took(time.perf_counter() - real, time.process_time() - processor)


def deliver(worker: Worker, deliveries: Sequence[Delivery]) -> Took:
    """Handle the deliveries' messages, batch by batch, and return what it took."""
    records = [
        {"body": message_for(each).model_dump_json(), "receiptHandle": each.delivery_id}
        for each in deliveries
    ]
    stopwatch = Stopwatch()
    outcomes = [
        outcome
        for start in range(0, len(records), BATCH)
        for outcome in worker.handle(records[start : start + BATCH], lambda: 60_000)
    ]
    took = stopwatch.took()
    for outcome in outcomes:
        if (
            not isinstance(outcome, Outcome)
            or outcome.step is not Step.ATTEMPTED
            or outcome.status != "delivered"
        ):
            raise RuntimeError(f"a delivery came to {outcome}")
    return took


def post_bare(url: str, body: bytes, number: int) -> Took:
    """Post the same bytes with aiohttp alone, `BATCH` at once, and return what it took."""
    headers = {
        "content-type": "application/json; charset=utf-8",
        "webhook-id": "msg_0123456789abcdef0123456789abcdef",
        "webhook-timestamp": "1800000000",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    waiting = iter(range(number))

    async def work(session: aiohttp.ClientSession) -> None:
        for _ in waiting:
            async with session.post(url, data=body, headers=headers) as response:
                await response.read()
                response.raise_for_status()

    async def all_of_it() -> None:
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(work(session) for _ in range(BATCH)))

    stopwatch = Stopwatch()
    asyncio.run(all_of_it())
    return stopwatch.took()


@contextmanager
def embedded_aws() -> Iterator[WebhooksSettings]:
    """Run an empty embedded AWS with the function's tables, secret and queue, and lead boto3 there."""
    with tempfile.TemporaryDirectory(prefix="tunehook-bench-") as folder:
        home = Home(Path(folder))
        environment = ministack.start(home, ministack.free_port())
        os.environ |= {
            "AWS_ENDPOINT_URL": environment.endpoint,
            "AWS_DEFAULT_REGION": _REGION,
            "AWS_ACCESS_KEY_ID": environment.access_key_id,
            "AWS_SECRET_ACCESS_KEY": environment.secret_access_key,
        }
        try:
            for name, key in _TABLES.items():
                client("dynamodb").create_table(
                    TableName=name,
                    KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
                    AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
                    BillingMode="PAY_PER_REQUEST",
                )
            secret = client("secretsmanager").create_secret(Name="master", SecretString="m" * 64)["ARN"]
            queue = client("sqs").create_queue(QueueName="deliveries")["QueueUrl"]
            dead_letters = client("sqs").create_queue(QueueName="dead-letters")["QueueUrl"]
            yield WebhooksSettings(
                tasks_table="tasks",
                deliveries_table="deliveries",
                deliveries_queue=queue,
                dead_letters=dead_letters,
                subscriptions_table="subscriptions",
                secret_versions_table="versions",
                gates_table="gates",
                event_bus="default",
                results_bucket="results",
                master_secret=secret,
                network_policy=NetworkPolicy.ANY,
            )
        finally:
            ministack.stop(home, environment)


@contextmanager
def working(worker: Worker) -> Iterator[Worker]:
    """Close the worker at the end."""
    try:
        yield worker
    finally:
        worker.close()


def measure(settings: WebhooksSettings, url: str) -> list[Row]:
    """Deliver in each way, round by round."""
    dynamodb: Any = client("dynamodb")
    table = DeliveriesTable(dynamodb, "deliveries")
    dynamodb.put_item(
        TableName="subscriptions", Item=to_attributes({"subscription_id": SUBSCRIPTION, "url": url})
    )
    body = render(deliveries_for(1, "body")[0], str, now_ms()).content
    whole, by_boto3, at_once, without, bare = _Taken(), _Taken(), _Taken(), _Taken(), _Taken()
    calls: Counter[str] = Counter()
    heavy: Any = client("dynamodb", session=boto3.Session())
    with (
        quick_aws(url) as quick_url,
        working(Worker(settings, dynamodb)) as worker,
        working(Worker(settings, heavy)) as heavy_worker,
        working(Worker(settings, client("dynamodb", endpoint_url=quick_url))) as quick_worker,
    ):
        for number in range(ROUNDS):
            stored = deliveries_for(DELIVERIES_WITH_DYNAMODB, f"stored-{number}")
            for each in stored:
                table.create(each)
            with counting(dynamodb, calls):
                whole.add(len(stored), deliver(worker, stored))
            stored = deliveries_for(DELIVERIES_WITH_DYNAMODB, f"heavy-{number}")
            for each in stored:
                table.create(each)
            by_boto3.add(len(stored), deliver(heavy_worker, stored))
            same = [delivery()] * DELIVERIES_WITH_DYNAMODB
            at_once.add(len(same), deliver(quick_worker, same))
            given = deliveries_for(DELIVERIES, f"given-{number}")
            stand_in: Any = NoDynamoDB(url)
            with working(Worker(settings, stand_in, without_records(given))) as unburdened:
                without.add(len(given), deliver(unburdened, given))
            bare.add(len(given), post_bare(url, body, len(given)))
    delivered = ROUNDS * DELIVERIES_WITH_DYNAMODB
    of_deliveries = calls["UpdateItem:deliveries"]
    return [
        Row("tunehook", statistics.median(whole.rates), "deliveries/s"),
        Row("tunehook, its DynamoDB calls taken out", statistics.median(without.rates), "deliveries/s"),
        Row("bare aiohttp, the same bytes", statistics.median(bare.rates), "deliveries/s"),
        Row(
            "tunehook without DynamoDB / bare aiohttp",
            _ratio(without.rates, bare.rates),
            "ratio",
            at_least=0.7,
        ),
        Row("processor time of a delivery: tunehook", statistics.median(whole.each_ms), "ms", at_most=1.4),
        Row("processor time of a delivery: with boto3's client", statistics.median(by_boto3.each_ms), "ms"),
        Row(
            "processor time of a delivery: DynamoDB answers at once",
            statistics.median(at_once.each_ms),
            "ms",
            at_most=1.4,
        ),
        Row("processor time of a delivery: without DynamoDB", statistics.median(without.each_ms), "ms"),
        Row("processor time of a delivery: bare aiohttp", statistics.median(bare.each_ms), "ms"),
        Row("DynamoDB calls of a delivery", of_deliveries / delivered, "calls", at_most=2),
        Row(
            "DynamoDB calls beside, about the receiver, in all rounds",
            sum(calls.values()) - of_deliveries,
            "calls",
        ),
    ]


class _Taken:
    """What the rounds of one way took: deliveries a second, and milliseconds of processor time of one."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.each_ms: list[float] = []

    def add(self, number: int, took: Took) -> None:
        """Note a round of so many deliveries."""
        self.rates.append(number / took.real)
        self.each_ms.append(took.processor / number * 1000)


@contextmanager
def counting(dynamodb: Any, calls: Counter[str]) -> Iterator[None]:
    """Count the calls that a client makes, by operation and table."""

    def count(request: Any, event_name: str, **_: Any) -> None:
        calls[f"{event_name.rpartition('.')[2]}:{json.loads(request.body)['TableName']}"] += 1

    dynamodb.meta.events.register("before-send.dynamodb", count, unique_id="counting")
    try:
        yield
    finally:
        dynamodb.meta.events.unregister("before-send.dynamodb", unique_id="counting")


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(our / their for our, their in zip(ours, theirs, strict=True))


def main() -> None:
    """Report how fast a worker delivers."""
    try:
        with gateway(1) as base_url, embedded_aws() as settings:
            rows = measure(settings, f"{base_url}/api/v1/task/hook")
    except NginxMissingError as error:
        sys.exit(str(error))
    title = f"one worker process, batches of {BATCH}, nginx and the embedded AWS on loopback, median of {ROUNDS} rounds"
    report("webhooks", title, rows)


if __name__ == "__main__":
    main()
