"""The Deliveries table and the queue that says which attempt is due.

The record is written before the next message is sent, and each write holds only for the very attempt that it
is made for. So a message that comes twice finds in the record what has been done already.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from boto3.dynamodb.conditions import Attr, Key

from tunehook.aws.resend import resend
from tunehook.aws.table import Appended, Table, WriteTokens
from tunehook.deliveries import KEPT_S, Attempt, Delivery, DeliveryMessage, DeliveryStatus
from tunehook.errors import Unavailable

if TYPE_CHECKING:
    from boto3.dynamodb.conditions import ConditionBase
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

CLAIM_MS: Final = 25_000
"""How long a claim lasts: longer than an attempt and its record, shorter than a dead worker's message is hidden."""

BY_TASK_INDEX: Final = "by_task"
BY_SUBSCRIPTION_INDEX: Final = "by_subscription"

MAX_DELAY_S: Final = 900
"""The longest delay of a message that SQS knows."""

LOOKED_AT: Final = 1_000
"""How many deliveries at each end of a time are looked at for one that went through: some 60 read units."""

BATCH_MAX: Final = 10
"""How many messages SQS takes in one call."""


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
        self._table = Table(client, name)
        self._claims = WriteTokens()

    def create(self, delivery: Delivery) -> bool:
        """Put a new delivery; return False, and change nothing, if it is there already."""
        item = delivery.model_dump(mode="json", exclude_none=True)
        return self._table.create(_key(delivery.delivery_id), item).done

    def get(self, delivery_id: str) -> Delivery | None:
        """Return a delivery with its attempts (strongly consistent), or None."""
        item = self._table.get(_key(delivery_id))
        return None if item is None else Delivery.model_validate(item)

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
        found = self._table.query(
            Key(key).eq(value) & Key("created_at_ms").gte(since_ms),
            index=index,
            attributes=["delivery_id"],
            newest_first=True,
            paging={} if limit is None else {"MaxItems": limit},
        )
        return [item["delivery_id"] for item in found]

    def ids_to(self, subscription_id: str, since_ms: int) -> list[str]:
        """Return the deliveries to a subscription that were created at or after `since_ms`, newest first.

        One that was created within the last second may be missing.
        """
        return self._ids(BY_SUBSCRIPTION_INDEX, "subscription_id", subscription_id, since_ms)

    def delivered_since(self, subscription_id: str, since_ms: int) -> bool:
        """Return whether a delivery that was created at or after `since_ms` has been delivered to a subscription.

        The `LOOKED_AT` first and the `LOOKED_AT` last are looked at, however many there are between: the first tell of
        workers that did not know yet that the subscription fails, the last of how it does now. One that was delivered
        within the last second may be missed.
        """
        return any(
            item.get("status") == DeliveryStatus.DELIVERED.value
            for newest_first in (False, True)
            for item in self._table.query(
                Key("subscription_id").eq(subscription_id) & Key("created_at_ms").gte(since_ms),
                index=BY_SUBSCRIPTION_INDEX,
                attributes=["status"],
                newest_first=newest_first,
                paging={"MaxItems": LOOKED_AT, "PageSize": LOOKED_AT},
            )
        )

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
        is_unclaimed = Attr("claimed_until_ms").not_exists() | Attr("claimed_until_ms").lte(now_ms)
        with self._claims.of(message.delivery_id) as token:
            write = self._table.update(
                _key(message.delivery_id),
                set={"claimed_until_ms": now_ms + CLAIM_MS, "claimed_by": token},
                condition=_is_due(message) & (is_unclaimed | Attr("claimed_by").eq(token)),
                read=True,
            )
        delivery = None if write.item is None else Delivery.model_validate(write.item)
        return (Claim.TAKEN if write.done else _refused(message, delivery)), delivery

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
        made = attempt and attempt.model_dump(mode="json", exclude_none=True)
        state: dict[str, Any] = {"status": status.value}
        remove = ["claimed_until_ms", "claimed_by"]
        if reason is not None:
            state["reason"] = reason
        if next_attempt_at_ms is None:
            remove.append("next_attempt_at_ms")
        else:
            state |= {"next_attempt_at_ms": next_attempt_at_ms, "next_attempt": message.attempt + 1}

        def is_recorded(item: dict[str, Any]) -> bool:
            if made and made not in item.get("attempts", ()):
                return False
            # Without an attempt it ends in the same way, whoever says so.
            return item.get("run") == message.run and state.items() <= item.items()

        write = self._table.update(
            _key(message.delivery_id),
            set=state | ({"attempts": Appended([made])} if made else {}),
            remove=remove,
            condition=_is_due(message),
            mine=is_recorded,
        )
        return write.done

    def begin_run(self, delivery: Delivery, attempts: Sequence[Attempt], now_ms: int) -> Delivery | None:
        """Begin a new run of a delivery that has ended.

        Parameters
        ----------
        delivery : Delivery
            As it was read.
        attempts : sequence of Attempt
            What is kept of those that were made.
        now_ms : int
            The present moment, at which the first attempt is due.

        Returns
        -------
        Delivery or None
            As it is now; None if somebody else has begun a run of it since it was read.
        """
        begun = {
            "status": DeliveryStatus.PENDING.value,
            "run": delivery.run + 1,
            "next_attempt": 1,
            "next_attempt_at_ms": now_ms,
        }
        write = self._table.update(
            _key(delivery.delivery_id),
            set=begun
            | {
                "expires_at": max(delivery.expires_at, now_ms // 1000 + KEPT_S),
                "attempts": [each.model_dump(mode="json", exclude_none=True) for each in attempts],
            },
            remove=["reason", "claimed_until_ms", "claimed_by"],
            condition=Attr("status").eq(delivery.status.value) & Attr("run").eq(delivery.run),
            mine=lambda item: begun.items() <= item.items(),
            only_in_doubt=True,
            read=True,
        )
        return Delivery.model_validate(write.item) if write.done else None


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
        entries: list[Any] = [
            {"Id": str(number)} | _entry(message, now_ms) for number, message in enumerate(messages)
        ]

        def send(waiting: list[Any]) -> list[Any]:
            answer = self._client.send_message_batch(QueueUrl=self._url, Entries=waiting)
            refused = {each["Id"] for each in answer.get("Failed", ())}
            return [entry for entry in waiting if entry["Id"] in refused]

        if left := resend(send, entries):
            raise Unavailable(f"the deliveries queue did not take {len(left)} messages")


def _entry(message: DeliveryMessage, now_ms: int) -> dict[str, Any]:
    delay_s = -(-(message.due_at_ms - now_ms) // 1000)
    return {
        "MessageBody": message.model_dump_json(),
        "DelaySeconds": min(max(delay_s, 0), MAX_DELAY_S),
        # A subscription's id is the user's own text, and SQS does not take every character.
        "MessageGroupId": sha256(message.subscription_id.encode()).hexdigest(),
    }


def _is_due(message: DeliveryMessage) -> ConditionBase:
    """Return the condition that the attempt which a message asks for has not been recorded."""
    return (
        Attr("status").eq(DeliveryStatus.PENDING.value)
        & Attr("run").eq(message.run)
        & Attr("next_attempt").eq(message.attempt)
    )


def _refused(message: DeliveryMessage, delivery: Delivery | None) -> Claim:
    if delivery is None or delivery.status is not DeliveryStatus.PENDING or delivery.run != message.run:
        return Claim.OVER
    if delivery.next_attempt != message.attempt:
        return Claim.RECORDED if delivery.next_attempt > message.attempt else Claim.OVER
    return Claim.BUSY


def _key(delivery_id: str) -> dict[str, Any]:
    return {"delivery_id": delivery_id}
