"""The Deliveries table and the queue that says which attempt is due.

The record is written before the next message is sent, and each write is conditional on the attempt that it is made for.
So a message that comes twice finds in the record what was done already. A redelivery is a new run of the whole schedule
with the same ``webhook-id`` (docs/webhook-contract.md, "Bookkeeping").
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from hashlib import sha256
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from boto3.dynamodb.conditions import Attr, Key
from pydantic import Field

from tunehook.aws.messages import LightSQS
from tunehook.aws.pages import ALWAYS, DAY_MS, Period, Position, in_order, periods
from tunehook.aws.resend import resend_in_loop
from tunehook.aws.table import (
    KEYS_A_CALL,
    Appended,
    BuiltCondition,
    Parameter,
    PreparedCondition,
    TableGateway,
    Write,
    WriteTokens,
)
from tunehook.deliveries import (
    KEPT_S,
    Attempt,
    Delivery,
    DeliveryMessage,
    DeliveryStatus,
    is_progress,
    message_for,
)
from tunehook.errors import Unavailable

if TYPE_CHECKING:
    from boto3.dynamodb.conditions import ConditionBase
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

CLAIM_MS: Final = 25_000
"""How long a claim lasts: longer than an attempt and its record, shorter than the visibility timeout of its message."""

BY_TASK_INDEX: Final = "by_task"
BY_SUBSCRIPTION_INDEX: Final = "by_subscription"
BY_DAY_INDEX: Final = "by_day"
_INDEXES: Final = {"task_id": BY_TASK_INDEX, "subscription_id": BY_SUBSCRIPTION_INDEX}

MAX_DELAY_S: Final = 900
"""The longest delay of a message in SQS."""

LOOKED_AT: Final = 1_000
"""How many deliveries at each end of a period are searched for one that was delivered: some 60 read units."""

BATCH_MAX: Final = 10
"""How many messages SQS takes in one call."""

SLOT_LATE_MS: Final = 250
"""How long after the begin of its slot at most a message is to come; so up to 750 ms before it at the earliest."""

OVERDUE_MS: Final = 60_000
"""How late an attempt must be until its message counts as lost: longer than a worker holds a claim."""

EXCERPTS_KEPT: Final = 10
"""For how many attempts before a new run the answers are kept: with a long payload, more would pass 400 kB."""

_CLAIMED: Final = ("claimed_until_ms", "claimed_by")

_CONTENT: Final = "content"
"""The attribute of an item of a payload that has it, compressed by zlib."""

_PAYLOAD_MAX_BYTES: Final = 1_000_000
"""More than a payload has."""

_KEPT_LONGER_S: Final = 7 * 24 * 3600
"""So much longer than a delivery its payload is kept: TTL removes expired items in no order."""

_PAGE: Final = 500
_LISTED_A_PAGE: Final = 100


class LoggedDelivery(Delivery):
    """A delivery and its attempts, without its payload, which may be long, and without a check's candidate."""

    payload: str = Field("", exclude=True, repr=False)
    candidate: dict[str, Any] | None = Field(None, exclude=True, repr=False)


_LOGGED: Final = [name for name in LoggedDelivery.model_fields if name not in ("payload", "candidate")]


class ListedDelivery(NamedTuple):
    """A delivery as an index shows it; its status is None where the index does not have it."""

    delivery_id: str
    status: str | None


class FailedDelivery(NamedTuple):
    """A delivery that an index has as failed or aborted, and when it was created."""

    delivery_id: str
    created_at_ms: int


class Claim(Enum):
    """The result of a claim.

    ``TAKEN``: the caller makes the attempt. ``BUSY``: another worker is making it. ``RECORDED``: it has been made, and
    the delivery is still pending. ``OVER``: the delivery has ended, began a new run, or is gone. ``BEGUN``: its one
    attempt was begun, and the worker that did has died.
    """

    TAKEN = auto()
    BUSY = auto()
    RECORDED = auto()
    OVER = auto()
    BEGUN = auto()


class Redelivery(Enum):
    """The result of a redelivery.

    ``STARTED``: a new run has begun. ``SENT_AGAIN``: the delivery is pending and its attempt overdue, so its message
    was sent once more; if the first one comes after all, nothing is attempted twice. ``PENDING``: its present run goes
    on, and a second one would double it. ``UNKNOWN``: there is no such delivery.
    """

    STARTED = auto()
    SENT_AGAIN = auto()
    PENDING = auto()
    UNKNOWN = auto()


class DeliveriesTable(TableGateway):
    """The Deliveries table. What is read by an index lacks deliveries that were created within the last second."""

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        super().__init__(client, name)
        self._claims = WriteTokens()

    def create(self, delivery: Delivery) -> bool:
        """Put a new delivery, after its payload; return False, and change no delivery, if it is there already."""
        if (payload := _payload_item(delivery)) is not None:
            self._table.put(payload)
        return self._table.create(_key(delivery.delivery_id), _item(delivery)).done

    async def create_in_loop(self, delivery: Delivery, *, has_payload: bool) -> bool:
        """Put a new delivery as `create` does, from the event loop.

        `has_payload` says that `put_payload_in_loop` was called for it, or for another with the same.
        """
        if not has_payload:
            await self.put_payload_in_loop(delivery)
        return (await self._table.create_in_loop(_key(delivery.delivery_id), _item(delivery))).done

    async def put_payload_in_loop(self, delivery: Delivery) -> None:
        """Put the payload of a delivery on an item of its own. One that is there is the same, and is kept longer."""
        if (payload := _payload_item(delivery)) is not None:
            await self._table.put_in_loop(payload)

    def get(self, delivery_id: str, known: Delivery | None = None) -> Delivery | None:
        """Return a delivery with its attempts and its payload (strongly consistent), or None.

        The payload of `known`, as the delivery was read before, is not read again where it is the same.
        """
        item = self._table.get(_key(delivery_id))
        if item is None:
            return None
        delivery = Delivery.model_validate(item)
        return self.with_payload(delivery if known is None else delivery.with_payload(known.payload))

    def with_payload(self, delivery: Delivery) -> Delivery:
        """Return a delivery with its payload, which is read unless it is there; empty if it is gone."""
        if delivery.payload or delivery.payload_id is None:
            return delivery
        item = self._table.get(_key(delivery.payload_id))
        try:
            content = zlib.decompressobj().decompress((item or {})[_CONTENT], _PAYLOAD_MAX_BYTES)
            return delivery.with_payload(content.decode())
        except (KeyError, TypeError, ValueError, zlib.error):
            return delivery

    def begun_at(self, delivery_id: str) -> int | None:
        """Return when the first attempt of a delivery was begun (strongly consistent); None if none was."""
        item = self._table.get(_key(delivery_id))
        if item is None:
            return None
        if attempts := item.get("attempts"):
            return int(attempts[0]["at_ms"])
        claimed_until_ms = item.get("claimed_until_ms")
        return None if claimed_until_ms is None else int(claimed_until_ms) - CLAIM_MS

    def ids_of_task(self, task_id: str, since_ms: int = 0) -> list[str]:
        """Return the deliveries for a task, of any provider, created at or after `since_ms`, newest first."""
        return list(self._ids("task_id", task_id, since_ms, {}))

    def ids_of_subscription(self, subscription_id: str, limit: int) -> list[str]:
        """Return the latest deliveries to a subscription, newest first."""
        return list(self._ids("subscription_id", subscription_id, 0, {"MaxItems": limit}))

    def _ids(
        self,
        key: str,
        value: str,
        since_ms: int,
        paging: Mapping[str, int],
        statuses: Collection[DeliveryStatus] = (),
    ) -> Iterator[str]:
        found = self._table.query(
            Key(key).eq(value) & Key("created_at_ms").gte(since_ms),
            index=_INDEXES[key],
            where=_has_status(statuses) if statuses else None,
            attributes=["delivery_id"],
            newest_first=True,
            paging=paging,
        )
        return (item["delivery_id"] for item in found)

    def latest(
        self,
        *,
        task_id: str | None = None,
        subscription_id: str | None = None,
        statuses: Collection[DeliveryStatus] = (),
        since_ms: int = 0,
        limit: int | None = None,
    ) -> list[LoggedDelivery]:
        """Return at most `limit` deliveries, strongly consistent, newest first.

        Only those for a task, of any provider, to a subscription, with one of the statuses, and created at or after
        `since_ms`. Without task and subscription, this reads a whole index.
        """
        if task_id is not None:
            ids = self._ids("task_id", task_id, since_ms, {"PageSize": _PAGE}, statuses)
        elif subscription_id is not None:
            ids = self._ids("subscription_id", subscription_id, since_ms, {"PageSize": _PAGE}, statuses)
        else:
            ids = self._scan_ids(statuses, since_ms, limit)
        found = (
            each
            for each in self._read(ids)
            if subscription_id in (None, each.subscription_id)
            # The indexes lag behind the table, in the status too.
            and (not statuses or each.status in statuses)
        )
        return list(itertools.islice(found, limit))

    def listed(
        self,
        now_ms: int,
        *,
        task_id: str | None = None,
        subscription_id: str | None = None,
        since_ms: int = 0,
        after: Position | None = None,
        at_once: int = _LISTED_A_PAGE,
    ) -> Iterator[tuple[Position, ListedDelivery]]:
        """Yield deliveries created at or after `since_ms`, newest first, from a position on.

        Only those for a task, of any provider, or to a subscription; else all that were created within the time that
        deliveries are kept, day by day. This reads an index as far as it is asked to, `at_once` entries a call.
        """
        if after is not None and after.at_ms < since_ms:
            return
        if task_id is not None:
            partitions = [("task_id", task_id, BY_TASK_INDEX, ALWAYS)]
        elif subscription_id is not None:
            partitions = [("subscription_id", subscription_id, BY_SUBSCRIPTION_INDEX, ALWAYS)]
        else:
            days = periods(DAY_MS, now_ms, KEPT_S * 1000, since_ms, after)
            partitions = [("created_on", day.day, BY_DAY_INDEX, day) for day in days]
        for name, value, index, period in partitions:
            partition, moment = Key(name).eq(value), period.up_to(after, "created_at_ms")
            items = self._table.query(
                partition if moment is None else partition & moment,
                index=index,
                attributes=["delivery_id", "created_at_ms", *(() if index == BY_DAY_INDEX else ("status",))],
                newest_first=True,
                paging={"PageSize": at_once},
            )
            for position, item in in_order([items], "created_at_ms", ("delivery_id",), after, period):
                if position.at_ms < since_ms:
                    return
                yield position, ListedDelivery(item["delivery_id"], item.get("status"))

    def listed_by_scan(
        self, since_ms: int, after: Position | None
    ) -> Iterator[tuple[Position, ListedDelivery]]:
        """Yield all deliveries as `listed` does, where there is no index by day: this reads another one whole."""
        items = self._table.scan(
            index=BY_SUBSCRIPTION_INDEX,
            where=Attr("created_at_ms").gte(since_ms),
            attributes=["delivery_id", "created_at_ms", "status"],
            consistent=False,
        )
        found = sorted(items, key=itemgetter("created_at_ms"), reverse=True)
        for position, item in in_order([found], "created_at_ms", ("delivery_id",), after):
            yield position, ListedDelivery(item["delivery_id"], item.get("status"))

    def failed(
        self, subscription_id: str, since_ms: int, until_ms: int, after: FailedDelivery | None
    ) -> Iterator[FailedDelivery]:
        """Yield what failed or was aborted of what was created from `since_ms` to before `until_ms`, oldest first.

        Of deliveries to one subscription; `after` is the one that those to come follow. The index lags behind the
        table.
        """
        begin = None
        if after is not None:
            begin = {"subscription_id": subscription_id, "created_at_ms": after.created_at_ms}
            begin |= _key(after.delivery_id)
        found = self._table.query(
            Key("subscription_id").eq(subscription_id) & Key("created_at_ms").between(since_ms, until_ms - 1),
            index=BY_SUBSCRIPTION_INDEX,
            where=_has_status((DeliveryStatus.FAILED, DeliveryStatus.ABORTED)),
            attributes=["delivery_id", "created_at_ms"],
            paging={"PageSize": _PAGE},
            after=begin,
        )
        return (FailedDelivery(item["delivery_id"], item["created_at_ms"]) for item in found)

    def existing(self, delivery_ids: Sequence[str]) -> set[str]:
        """Return which of these deliveries there are (strongly consistent)."""
        found = self._table.get_many([_key(each) for each in delivery_ids], attributes=["delivery_id"])
        return {item["delivery_id"] for item in found}

    def get_logged(self, delivery_ids: Sequence[str]) -> list[LoggedDelivery]:
        """Return those deliveries that are there (strongly consistent), in this order."""
        return list(self._read(delivery_ids))

    def _scan_ids(
        self, statuses: Collection[DeliveryStatus], since_ms: int, limit: int | None
    ) -> Iterator[str]:
        is_late = Attr("created_at_ms").gte(since_ms)
        items = self._table.scan(
            # It has all deliveries, and little of each: the table itself has payloads of up to 300 kB.
            index=BY_SUBSCRIPTION_INDEX,
            where=is_late & _has_status(statuses) if statuses else is_late,
            attributes=["delivery_id", "created_at_ms"],
            consistent=False,
        )
        found = ((item["created_at_ms"], item["delivery_id"]) for item in items)
        newest = sorted(found, reverse=True) if limit is None else heapq.nlargest(limit, found)
        return map(itemgetter(1), newest)

    def _read(self, ids: Iterable[str]) -> Iterator[LoggedDelivery]:
        waiting = iter(ids)
        while batch := list(itertools.islice(waiting, KEYS_A_CALL)):
            items = self._table.get_many([_key(each) for each in batch], attributes=_LOGGED)
            found = {item["delivery_id"]: LoggedDelivery.model_validate(item) for item in items}
            # An expired one may be gone by now.
            yield from (found[each] for each in batch if each in found)

    def delivered_since(self, subscription_id: str, since_ms: int) -> bool:
        """Return whether a delivery that was created at or after `since_ms` has been delivered to a subscription.

        What tells of progress does not count.

        Only the `LOOKED_AT` first and the `LOOKED_AT` last are read: the first are those of workers that did not know
        yet that the subscription fails, the last show how it does now.
        """
        return any(
            item.get("status") == DeliveryStatus.DELIVERED.value and not is_progress(item["delivery_id"])
            for newest_first in (False, True)
            for item in self._table.query(
                Key("subscription_id").eq(subscription_id) & Key("created_at_ms").gte(since_ms),
                index=BY_SUBSCRIPTION_INDEX,
                attributes=["delivery_id", "status"],
                newest_first=newest_first,
                paging={"MaxItems": LOOKED_AT, "PageSize": LOOKED_AT},
            )
        )

    async def claim_in_loop(self, message: DeliveryMessage, now_ms: int) -> tuple[Claim, Delivery | None]:
        """Claim the attempt that a message asks for, and read its delivery, in one call from the event loop.

        The delivery is None if it does not exist. What tells of progress is claimed once, whatever becomes of that.
        """
        with self._claims.of(message.delivery_id) as token:
            write = await self._table.update_in_loop(**_claim(message, token, now_ms))
        return _claimed(message, write, now_ms)

    def put_off(
        self, message: DeliveryMessage, until_ms: int, rate_limit: float
    ) -> tuple[Claim, Delivery | None]:
        """Say that the attempt of a message waits for its subscription's limit, of so many attempts a second.

        `until_ms` is when it comes again. The result is that of a claim, where ``TAKEN`` says that it was put off.
        """
        write = self._table.update(
            _key(message.delivery_id),
            set={"next_attempt_at_ms": until_ms, "rate_limit": rate_limit},
            condition=_is_due(message),
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
        """Record the result of the attempt that a message asked for, and release the claim.

        `attempt` is None if none was made, as for a disabled subscription; `next_attempt_at_ms` is set while the
        delivery is still pending; `reason` says why it has ended without being delivered. Return False if another
        worker has recorded this attempt.
        """
        return self._table.update(**_record(message, status, attempt, next_attempt_at_ms, reason)).done

    async def record_in_loop(
        self,
        message: DeliveryMessage,
        *,
        status: DeliveryStatus,
        attempt: Attempt | None = None,
        next_attempt_at_ms: int | None = None,
        reason: str | None = None,
    ) -> bool:
        """Record an attempt as `record` does, from the event loop."""
        write = await self._table.update_in_loop(
            **_record(message, status, attempt, next_attempt_at_ms, reason)
        )
        return write.done

    def begin_run(self, delivery: Delivery, attempts: Sequence[Attempt], now_ms: int) -> Delivery | None:
        """Begin a new run of a delivery that has ended, with these of its earlier attempts.

        Returns the delivery as it is now; None if another caller has begun a run of it since it was read. Its payload
        is put once more, to be kept as long as it is.
        """
        expires_at = max(delivery.expires_at, now_ms // 1000 + KEPT_S)
        if delivery.payload and delivery.payload_id is not None:
            # An update, not a put: whoever redelivers need not be allowed to make deliveries.
            self._table.update(
                _key(delivery.payload_id), set=_payload_attributes(delivery.payload, expires_at)
            )
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
                "expires_at": expires_at,
                "attempts": [each.model_dump(mode="json", exclude_none=True) for each in attempts],
            },
            remove=["reason", *_CLAIMED, "rate_limit"],
            condition=Attr("status").eq(delivery.status.value) & Attr("run").eq(delivery.run),
            mine=lambda item: begun.items() <= item.items(),
            only_in_doubt=True,
            read=True,
        )
        return Delivery.model_validate(write.item).with_payload(delivery.payload) if write.done else None


class DeliveriesQueue:
    """The deliveries queue: SQS standard, with fair queues by subscription."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client: Any = client
        self._url = url

    def send(self, message: DeliveryMessage, now_ms: int) -> None:
        """Send a message that is received when it is due, or after 15 minutes if that is later."""
        self._client.send_message(QueueUrl=self._url, **_entry(message, now_ms))

    async def send_batch(self, messages: Sequence[DeliveryMessage], now_ms: int) -> None:
        """Send up to `BATCH_MAX` messages in one call, each as `send` does; those that SQS refuses are sent again.

        Raises `Unavailable` if SQS refuses some of them each time.
        """
        entries: list[Any] = [
            {"Id": str(number)} | _entry(message, now_ms) for number, message in enumerate(messages)
        ]

        async def send(waiting: list[Any]) -> list[Any]:
            request: Any = {"QueueUrl": self._url, "Entries": waiting}
            if isinstance(self._client, LightSQS):
                answer = await self._client.send_message_batch_in_loop(**request)
            else:
                answer = await asyncio.to_thread(self._client.send_message_batch, **request)
            refused = {each["Id"] for each in answer.get("Failed", ())}
            return [entry for entry in waiting if entry["Id"] in refused]

        if left := await resend_in_loop(send, entries):
            raise Unavailable(f"the deliveries queue did not take {len(left)} messages")


@dataclass(frozen=True, slots=True)
class Redeliveries:
    """Starts redeliveries, whose first attempts are sent by the queue."""

    table: DeliveriesTable
    queue: DeliveriesQueue

    def begin(self, delivery_id: str, now_ms: int) -> tuple[Redelivery, Delivery | None]:
        """Begin a new run of a delivery that has ended; its first attempt is due now.

        The delivery is the record as it stands now; None if there is none.
        """
        delivery = self.table.get(delivery_id)
        if delivery is None:
            return Redelivery.UNKNOWN, None
        if delivery.status is DeliveryStatus.PENDING:
            due_at_ms = delivery.next_attempt_at_ms or delivery.created_at_ms
            if now_ms - due_at_ms < OVERDUE_MS:
                return Redelivery.PENDING, delivery
            self.queue.send(message_for(delivery), now_ms)
            return Redelivery.SENT_AGAIN, delivery
        older, latest = delivery.attempts[:-EXCERPTS_KEPT], delivery.attempts[-EXCERPTS_KEPT:]
        kept = [*(each.model_copy(update={"excerpt": None}) for each in older), *latest]
        begun = self.table.begin_run(delivery, kept, now_ms)
        if begun is None:
            # Another caller was faster, and has begun the run that this one would have been.
            return Redelivery.PENDING, self.table.get(delivery_id)
        self.queue.send(message_for(begun), now_ms)
        return Redelivery.STARTED, begun


def withdrawn(delivery: Delivery) -> bool:
    """Return whether a delivery was aborted because its subscription was disabled or deleted, not by the receiver."""
    if delivery.status is not DeliveryStatus.ABORTED:
        return False
    # A receiver that refuses a delivery answers the attempt that the record names as the next.
    return not any(
        (each.run, each.attempt) == (delivery.run, delivery.next_attempt) for each in delivery.attempts
    )


def _entry(message: DeliveryMessage, now_ms: int) -> dict[str, Any]:
    wait_ms = message.due_at_ms - now_ms
    has_slot = message.slot is not None and message.slot.at_ms == message.due_at_ms
    # SQS counts whole seconds, and a slot is as long as one: the worker waits for its begin, and has some for its work.
    delay_s = (wait_ms + SLOT_LATE_MS) // 1000 if has_slot else -(-wait_ms // 1000)
    return {
        "MessageBody": message.model_dump_json(exclude_none=True),
        "DelaySeconds": min(max(delay_s, 0), MAX_DELAY_S),
        # A subscription's id is the user's own text, which may have characters that SQS refuses.
        "MessageGroupId": sha256(message.subscription_id.encode()).hexdigest(),
    }


def _claim(message: DeliveryMessage, token: str, now_ms: int) -> dict[str, Any]:
    """Return the update that claims the attempt of a message, as `Table.update` takes it."""
    given = {"run": message.run, "attempt": message.attempt, "token": token}
    if is_progress(message.delivery_id):
        condition = _IS_UNCLAIMED_PROGRESS.given(**given)
    else:
        condition = _IS_UNCLAIMED.given(now_ms=now_ms, **given)
    return {
        "key": _key(message.delivery_id),
        "set": {"claimed_until_ms": now_ms + CLAIM_MS, "claimed_by": token},
        "condition": condition,
        "read": True,
    }


def _claimed(message: DeliveryMessage, write: Write, now_ms: int) -> tuple[Claim, Delivery | None]:
    delivery = None if write.item is None else Delivery.model_validate(write.item)
    if write.done:
        return Claim.TAKEN, delivery
    refused = _refused(message, delivery)
    is_over = write.found.get("claimed_until_ms", now_ms) <= now_ms
    if refused is Claim.BUSY and is_over and is_progress(message.delivery_id):
        return Claim.BEGUN, delivery
    return refused, delivery


def _record(
    message: DeliveryMessage,
    status: DeliveryStatus,
    attempt: Attempt | None,
    next_attempt_at_ms: int | None,
    reason: str | None,
) -> dict[str, Any]:
    """Return the update that records the attempt of a message, as `Table.update` takes it."""
    made = None if attempt is None else attempt.model_dump(mode="json", exclude_none=True)
    state: dict[str, Any] = {"status": status.value}
    remove = [*_CLAIMED, "candidate", "rate_limit"]
    if reason is not None:
        state["reason"] = reason
    if next_attempt_at_ms is None:
        remove.append("next_attempt_at_ms")
    else:
        state |= {"next_attempt_at_ms": next_attempt_at_ms, "next_attempt": message.attempt + 1}

    def is_recorded(item: dict[str, Any]) -> bool:
        if made and made not in item.get("attempts", ()):
            return False
        # Without an attempt, every worker's record is the same.
        return item.get("run") == message.run and state.items() <= item.items()

    return {
        "key": _key(message.delivery_id),
        "set": state | ({"attempts": Appended([made])} if made else {}),
        "remove": remove,
        "condition": _is_due(message),
        "mine": is_recorded,
    }


_NOT_RECORDED: Final[ConditionBase] = (
    Attr("status").eq(DeliveryStatus.PENDING.value)
    & Attr("run").eq(Parameter("run"))
    & Attr("next_attempt").eq(Parameter("attempt"))
)
_NEVER_CLAIMED: Final = Attr("claimed_until_ms").not_exists() | Attr("claimed_by").eq(Parameter("token"))
_IS_DUE: Final = PreparedCondition(_NOT_RECORDED)
_IS_UNCLAIMED_PROGRESS: Final = PreparedCondition(_NOT_RECORDED & _NEVER_CLAIMED)
_IS_UNCLAIMED: Final = PreparedCondition(
    _NOT_RECORDED & (_NEVER_CLAIMED | Attr("claimed_until_ms").lte(Parameter("now_ms")))
)


def _is_due(message: DeliveryMessage) -> BuiltCondition:
    """Return the condition that the attempt of a message has not been recorded."""
    return _IS_DUE.given(run=message.run, attempt=message.attempt)


def _refused(message: DeliveryMessage, delivery: Delivery | None) -> Claim:
    if delivery is None or delivery.status is not DeliveryStatus.PENDING or delivery.run != message.run:
        return Claim.OVER
    if delivery.next_attempt != message.attempt:
        return Claim.RECORDED if delivery.next_attempt > message.attempt else Claim.OVER
    return Claim.BUSY


def _item(delivery: Delivery) -> dict[str, Any]:
    """Return the item of a new delivery, whose payload is on an item of its own."""
    left_out = {"payload"} if delivery.payload_id is not None else set()
    # The day is there for an index alone.
    return delivery.model_dump(mode="json", exclude_none=True, exclude=left_out) | {
        "created_on": Period.of(delivery.created_at_ms, DAY_MS).day
    }


def _payload_item(delivery: Delivery) -> dict[str, Any] | None:
    """Return the item of a delivery's payload; None if that is on the delivery's own."""
    if delivery.payload_id is None:
        return None
    return _key(delivery.payload_id) | _payload_attributes(delivery.payload, delivery.expires_at)


def _payload_attributes(payload: str, expires_at: int) -> dict[str, Any]:
    """Return the attributes of a payload's item; `expires_at` is when the delivery does."""
    return {
        _CONTENT: zlib.compress(payload.encode("utf-8", "replace")),
        "expires_at": expires_at + _KEPT_LONGER_S,
    }


def _key(delivery_id: str) -> dict[str, Any]:
    return {"delivery_id": delivery_id}


def _has_status(statuses: Collection[DeliveryStatus]) -> ConditionBase:
    return Attr("status").is_in([status.value for status in sorted(statuses)])
