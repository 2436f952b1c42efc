"""List the messages of the dead-letter queues, and redo what they stand for.

Behind the fulfillment and the deliveries queue they are the work itself, which goes back to its queue. Behind the Tasks
stream and the starts of the poller they are records of a failure: every item without a status is given to intake; what
the poller has not done, its next start does. A message is removed only after that; doing it twice changes nothing.

Messages are received, sent and deleted. The documentation of StartMessageMoveTask says nothing of the message group, by
which the deliveries queue is fair, and the embedded AWS lacks it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tunehook.aws.items import to_attributes
from tunehook.errors import NotFound, Unavailable
from tunehook.operations.dead_letter_messages import DeadLetterMessage, Message, read_message
from tunehook.operations.queues import WORK_QUEUES, DeadLetters
from tunehook.operations.stack import Stack
from tunehook.operations.text import visible
from tunehook.tasks import TaskKey

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_BATCH: Final = 10
"""How many messages SQS gives and takes in one call."""

_VISIBILITY_S: Final = 600
"""For so long a received message stays invisible to others; one that is kept longer comes back by itself."""

_WAIT_S: Final = 1
"""Long polling makes SQS ask all of its servers: otherwise an empty answer says nothing."""

_ITEMS_A_CALL: Final = 10
"""How many items intake is given in one call: of 400 kB each, as base64 at worst, they stay below Lambda's 6 MB."""

DROPPED_AMONG: Final = 1_000
"""How many messages are looked through for the one that is to be dropped."""

INTAKE_TIMEOUT_S: Final = 60
"""Longer than the function may take."""


@dataclass(frozen=True, slots=True)
class IntakeRun:
    """What became of the items without a status: `taken_in` have one now, `left` do not; `removed` failure records."""

    taken_in: int
    left: tuple[TaskKey, ...]
    removed: int


def list_messages(stack: Stack, queues: Sequence[DeadLetters], limit: int) -> list[list[DeadLetterMessage]]:
    """Return the messages of each queue, at most `limit`, the oldest first; meanwhile others do not see them.

    >>> list_messages(stack, [DeadLetters.POLLER], 10)
    [[]]
    """
    sqs = stack.client("sqs")

    def read(queue: DeadLetters) -> list[DeadLetterMessage]:
        url = stack.output(queue.output)
        received: list[Message] = []
        try:
            for batch in _receive(sqs, url, limit):
                received += batch
            return sorted((read_message(queue, each) for each in received), key=lambda each: each.sent_at_ms)
        finally:
            _put_back(sqs, url, received)

    with ThreadPoolExecutor(len(queues)) as threads:
        return list(threads.map(read, queues))


def move_back(stack: Stack, queue: DeadLetters, limit: int) -> int:
    """Send the messages of a queue, at most `limit`, to the one that they came from; return how many that were.

    Raises `BotoCoreError` or `ClientError` if AWS refuses; what was not sent stays where it is.

    >>> move_back(stack, DeadLetters.FULFILLMENT, 10)
    0
    """
    sqs, url = stack.client("sqs"), stack.output(queue.output)
    destination = stack.output(WORK_QUEUES[queue])
    moved = 0
    for batch in _receive(sqs, url, limit):
        waiting = list(batch)
        try:
            while waiting:
                group = waiting[0]["Attributes"].get("MessageGroupId")
                grouped: Any = {"MessageGroupId": group} if group else {}
                # One by one: ten events may together be longer than SQS takes in one call.
                sqs.send_message(QueueUrl=destination, MessageBody=waiting[0]["Body"], **grouped)
                _remove(sqs, url, waiting[:1])
                del waiting[0]
                moved += 1
        finally:
            _put_back(sqs, url, waiting)
    return moved


def purge(stack: Stack, queue: DeadLetters, limit: int) -> int:
    """Remove the messages of a queue, at most `limit`; return how many that were.

    >>> purge(stack, DeadLetters.POLLER, 10)
    0
    """
    sqs, url = stack.client("sqs"), stack.output(queue.output)
    removed = 0
    for batch in _receive(sqs, url, limit):
        _remove(sqs, url, batch)
        removed += len(batch)
    return removed


def drop(stack: Stack, queue: DeadLetters, message_id: str) -> None:
    """Remove one message of a queue for good.

    Raises `NotFound` if the first `DROPPED_AMONG` messages have none of this id.

    >>> drop(stack, DeadLetters.POLLER, "m")
    Traceback (most recent call last):
    tunehook.errors.NotFound: message_id: there is no message m in the dead letters of poller
    """
    sqs, url = stack.client("sqs"), stack.output(queue.output)
    kept: list[Message] = []
    try:
        for batch in _receive(sqs, url, DROPPED_AMONG):
            kept += [each for each in batch if each["MessageId"] != message_id]
            if found := [each for each in batch if each["MessageId"] == message_id]:
                _remove(sqs, url, found)
                return
    finally:
        _put_back(sqs, url, kept)
    raise NotFound(
        "message_id", f"there is no message {visible(message_id)} in the dead letters of {queue.value}"
    )


def run_intake(stack: Stack, limit: int) -> IntakeRun:
    """Have intake take in every item of the Tasks table that has no status, whatever hindered it when it was put.

    The failure records are removed once there is no such item any more. This reads the whole table.

    Raises `Unavailable` if intake fails as a whole.

    >>> run_intake(stack, 10)
    IntakeRun(taken_in=0, left=(), removed=0)
    """
    sqs, url = stack.client("sqs"), stack.output(DeadLetters.INTAKE.output)
    # First, so that no record of a failure after the scan is removed.
    received = [message for batch in _receive(sqs, url, limit) for message in batch]
    try:
        found = [
            TaskKey(item["task_id"], item["provider"])
            for item in stack.tasks.scan(("task_id", "provider", "status"))
            if _is_new(item)
        ]
        for start in range(0, len(found), _ITEMS_A_CALL):
            _invoke_intake(stack, found[start : start + _ITEMS_A_CALL])
        left = tuple(key for key in found if _is_new(stack.tasks.get(key)))
        removed = 0 if left else len(received)
        if not left:
            _remove(sqs, url, received)
            received = []
    finally:
        _put_back(sqs, url, received)
    return IntakeRun(len(found) - len(left), left, removed)


def _is_new(item: dict[str, Any] | None) -> bool:
    return item is not None and "status" not in item


def _invoke_intake(stack: Stack, keys: Sequence[TaskKey]) -> None:
    """Invoke intake with records as the stream has them, of the items as they are now."""
    dynamodb, table = stack.client("dynamodb"), stack.output("TasksTable")
    records = []
    for number, key in enumerate(keys):
        names = to_attributes({"task_id": key.task_id, "provider": key.provider})
        # As it is stored: intake keeps its numbers to the last digit.
        answer = dynamodb.get_item(TableName=table, Key=names, ConsistentRead=True)
        if item := answer.get("Item"):
            image = {"Keys": names, "NewImage": item, "SequenceNumber": str(number)}
            change = {"eventName": "MODIFY", "dynamodb": image | {"StreamViewType": "NEW_IMAGE"}}
            records.append({"eventID": str(number), "eventSource": "aws:dynamodb", **change})
    # A second try by itself would only take the items in twice.
    lambdas = stack.client("lambda", read_timeout=INTAKE_TIMEOUT_S, retries={"total_max_attempts": 1})
    # Lambda writes the bytes of an attribute as base64.
    payload = json.dumps({"Records": records}, default=lambda value: base64.b64encode(value).decode())
    answer = lambdas.invoke(FunctionName=stack.output("IntakeFunction"), Payload=payload.encode())
    if "FunctionError" in answer:
        said = json.loads(answer["Payload"].read())
        raise Unavailable(f"intake fails: {said.get('errorType')}: {said.get('errorMessage')}")


def _receive(sqs: SQSClient, url: str, limit: int) -> Iterator[list[Message]]:
    """Yield batches of messages until the queue is empty or `limit` were received."""
    left = limit
    while left > 0:
        messages: list[Message] = sqs.receive_message(  # type: ignore[assignment]
            QueueUrl=url,
            MaxNumberOfMessages=min(left, _BATCH),
            VisibilityTimeout=_VISIBILITY_S,
            WaitTimeSeconds=_WAIT_S,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        if not messages:
            return
        yield messages
        left -= len(messages)


def _put_back(sqs: SQSClient, url: str, messages: Sequence[Message]) -> None:
    for entries in _batches(messages, VisibilityTimeout=0):
        # One that is refused comes back by itself.
        sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)


def _remove(sqs: SQSClient, url: str, messages: Sequence[Message]) -> None:
    for entries in _batches(messages):
        if refused := sqs.delete_message_batch(QueueUrl=url, Entries=entries).get("Failed"):
            code = refused[0]["Code"]
            raise Unavailable(
                f"SQS does not remove {len(refused)} messages ({code}): they will be received again"
            )


def _batches(messages: Sequence[Message], **fields: Any) -> Iterator[Any]:
    """Yield the entries of calls that take ten messages each."""
    entries = [
        {"Id": str(number), "ReceiptHandle": each["ReceiptHandle"], **fields}
        for number, each in enumerate(messages)
    ]
    return (entries[start : start + _BATCH] for start in range(0, len(entries), _BATCH))
