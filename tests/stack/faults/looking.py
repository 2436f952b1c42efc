"""Looking at a deployed stack from outside: its tables, bucket, queues, bus and stream, with boto3 alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError
from tests.stack.driving import DeployedStack
from tests.stack.faults.books import DeadLetter, Emitted, End, Receipt, Record, Tried, Trouble
from tests.stack.faults.ledger import ENDED

from tunehook.aws.items import from_attributes
from tunehook.deliveries import Delivery
from tunehook.operational import subject_of
from tunehook.operations.queues import WORK_QUEUES, DeadLetters, depth
from tunehook.subscriptions import OPERATIONAL

Item = dict[str, Any]

_FUNCTIONS: Final = {"deliveries": "webhooks"}
"""Whose dead letters lie in a queue, where the queue has another name."""

_HIDDEN_S: Final = 1


def end_of(item: Item) -> End | None:
    """Return the end that an item shows; None if it shows none."""
    if item.get("status") not in ENDED:
        return None
    return End(item["task_id"], item["status"], str(item.get("event_id")), item.get("detected_at_ms", 0))


def record_of(item: Item, names: Mapping[str, str]) -> Record:
    """Return a delivery; `names` are the receivers' names by the ids of their subscriptions."""
    return Record(
        delivery_id=item["delivery_id"],
        task_id=item["task_id"],
        receiver=names.get(item["subscription_id"], item["subscription_id"]),
        status=item["status"],
        created_at_ms=item["created_at_ms"],
        attempts=tuple(
            Tried(
                each["at_ms"],
                each["duration_ms"],
                each.get("status_code"),
                each.get("error"),
                each["run"],
                each["attempt"],
            )
            for each in item.get("attempts", ())
        ),
        says_pending=Delivery.model_validate(item).says_pending,
        is_rest=item["type"] == "task.archived",
    )


def troubles_of(
    items: Iterable[Item], receipts: Iterable[Receipt], names: Mapping[str, str]
) -> tuple[Trouble, ...]:
    """Return the deliveries of operational events, and what became of each at its receiver."""
    by_delivery: dict[str, list[Receipt]] = {}
    for receipt in receipts:
        by_delivery.setdefault(receipt.delivery_id, []).append(receipt)
    return tuple(
        Trouble(
            delivery_id=item["delivery_id"],
            receiver=names.get(item["subscription_id"], item["subscription_id"]),
            type=item["type"],
            about=subject_of(json.loads(item["payload"])),
            is_accepted=any(each.is_accepted for each in by_delivery.get(item["delivery_id"], ())),
            fault=next((each.fault for each in by_delivery.get(item["delivery_id"], ()) if each.fault), ""),
        )
        for item in items
        if item["type"] in OPERATIONAL
    )


class Stream:
    """The writes to the Tasks table, read on from where they were read last; a stream that begins anew too."""

    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self._iterators: dict[str, str] = {}
        self.ends: set[End] = set()

    def look(self) -> None:
        """Note the ends that items have shown in their writes since the last time."""
        table = self._stack.client("dynamodb").describe_table(TableName=self._stack.outputs["TasksTable"])
        arn = table["Table"]["LatestStreamArn"]
        streams = self._stack.client("dynamodbstreams")
        for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
            name = shard["ShardId"]
            iterator: str | None = self._iterators.pop(name, None) or self._beginning(streams, arn, name)
            while iterator:
                try:
                    page = streams.get_records(ShardIterator=iterator)
                except ClientError:
                    # It was of the stream before this one.
                    iterator = self._beginning(streams, arn, name)
                    page = streams.get_records(ShardIterator=iterator)
                for record in page["Records"]:
                    end = end_of(from_attributes(record["dynamodb"].get("NewImage", {})))
                    if end is not None:
                        self.ends.add(end)
                iterator = page.get("NextShardIterator")
                if not page["Records"]:
                    break
            if iterator:
                self._iterators[name] = iterator

    def _beginning(self, streams: Any, arn: str, shard: str) -> str:
        answer = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
        return str(answer["ShardIterator"])


def emitted(events: list[dict[str, Any]]) -> tuple[Emitted, ...]:
    """Return the events about tasks among those that the bus has taken."""
    return tuple(
        Emitted(event["detail-type"], event["detail"]["event_id"], event["detail"]["task_id"])
        for event in events
        if event["detail-type"].startswith("Task")
    )


def objects(stack: DeployedStack) -> tuple[dict[str, str], dict[str, bytes]]:
    """Return the objects' digests by their keys, and the bytes of the manifests by theirs."""
    s3, bucket = stack.client("s3"), stack.outputs["ResultsBucket"]
    digests, manifests = {}, {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for entry in page.get("Contents", ()):
            key = entry["Key"]
            body = s3.get_object(Bucket=bucket, Key=key)["Body"]
            if key.endswith("/manifest.json"):
                manifests[key] = body.read()
                continue
            digest = hashlib.sha256()
            for chunk in body.iter_chunks(1 << 20):
                digest.update(chunk)
            digests[key] = digest.hexdigest()
    return digests, manifests


def is_empty(stack: DeployedStack) -> bool:
    """Return whether the two queues that work comes from hold nothing, neither for now nor for later."""
    sqs = stack.client("sqs")
    return all(depth(sqs, stack.outputs[output]).total == 0 for output in WORK_QUEUES.values())


@dataclass
class Letters:
    """The dead letters of a run, each once, whatever becomes of them."""

    stack: DeployedStack

    def __post_init__(self) -> None:
        self._seen: dict[str, DeadLetter] = {}

    @property
    def all(self) -> tuple[DeadLetter, ...]:
        """What has been seen so far."""
        return tuple(self._seen.values())

    def look(self) -> None:
        """Note what lies in the dead-letter queues; it comes into sight again a second later."""
        sqs = self.stack.client("sqs")
        for queue in DeadLetters:
            url = self.stack.outputs[queue.output]
            while messages := sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=10,
                VisibilityTimeout=_HIDDEN_S,
                MessageSystemAttributeNames=["SentTimestamp"],
            ).get("Messages"):
                new = [each for each in messages if each["MessageId"] not in self._seen]
                for message in new:
                    self._seen[message["MessageId"]] = DeadLetter(
                        function=_FUNCTIONS.get(queue.value, queue.value),
                        at_ms=int(message["Attributes"]["SentTimestamp"]),
                        text=message["Body"],
                    )
                if not new:
                    break


def parsed(manifests: Mapping[str, bytes]) -> dict[str, Mapping[str, Any]]:
    """Return manifests by the names of their tasks."""
    contents = [json.loads(body) for body in manifests.values()]
    return {f"{content['provider']}/{content['task_id']}": content for content in contents}
