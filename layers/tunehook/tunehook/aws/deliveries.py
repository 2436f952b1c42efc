"""The Deliveries table and the queue that says which attempt is due.

The record is written before the next message is sent, and each write holds only for the very attempt that it
is made for. So a message that comes twice finds in the record what has been done already.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from tunehook.aws.faults import is_condition_failure
from tunehook.aws.items import from_attributes, to_attributes
from tunehook.deliveries import Attempt, Delivery, DeliveryMessage, DeliveryStatus
from tunehook.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

CLAIM_MS: Final = 25_000
"""How long a claim lasts: longer than an attempt and its record, shorter than a dead worker's message is hidden."""

BY_TASK_INDEX: Final = "by_task"
BY_SUBSCRIPTION_INDEX: Final = "by_subscription"

MAX_DELAY_S: Final = 900
"""The longest delay of a message that SQS knows."""

BATCH_MAX: Final = 10
"""How many messages SQS takes in one call."""

_ROUNDS: Final = 3


class Claim(Enum):
    """What became of a claim.

    ``TAKEN``: the attempt is ours to make. ``BUSY``: another worker is making it. ``RECORDED``: it has been
    made, and the delivery is still pending. ``OVER``: the delivery has ended, began a new run, or is gone.
    """

    TAKEN = auto()
    BUSY = auto()
    RECORDED = auto()
    OVER = auto()


class DeliveriesTable:
    """The Deliveries table.

    Parameters
    ----------
    client : DynamoDBClient
        A low-level boto3 client.
    name : str
        The table's name.
    """

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self._client = client
        self._name = name

    def create(self, delivery: Delivery) -> bool:
        """Put a new delivery; return False, and change nothing, if it is there already."""
        try:
            self._client.put_item(
                TableName=self._name,
                Item=to_attributes(delivery.model_dump(mode="json", exclude_none=True)),
                ConditionExpression="attribute_not_exists(delivery_id)",
            )
        except ClientError as error:
            if is_condition_failure(error):
                return False
            raise
        return True

    def get(self, delivery_id: str) -> Delivery | None:
        """Return a delivery with its attempts, as of all writes so far, or None."""
        answer = self._client.get_item(
            TableName=self._name, Key=to_attributes({"delivery_id": delivery_id}), ConsistentRead=True
        )
        return Delivery.model_validate(from_attributes(answer["Item"])) if "Item" in answer else None

    def ids_of_task(self, task_id: str, since_ms: int = 0) -> list[str]:
        """Return the deliveries that tell of a task, of any provider, created at or after `since_ms`, newest first.

        One that was created within the last second may be missing.
        """
        return self._ids(BY_TASK_INDEX, "task_id", task_id, since_ms)

    def ids_of_subscription(self, subscription_id: str, limit: int) -> list[str]:
        """Return the latest deliveries to a subscription, at most `limit`, newest first.

        One that was created within the last second may be missing.
        """
        return self._ids(BY_SUBSCRIPTION_INDEX, "subscription_id", subscription_id, 0, limit)

    def _ids(self, index: str, key: str, value: str, since_ms: int, limit: int | None = None) -> list[str]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._name,
            IndexName=index,
            KeyConditionExpression="#key = :value AND created_at_ms >= :since_ms",
            ExpressionAttributeNames={"#key": key},
            ExpressionAttributeValues=to_attributes({":value": value, ":since_ms": since_ms}),
            ProjectionExpression="delivery_id",
            ScanIndexForward=False,
            PaginationConfig={} if limit is None else {"MaxItems": limit},
        )
        return [from_attributes(attributes)["delivery_id"] for page in pages for attributes in page["Items"]]

    def ids_to(self, subscription_id: str, since_ms: int) -> list[str]:
        """Return the deliveries to a subscription that were created at or after `since_ms`, newest first.

        One that was created within the last second may be missing.
        """
        return self._ids(BY_SUBSCRIPTION_INDEX, "subscription_id", subscription_id, since_ms)

    def delivered_since(self, subscription_id: str, since_ms: int) -> bool:
        """Return whether a delivery that was created at or after `since_ms` has been delivered to a subscription.

        One that was delivered within the last second may be missed.
        """
        pages = self._client.get_paginator("query").paginate(
            TableName=self._name,
            IndexName=BY_SUBSCRIPTION_INDEX,
            KeyConditionExpression="subscription_id = :id AND created_at_ms >= :since_ms",
            FilterExpression="#status = :delivered",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues=to_attributes(
                {":id": subscription_id, ":since_ms": since_ms, ":delivered": DeliveryStatus.DELIVERED.value}
            ),
            Select="COUNT",
        )
        return any(page["Count"] for page in pages)

    def claim(self, message: DeliveryMessage, now_ms: int) -> tuple[Claim, Delivery | None]:
        """Take the attempt that a message asks for, and read its delivery, in one call.

        Parameters
        ----------
        message : DeliveryMessage
            The message.
        now_ms : int
            The present moment.

        Returns
        -------
        claim : Claim
            What became of it.
        delivery : Delivery or None
            The record; None if there is none.
        """
        try:
            answer = self._update(
                message,
                update="SET claimed_until_ms = :until_ms",
                condition=f"{_THIS_ATTEMPT} AND ({_UNCLAIMED})",
                values={":until_ms": now_ms + CLAIM_MS, ":now_ms": now_ms},
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if not is_condition_failure(error):
                raise
            return _refused(message, error.response.get("Item"))
        return Claim.TAKEN, Delivery.model_validate(from_attributes(answer["Attributes"]))

    def record(
        self,
        message: DeliveryMessage,
        *,
        status: DeliveryStatus,
        attempt: Attempt | None = None,
        next_attempt_at_ms: int | None = None,
        reason: str | None = None,
    ) -> bool:
        """Write what an attempt came to, and let go of the claim.

        Parameters
        ----------
        message : DeliveryMessage
            The message that asked for the attempt.
        status : DeliveryStatus
            Where the delivery stands now.
        attempt : Attempt, optional
            The attempt; none was made where the receiver turned out to be disabled.
        next_attempt_at_ms : int, optional
            When the next attempt is due, if the delivery is still pending.
        reason : str, optional
            Why it has ended without being delivered.

        Returns
        -------
        bool
            False if another worker has recorded this attempt.
        """
        made = [attempt.model_dump(mode="json", exclude_none=True)] if attempt else []
        values: dict[str, Any] = {":new_status": status.value, ":made": made, ":none": []}
        assignments = [
            "#status = :new_status",
            "attempts = list_append(if_not_exists(attempts, :none), :made)",
        ]
        removals = ["claimed_until_ms"]
        if next_attempt_at_ms is None:
            removals.append("next_attempt_at_ms")
        else:
            assignments += ["next_attempt_at_ms = :next_at_ms", "next_attempt = :next_attempt"]
            values |= {":next_at_ms": next_attempt_at_ms, ":next_attempt": message.attempt + 1}
        if reason is not None:
            assignments.append("reason = :reason")
            values[":reason"] = reason
        try:
            self._update(
                message,
                update=f"SET {', '.join(assignments)} REMOVE {', '.join(removals)}",
                condition=_THIS_ATTEMPT,
                values=values,
            )
        except ClientError as error:
            if is_condition_failure(error):
                return False
            raise
        return True

    def _update(
        self, message: DeliveryMessage, *, update: str, condition: str, values: dict[str, Any], **options: Any
    ) -> dict[str, Any]:
        this_attempt = {
            ":pending": DeliveryStatus.PENDING.value,
            ":run": message.run,
            ":attempt": message.attempt,
        }
        return dict(
            self._client.update_item(
                TableName=self._name,
                Key=to_attributes({"delivery_id": message.delivery_id}),
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeNames={"#status": "status", "#run": "run"},
                ExpressionAttributeValues=to_attributes(values | this_attempt),
                **options,
            )
        )


class DeliveriesQueue:
    """The deliveries queue: SQS standard, with fair queues by subscription.

    Parameters
    ----------
    client : SQSClient
        A low-level boto3 client.
    url : str
        The queue's URL.
    """

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, message: DeliveryMessage, now_ms: int) -> None:
        """Send a message that comes when it is due, or after 15 minutes if that is later."""
        self._client.send_message(QueueUrl=self._url, **_entry(message, now_ms))

    def send_batch(self, messages: Sequence[DeliveryMessage], now_ms: int) -> None:
        """Send up to `BATCH_MAX` messages in one call, each as `send` does; those that SQS refuses are sent again.

        Raises
        ------
        Unavailable
            If SQS refuses some of them each time.
        """
        waiting = {str(number): _entry(message, now_ms) for number, message in enumerate(messages)}
        for _ in range(_ROUNDS):
            entries: Any = [{"Id": number, **entry} for number, entry in waiting.items()]
            answer = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
            waiting = {refused["Id"]: waiting[refused["Id"]] for refused in answer.get("Failed", ())}
            if not waiting:
                return
        raise Unavailable(f"the deliveries queue did not take {len(waiting)} messages")


def _entry(message: DeliveryMessage, now_ms: int) -> dict[str, Any]:
    delay_s = -(-(message.due_at_ms - now_ms) // 1000)
    return {
        "MessageBody": message.model_dump_json(),
        "DelaySeconds": min(max(delay_s, 0), MAX_DELAY_S),
        # A subscription's id is the user's own text, and SQS does not take every character.
        "MessageGroupId": sha256(message.subscription_id.encode()).hexdigest(),
    }


_THIS_ATTEMPT: Final = "#status = :pending AND #run = :run AND next_attempt = :attempt"
_UNCLAIMED: Final = "attribute_not_exists(claimed_until_ms) OR claimed_until_ms <= :now_ms"


def _refused(message: DeliveryMessage, item: Any) -> tuple[Claim, Delivery | None]:
    if item is None:
        return Claim.OVER, None
    delivery = Delivery.model_validate(from_attributes(item))
    if delivery.status is not DeliveryStatus.PENDING or delivery.run != message.run:
        return Claim.OVER, delivery
    if delivery.next_attempt != message.attempt:
        return Claim.RECORDED if delivery.next_attempt > message.attempt else Claim.OVER, delivery
    return Claim.BUSY, delivery
