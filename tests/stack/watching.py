"""Looking on at a deployed stack: what is on its bus, what became of its items, which poller watches."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import boto3
from tests.stack.driving import DeployedStack, eventually
from tests.stack.faults.kills import CAN_KILL, is_busy, worker_pids

from tunehook.aws.clients import client
from tunehook.aws.items import from_attributes, to_attributes
from tunehook.aws.leases import RENEW_EVERY_MS
from tunehook.aws.tasks import WORK_INDEX
from tunehook.times import now_ms
from tunehook_local.embedded.state import Home


class BusWatch:
    """A rule of its own on the stack's bus, and a queue behind it."""

    def __init__(self, stack: DeployedStack) -> None:
        self._bus = stack.outputs["EventBusName"]
        self._name = f"watch-{uuid.uuid4().hex[:8]}"
        self._events = stack.client("events")
        self._sqs = stack.client("sqs")
        self._seen: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self._queue = self._sqs.create_queue(QueueName=self._name)["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])
        self._events.put_rule(
            Name=self._name, EventBusName=self._bus, EventPattern=json.dumps({"source": ["tunehook"]})
        )
        self._events.put_targets(
            Rule=self._name,
            EventBusName=self._bus,
            Targets=[{"Id": "queue", "Arn": attributes["Attributes"]["QueueArn"]}],
        )
        return self

    def __exit__(self, *_error: object) -> None:
        self._events.remove_targets(Rule=self._name, EventBusName=self._bus, Ids=["queue"])
        self._events.delete_rule(Name=self._name, EventBusName=self._bus)
        self._sqs.delete_queue(QueueUrl=self._queue)

    def seen(self) -> list[dict[str, Any]]:
        """Return the events that the bus has taken so far, in the order of their coming."""
        while messages := self._sqs.receive_message(
            QueueUrl=self._queue, MaxNumberOfMessages=10, WaitTimeSeconds=0
        ).get("Messages"):
            for message in messages:
                self._seen.append(json.loads(message["Body"]))
                self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return list(self._seen)

    def about(self, task_id: str, detail_type: str) -> list[dict[str, Any]]:
        """Return those of a type about a task."""
        return [
            event
            for event in self.seen()
            if event["detail-type"] == detail_type and event["detail"]["task_id"] == task_id
        ]


class QuietShard:
    """The stack's one shard while no poller of the stack watches it, except when told to.

    The schedule is switched off, and the lease is held, so that intake starts none either.
    """

    def __init__(self, stack: DeployedStack, home: Home) -> None:
        self._stack = stack
        self._home = home
        self._schedules = stack.client("scheduler")
        environment = stack.environment
        session = boto3.Session(
            environment.access_key_id, environment.secret_access_key, region_name=environment.region
        )
        # A pass may last as long as the function's timeout, and is not to be started twice.
        self._lambdas = client(
            "lambda",
            session=session,
            endpoint_url=environment.endpoint,
            read_timeout=150,
            retries={"total_max_attempts": 1},
        )

    def __enter__(self) -> Self:
        self._switch_schedule("DISABLED")
        self.hold()
        # A poller that runs finds out when it renews its lease, and goes.
        time.sleep(RENEW_EVERY_MS / 1000 + 2)
        if CAN_KILL:
            pollers = partial(worker_pids, self._home, self._stack.outputs["PollerFunction"])
            eventually(lambda: not any(map(is_busy, pollers())))
        return self

    def __exit__(self, *_error: object) -> None:
        self._lease(0)
        self._switch_schedule("ENABLED")

    def hold(self) -> None:
        """Hold the lease, whoever holds it."""
        self._lease(now_ms() + 600_000)

    @contextmanager
    def next_pass(self) -> Iterator[None]:
        """Have the stack's own poller run, started as the schedule starts it; at the end it is to stop."""
        with ThreadPoolExecutor(1) as thread:
            invocation = thread.submit(
                self._lambdas.invoke,
                FunctionName=self._stack.outputs["PollerFunction"],
                Payload=json.dumps({"started_by": "schedule"}).encode(),
            )
            try:
                yield
            finally:
                self.hold()
        answer = invocation.result()
        assert "FunctionError" not in answer, answer["Payload"].read()

    def _lease(self, until_ms: int) -> None:
        self._stack.client("dynamodb").update_item(
            TableName=self._stack.outputs["PollerLeasesTable"],
            Key=to_attributes({"shard": 0}),
            UpdateExpression="SET #owner = :owner, #until_ms = :until_ms",
            ExpressionAttributeNames={"#owner": "owner", "#until_ms": "until_ms"},
            ExpressionAttributeValues=to_attributes({":owner": "the tests", ":until_ms": until_ms}),
        )

    def _switch_schedule(self, state: str) -> None:
        name = f"{self._stack.environment.stack_name}-every-minute"
        schedule = self._schedules.get_schedule(Name=name)
        kept = ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target", "Description")
        self._schedules.update_schedule(**{key: schedule[key] for key in kept}, State=state)


def in_work_index(stack: DeployedStack, task_id: str) -> bool:
    """Return whether the work index shows a task."""
    pages = (
        stack.client("dynamodb")
        .get_paginator("scan")
        .paginate(
            TableName=stack.outputs["TasksTable"],
            IndexName=WORK_INDEX,
            FilterExpression="task_id = :task_id",
            ExpressionAttributeValues=to_attributes({":task_id": task_id}),
        )
    )
    return any(page["Items"] for page in pages)


def lives(stack: DeployedStack, task_id: str) -> list[dict[str, Any]]:
    """Return what a task's item has been after each of its writes, oldest first, as the table's stream tells."""
    table = stack.client("dynamodb").describe_table(TableName=stack.outputs["TasksTable"])["Table"]
    streams = stack.client("dynamodbstreams")
    arn = table["LatestStreamArn"]
    images: list[dict[str, Any]] = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while (page := streams.get_records(ShardIterator=iterator))["Records"]:
            images += [
                from_attributes(record["dynamodb"].get("NewImage", {}))
                for record in page["Records"]
                if record["dynamodb"]["Keys"]["task_id"] == {"S": task_id}
            ]
            iterator = page["NextShardIterator"]
    return images


@dataclass(frozen=True)
class LogsFrom:
    """Where the logs of an embedded AWS are read from."""

    byte: int = 0
    at_ms: int = 0

    @classmethod
    def now(cls, home: Home) -> LogsFrom:
        """Return what leaves out all that is there."""
        return cls(home.log.stat().st_size, now_ms())


def logged(stack: DeployedStack, home: Home, start: LogsFrom | None = None) -> Iterator[str]:
    """Yield all that the embedded AWS and the functions in it have logged, each text as it is."""
    start = start or LogsFrom()
    yield home.log.read_bytes()[start.byte :].decode("utf-8", "replace")
    logs = stack.client("logs")
    for groups in logs.get_paginator("describe_log_groups").paginate():
        for group in groups["logGroups"]:
            pages = logs.get_paginator("filter_log_events").paginate(
                logGroupName=group["logGroupName"], startTime=start.at_ms
            )
            for page in pages:
                yield from (event["message"] for event in page["events"])
