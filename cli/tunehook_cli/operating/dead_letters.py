"""Looking into the dead-letter queues, and having done what the messages in them stand for.

Two kinds lie there. Behind the fulfillment and the deliveries queue lies the very work: it goes back to the queue that
it came from. Behind the Tasks stream and the starts of the poller lie records of a failure, without what was to be
done: for the stream, what is still without a status in the table is taken in; for the poller, the next minute's start
does it. Nothing leaves a queue before what it stands for is done, so after a crash it may be done twice, which changes
nothing.

Messages are moved by receiving, sending and deleting them. StartMessageMoveTask would do that within SQS, but its
documentation says nothing of the message group, by which the deliveries queue is fair, and the embedded AWS lacks it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tunehook.aws.items import to_attributes
from tunehook.errors import Unavailable
from tunehook.tasks import TaskKey
from tunehook_cli.operating.letters import Letter, Message, letter
from tunehook_cli.operating.queues import WORK_QUEUES, DeadLetters
from tunehook_cli.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_BATCH: Final = 10
"""How many messages SQS gives and takes in one call."""

_HELD_S: Final = 600
"""How long what was taken stays invisible to others; whatever is held longer than that comes again by itself."""

_WAIT_S: Final = 1
"""To wait makes SQS ask all of its servers: otherwise an empty answer says nothing."""

_ITEMS_AT_ONCE: Final = 10
"""How many items intake is given in one call: of 400 kB each, as base64 at worst, they stay below Lambda's 6 MB."""


def letters(stack: Stack, queues: Sequence[DeadLetters], limit: int) -> list[list[Letter]]:
    """Return what lies in each queue, at most `limit` of it, the oldest first, and leave it there.

    For the moment of looking, others do not see these messages.
    """
    sqs = stack.client("sqs")
    with ThreadPoolExecutor(len(queues)) as threads:
        return list(threads.map(lambda each: _letters(sqs, stack.output(each.output), each, limit), queues))


def _letters(sqs: SQSClient, url: str, queue: DeadLetters, limit: int) -> list[Letter]:
    held: list[Message] = []
    try:
        for batch in _take(sqs, url, limit):
            held += batch
        return sorted((letter(queue, each) for each in held), key=lambda each: each.sent_at_ms)
    finally:
        _put_back(sqs, url, held)


def move_back(stack: Stack, queue: DeadLetters, limit: int) -> int:
    """Send what lies in a queue to the one that it came from, at most `limit` of it; return how much that was.

    Raises
    ------
    botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError
        If AWS refuses; what was not sent lies where it lay.
    """
    sqs, url = stack.client("sqs"), stack.output(queue.output)
    destination = stack.output(WORK_QUEUES[queue])
    moved = 0
    for batch in _take(sqs, url, limit):
        waiting = list(batch)
        try:
            while waiting:
                _send(sqs, destination, waiting[0])
                _remove(sqs, url, waiting[:1])
                del waiting[0]
                moved += 1
        finally:
            _put_back(sqs, url, waiting)
    return moved


def _send(sqs: SQSClient, url: str, message: Message) -> None:
    group = message["Attributes"].get("MessageGroupId")
    # One by one: ten events may together be longer than SQS takes in one call.
    sqs.send_message(
        QueueUrl=url, MessageBody=message["Body"], **({"MessageGroupId": group} if group else {})
    )


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What became of the items without a status: `taken_in` have one now, `left` do not; `removed` failure records."""

    taken_in: int
    left: tuple[TaskKey, ...]
    removed: int


def take_in(stack: Stack, limit: int) -> TakenIn:
    """Have intake take in every item of the Tasks table that has no status, whatever hindered it when it was put.

    The failure records are removed once there is no such item any more. This reads the whole table.

    Raises
    ------
    Unavailable
        If intake fails as a whole.
    """
    sqs, url = stack.client("sqs"), stack.output(DeadLetters.INTAKE.output)
    # First, so that no record of a failure after the look at the table is removed.
    held = [message for batch in _take(sqs, url, limit) for message in batch]
    try:
        found = _without_status(stack)
        for start in range(0, len(found), _ITEMS_AT_ONCE):
            _invoke_intake(stack, found[start : start + _ITEMS_AT_ONCE])
        left = tuple(key for key in found if _is_new(stack.tasks.get(key)))
        removed = 0 if left else len(held)
        if not left:
            _remove(sqs, url, held)
            held = []
    finally:
        _put_back(sqs, url, held)
    return TakenIn(len(found) - len(left), left, removed)


def _without_status(stack: Stack) -> list[TaskKey]:
    return [
        TaskKey(item["task_id"], item["provider"])
        for item in stack.tasks.scan(("task_id", "provider", "status"))
        if _is_new(item)
    ]


def _is_new(item: dict[str, Any] | None) -> bool:
    return item is not None and "status" not in item


def _invoke_intake(stack: Stack, keys: Sequence[TaskKey]) -> None:
    """Give intake records as the stream gives them, of the items as they are now."""
    records = [
        {
            "eventID": str(number),
            "eventName": "MODIFY",
            "eventSource": "aws:dynamodb",
            "dynamodb": {
                "Keys": _key(key),
                "NewImage": item,
                "SequenceNumber": str(number),
                "StreamViewType": "NEW_IMAGE",
            },
        }
        for number, key in enumerate(keys)
        if (item := _attributes(stack, key)) is not None
    ]
    # As long as the function may take; a second try by itself would only take the items in twice.
    lambdas = stack.client("lambda", read_timeout=60, retries={"total_max_attempts": 1})
    answer = lambdas.invoke(
        FunctionName=stack.output("IntakeFunction"),
        Payload=json.dumps({"Records": records}, default=_base64).encode(),
    )
    if "FunctionError" in answer:
        said = json.loads(answer["Payload"].read())
        raise Unavailable(f"intake fails: {said.get('errorType')}: {said.get('errorMessage')}")


def _attributes(stack: Stack, key: TaskKey) -> dict[str, Any] | None:
    """Return an item as it is stored: intake holds fast to its numbers, to the last digit."""
    dynamodb = stack.client("dynamodb")
    answer = dynamodb.get_item(TableName=stack.output("TasksTable"), Key=_key(key), ConsistentRead=True)
    item: dict[str, Any] | None = answer.get("Item")
    return item


def _key(key: TaskKey) -> dict[str, Any]:
    return to_attributes({"task_id": key.task_id, "provider": key.provider})


def _base64(value: bytes) -> str:
    """Return the bytes of an attribute as Lambda writes them into a stream's record."""
    return base64.b64encode(value).decode("ascii")


def clear(stack: Stack, queue: DeadLetters, limit: int) -> int:
    """Remove what lies in a queue, at most `limit` of it; return how much that was."""
    sqs, url = stack.client("sqs"), stack.output(queue.output)
    removed = 0
    for batch in _take(sqs, url, limit):
        _remove(sqs, url, batch)
        removed += len(batch)
    return removed


def _take(sqs: SQSClient, url: str, limit: int) -> Iterator[list[Message]]:
    """Yield what lies in a queue, batch by batch, until it is empty or `limit` messages were taken."""
    left = limit
    while left > 0:
        messages: list[Message] = sqs.receive_message(  # type: ignore[assignment]
            QueueUrl=url,
            MaxNumberOfMessages=min(left, _BATCH),
            VisibilityTimeout=_HELD_S,
            WaitTimeSeconds=_WAIT_S,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        if not messages:
            return
        yield messages
        left -= len(messages)


def _put_back(sqs: SQSClient, url: str, messages: Sequence[Message]) -> None:
    for batch in _batches(messages):
        entries: Any = [
            {"Id": str(number), "ReceiptHandle": each["ReceiptHandle"], "VisibilityTimeout": 0}
            for number, each in enumerate(batch)
        ]
        # One that is refused comes back by itself.
        sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)


def _remove(sqs: SQSClient, url: str, messages: Sequence[Message]) -> None:
    for batch in _batches(messages):
        entries: Any = [
            {"Id": str(number), "ReceiptHandle": each["ReceiptHandle"]} for number, each in enumerate(batch)
        ]
        if refused := sqs.delete_message_batch(QueueUrl=url, Entries=entries).get("Failed"):
            raise Unavailable(
                f"SQS does not remove {len(refused)} messages ({refused[0]['Code']}): they come again"
            )


def _batches(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    return (messages[start : start + _BATCH] for start in range(0, len(messages), _BATCH))
