"""The delivery of one event to one receiver: its record, its message on the queue, its identifier."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tunehook.events import PROGRESS_EVENT
from tunehook.ids import digest
from tunehook.keys import HashKey
from tunehook.rate_limits import RateLimit
from tunehook.tasks import Format
from tunehook.times import LATEST_MS
from tunehook.validation import first_problem

KEPT_S: Final = 30 * 24 * 3600
"""How long a delivery and its attempts are kept (docs/webhook-contract.md, "Bookkeeping")."""

IN_MESSAGE_MAX_BYTES: Final = 20_000
"""Of a payload in a message, as JSON: ten messages a call are below the 256 kB that SQS takes."""

_COUNT_MAX: Final = 1_000_000_000
"""Of runs and attempts: more than there can be, and within what DynamoDB takes as a number."""


REFUSED: Final = "refused by the receiver"
"""The reason of a delivery that its receiver has answered with ``webhook-delivery: abort-message``."""


class DeliveryStatus(StrEnum):
    """Where a delivery stands.

    ``FAILED``: all attempts failed, or the receiver is gone for good. ``ABORTED``: the receiver does not want this one,
    or the subscription was disabled or deleted.
    """

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    ABORTED = "aborted"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class Attempt(_Model):
    """One attempt: its `status_code`, or the class of its `error` such as ``CertificateExpired``; never both.

    `detail` is more about it: the field of an `InvalidInput`, the ``Location`` of a redirect without its query, how the
    body of an answer ended badly.
    """

    run: int
    attempt: int
    at_ms: int
    duration_ms: int
    status_code: int | None = None
    error: str | None = None
    detail: str | None = None
    excerpt: str | None = None


class Delivery(_Model):
    """An item of the Deliveries table.

    `task_id` is None where it is about no task, and `provider` where it is about none (an operational event).
    `subscription_id` may be `tunehook.signatures.notify_hook_subscription_id` of a task's own hook, which alone has a
    `url` here: a subscription's own counts as it is at each attempt. `payload` is JSON: in the format ``provider`` the
    body, otherwise the body's ``data``, in which each asset has its S3 ``key`` and no link yet. It is on an item of its
    own, which `payload_id` names, or on the record itself as of earlier versions; empty until it is read, and where it
    is gone. `run` (of the schedule)
    and `next_attempt` (in it) count from 1. `expires_at` is in seconds since 1970, for DynamoDB's TTL. `rate_limit` is
    set while the next attempt waits for its subscription's limit: so many attempts a second.

    `is_check`: it checks an endpoint by one attempt, and counts for nobody's health. `candidate` is the subscription
    as it would be, of which its item may have nothing yet; it has the receiver's headers, and is there until the
    attempt is recorded.
    """

    delivery_id: str
    subscription_id: str
    event_id: str
    task_id: str | None = None
    provider: str | None = None
    type: str
    event_at_ms: int
    format: Format
    payload: str = ""
    payload_id: str | None = None
    url: str | None = None
    created_at_ms: int
    expires_at: int
    status: DeliveryStatus = DeliveryStatus.PENDING
    run: int = 1
    next_attempt: int = 1
    next_attempt_at_ms: int | None = None
    attempts: tuple[Attempt, ...] = ()
    reason: str | None = None
    is_check: bool = False
    candidate: dict[str, Any] | None = Field(None, repr=False)
    rate_limit: float | None = None

    @property
    def run_began_at_ms(self) -> int:
        """When the present run of the schedule began: at the creation, or at the last redelivery."""
        return (self.expires_at - KEPT_S) * 1000

    @property
    def says_pending(self) -> bool:
        """Whether it tells of a task whose files are waited for, so that ``task.archived`` is to follow."""
        if self.format is Format.PROVIDER:
            return False
        try:
            data = json.loads(self.payload)
        except ValueError:  # a record that was changed by hand
            return False
        return isinstance(data, dict) and data.get("archive") == "pending"

    def with_payload(self, payload: str) -> Delivery:
        """Return the delivery with this payload, or as it is where it names another one."""
        if self.payload_id != payload_id_of(payload):
            return self
        return self.model_copy(update={"payload": payload})


class Slot(_Model):
    """A moment that was reserved for one attempt, under one limit of its subscription (`tunehook.rate_limits`)."""

    at_ms: int = Field(ge=0, le=LATEST_MS)
    interval_us: int = Field(ge=1, le=_COUNT_MAX)
    since_ms: int = Field(ge=0, le=LATEST_MS)

    @classmethod
    def at(cls, at_us: int, limit: RateLimit) -> Slot:
        return cls(at_ms=-(-at_us // 1000), interval_us=limit.interval_us, since_ms=limit.since_ms)

    def is_of(self, limit: RateLimit) -> bool:
        """Return whether it was reserved under this very limit."""
        return (self.interval_us, self.since_ms) == (limit.interval_us, limit.since_ms)


class DeliveryMessage(_Model):
    """A message on the deliveries queue: which attempt of which delivery is due, and when; whether it is a check.

    `run_began_at_ms` is None in messages of earlier versions; `slot` is set while the attempt waits for its
    subscription's limit, and was due by its schedule before. `payload` is that of the delivery where it is short: it
    counts only if the delivery's record names it.
    """

    delivery_id: HashKey
    subscription_id: HashKey
    attempt: int = Field(ge=1, le=_COUNT_MAX)
    run: int = Field(ge=1, le=_COUNT_MAX)
    due_at_ms: int = Field(ge=0, le=LATEST_MS)
    is_check: bool = False
    run_began_at_ms: int | None = Field(None, ge=0, le=LATEST_MS)
    slot: Slot | None = None
    payload: str | None = Field(None, repr=False)


def message_of(body: str) -> DeliveryMessage:
    """Return the message that the body of one of the deliveries queue holds, or raise `InvalidInput`."""
    try:
        return DeliveryMessage.model_validate_json(body)
    except ValidationError as error:
        raise first_problem(error, "message") from None


def payload_id_of(payload: str) -> str:
    """Return the key of the item that has a payload: receivers that are told the same share it."""
    return f"payload_{digest(payload)}"


_PROGRESS: Final = "msg_progress_"


def delivery_id(event_id: str, subscription_id: str) -> str:
    """Return the identifier of the one delivery of an event to a subscription, which has no dot in it."""
    prefix = _PROGRESS if event_id.startswith(PROGRESS_EVENT) else "msg_"
    return prefix + digest(event_id, subscription_id)


def is_progress(delivery_id: str) -> bool:
    """Return whether a delivery tells of progress: one attempt of it is made at most, and it counts for nothing else.

    A sample of ``task.progress`` is a delivery like any other.
    """
    return delivery_id.startswith(_PROGRESS)


def new_delivery(*, event_id: str, subscription_id: str, now_ms: int, **attributes: Any) -> Delivery:
    """Return a delivery whose first attempt is due now; `attributes` are the others that `Delivery` requires.

    Its payload is kept as UTF-8, in which there are no halves of surrogate pairs.
    """
    payload = attributes.pop("payload").encode("utf-8", "replace").decode()
    return Delivery(
        **attributes,
        payload=payload,
        payload_id=payload_id_of(payload),
        delivery_id=delivery_id(event_id, subscription_id),
        subscription_id=subscription_id,
        event_id=event_id,
        created_at_ms=now_ms,
        expires_at=now_ms // 1000 + KEPT_S,
        next_attempt_at_ms=now_ms,
    )


def message_for(delivery: Delivery) -> DeliveryMessage:
    """Return the message for the next attempt of a pending delivery, with its payload if that is known and short."""
    size = len(json.dumps(delivery.payload, ensure_ascii=False).encode("utf-8", "replace"))
    has_payload = delivery.payload_id is not None and delivery.payload and size <= IN_MESSAGE_MAX_BYTES
    return DeliveryMessage(
        delivery_id=delivery.delivery_id,
        subscription_id=delivery.subscription_id,
        attempt=delivery.next_attempt,
        run=delivery.run,
        due_at_ms=delivery.next_attempt_at_ms or delivery.created_at_ms,
        is_check=delivery.is_check,
        run_began_at_ms=max(delivery.run_began_at_ms, 0),
        payload=delivery.payload if has_payload else None,
    )
