"""The other services of AWS, in memory: S3, SQS, EventBridge, Secrets Manager, and Lambda's asynchronous invocations.

Each stands where a boto3 client does, and tells a `Cost` of each call.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from botocore.exceptions import ClientError

from benchmarks.aws_ledger import chunks

BODIES_KEPT: Final = 2_000
"""Of how many objects the bytes are kept: whoever reads one does so soon after it was written."""


class Cost(Protocol):
    """Is told of each call."""

    def __call__(self, operation: str, more_s: float = 0.0) -> None:
        """Take note of a call of ``<service> <operation>`` that takes `more_s` more than usual."""
        ...


@dataclass(slots=True)
class Queue:
    """An SQS queue and Lambda's mapping of it: `on_message` is called whenever a message can be received.

    Attributes
    ----------
    sent : int
        How many messages were sent to it.
    """

    call_later: Callable[[float, Callable[[], None]], None]
    on_message: Callable[[], None] = lambda: None
    waiting: deque[QueuedMessage] = field(default_factory=deque)
    held: dict[str, QueuedMessage] = field(default_factory=dict)
    sent: int = 0
    received_again: int = 0

    def send(self, body: str, delay_s: float = 0.0) -> None:
        self.sent += 1
        self.put(QueuedMessage(body, f"receipt-{next(_RECEIPTS)}"), delay_s)

    def put(self, message: QueuedMessage, delay_s: float) -> None:
        def come() -> None:
            self.waiting.append(message)
            self.on_message()

        if delay_s > 0:
            self.call_later(delay_s, come)
        else:
            come()

    def receive(self, number: int, now_ms: int) -> list[QueuedMessage]:
        taken = [self.waiting.popleft() for _ in range(min(number, len(self.waiting)))]
        for message in taken:
            message.receive_count += 1
            message.first_received_ms = message.first_received_ms or now_ms
            self.held[message.receipt] = message
        return taken


@dataclass(slots=True)
class QueuedMessage:
    """A message, and in how many seconds it is received again if it is not deleted."""

    body: str
    receipt: str
    receive_count: int = 0
    first_received_ms: int = 0
    again_s: float | None = None

    def record(self) -> dict[str, Any]:
        """Return the record of Lambda's event."""
        attributes = {
            "ApproximateReceiveCount": str(self.receive_count),
            "ApproximateFirstReceiveTimestamp": str(self.first_received_ms),
        }
        return {
            "messageId": self.receipt,
            "receiptHandle": self.receipt,
            "body": self.body,
            "attributes": attributes,
        }


_RECEIPTS = itertools.count()


@dataclass(frozen=True, slots=True)
class Sqs:
    """The queues by their URLs."""

    queues: Mapping[str, Queue]
    cost: Cost

    def send_message(
        self,
        *,
        QueueUrl: str,  # noqa: N803
        MessageBody: str,  # noqa: N803
        DelaySeconds: int = 0,  # noqa: N803
        **_: Any,
    ) -> dict[str, Any]:
        self.cost("sqs SendMessage")
        self.queues[QueueUrl].send(MessageBody, DelaySeconds)
        return {}

    def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self.cost("sqs SendMessageBatch")
        for entry in Entries:
            self.queues[QueueUrl].send(entry["MessageBody"], entry.get("DelaySeconds", 0))
        return {}

    def get_queue_attributes(self, *, QueueUrl: str, AttributeNames: Sequence[str]) -> dict[str, Any]:  # noqa: N803
        self.cost("sqs GetQueueAttributes")
        queue = self.queues[QueueUrl]
        numbers = {
            "ApproximateNumberOfMessages": len(queue.waiting),
            "ApproximateNumberOfMessagesNotVisible": len(queue.held),
        }
        return {"Attributes": {name: str(numbers[name]) for name in AttributeNames}}

    def change_message_visibility_batch(
        self,
        *,
        QueueUrl: str,  # noqa: N803
        Entries: Sequence[Mapping[str, Any]],  # noqa: N803
    ) -> dict[str, Any]:
        self.cost("sqs ChangeMessageVisibilityBatch")
        for entry in Entries:
            if (message := self.queues[QueueUrl].held.get(entry["ReceiptHandle"])) is not None:
                message.again_s = float(entry["VisibilityTimeout"])
        return {}


@dataclass(slots=True)
class Bus:
    """The event bus, and the rule that has ended tasks sent to fulfillment's queue, `LAG_S` later."""

    queue: Queue
    cost: Cost
    lag_s: float
    chunks: Counter[str] = field(default_factory=Counter)

    def put_events(self, *, Entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self.cost("events PutEvents")
        for entry in Entries:
            self.chunks[entry["DetailType"]] += chunks(entry["Detail"])
            if entry["DetailType"] in ("TaskCompleted", "TaskFailed"):
                kind, source = json.dumps(entry["DetailType"]), json.dumps(entry["Source"])
                body = f'{{"detail-type": {kind}, "source": {source}, "detail": {entry["Detail"]}}}'
                self.queue.sent += 1
                self.queue.put(QueuedMessage(body, f"receipt-{next(_RECEIPTS)}"), self.lag_s)
        return {"Entries": [{} for _ in Entries], "FailedEntryCount": 0}


@dataclass(slots=True)
class S3:
    """The results bucket: of most objects only what HeadObject says."""

    cost: Cost
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    _bodies: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    _by_prefix: dict[str, list[str]] = field(default_factory=dict)

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, **headers: Any) -> dict[str, Any]:  # noqa: ARG002, N803
        self.cost("s3 PutObject")
        found = self.objects.get(Key)
        if ("IfNoneMatch" in headers and found is not None) or (
            "IfMatch" in headers and (found is None or found["ETag"] != headers["IfMatch"])
        ):
            raise _s3_error("PreconditionFailed", "PutObject")
        etag = f'"{hashlib.md5(Body, usedforsecurity=False).hexdigest()}"'
        if found is None:
            self._by_prefix.setdefault(_folder(Key), []).append(Key)
        self.objects[Key] = {
            "ETag": etag,
            "ContentLength": len(Body),
            "ContentType": headers.get("ContentType", ""),
            "Metadata": headers.get("Metadata", {}),
            "LastModified": datetime.fromtimestamp(0, UTC),
        }
        self._bodies[Key] = bytes(Body)
        if len(self._bodies) > BODIES_KEPT:
            self._bodies.popitem(last=False)
        return {"ETag": etag}

    def get_object(self, *, Bucket: str, Key: str, **_: Any) -> dict[str, Any]:  # noqa: ARG002, N803
        self.cost("s3 GetObject")
        if Key not in self._bodies:
            raise _s3_error("NoSuchKey", "GetObject")
        return {**self.objects[Key], "Body": _Body(self._bodies[Key])}

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: ARG002, N803
        self.cost("s3 HeadObject")
        if Key not in self.objects:
            raise _s3_error("404", "HeadObject")
        return self.objects[Key]

    def get_paginator(self, _: str) -> S3:
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: ARG002, N803
        self.cost("s3 ListObjectsV2")
        yield {
            "Contents": [{"Key": key} for key in self._by_prefix.get(Prefix, ()) if key.startswith(Prefix)]
        }

    def generate_presigned_url(self, _: str, *, Params: Mapping[str, str], ExpiresIn: int) -> str:  # noqa: N803
        return f"https://{Params['Bucket']}.s3.example.com/{Params['Key']}?X-Amz-Expires={ExpiresIn}"


@dataclass(frozen=True, slots=True)
class _Body:
    content: bytes

    def read(self, *_: int) -> bytes:
        return self.content


def _folder(key: str) -> str:
    """Return the folder of a task: ``results/<provider>/<task>/``."""
    return "/".join(key.split("/")[:3]) + "/"


def _s3_error(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, operation)


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets by their names."""

    texts: Mapping[str, str]
    cost: Cost

    def get_secret_value(self, *, SecretId: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        self.cost("secretsmanager GetSecretValue")
        return {"SecretString": self.texts[SecretId], "VersionId": "1"}


@dataclass(frozen=True, slots=True)
class Lambdas:
    """Begins asynchronous invocations of the poller."""

    start: Callable[[dict[str, Any]], None]
    cost: Cost

    def invoke(self, *, FunctionName: str, InvocationType: str, Payload: bytes) -> dict[str, Any]:  # noqa: ARG002, N803
        self.cost("lambda Invoke")
        # An empty batch only warms up a function; here it starts with its first message.
        if "Records" not in (event := json.loads(Payload)):
            self.start(event)
        return {"StatusCode": 202}
