"""One message of the deliveries queue: claim its attempt, make it, record it, arrange the next.

A message may come twice, too early, or after its attempt was made, and the process may die between any two calls. So
the record is written before the next message is sent, every write holds for the very attempt that it is made for, and
what a message asks for is done only where the record says that it is still to be done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Final

from tunehook.aws.deliveries import CLAIM_MS, MAX_DELAY_S, SLOT_LATE_MS, Claim, DeliveriesTable
from tunehook.aws.errors import AWS_FAULTS
from tunehook.aws.tasks import TasksTable, is_told_last
from tunehook.deliveries import (
    REFUSED,
    Attempt,
    Delivery,
    DeliveryMessage,
    DeliveryStatus,
    is_progress,
    message_for,
)
from tunehook.errors import Unavailable
from tunehook.rate_limits import SLOT_MS, UNSENT_MAX_MS, RateLimit, rate_text
from tunehook.schedules import WAITS_S
from tunehook.signatures import NOTIFY_HOOK_PREFIX
from tunehook.tasks import Status, TaskKey
from webhooks.attempt import ATTEMPT_S, Result, Sender
from webhooks.circuit_breaker import CircuitBreaker, receiver_of
from webhooks.message_batcher import MessageBatcher
from webhooks.policy import ResponseClass, next_attempt_at_ms
from webhooks.rate_limiter import RateLimiter
from webhooks.secret import MasterSecret
from webhooks.subscription_health import Change, SubscriptionHealth

if TYPE_CHECKING:
    from webhooks.subscription_cache import Subscribed, SubscriptionCache

EARLY_MS: Final = 100
"""Clocks differ: a message that is early by less than this is due."""

FURTHEST_AHEAD_MS: Final = 48 * 3600 * 1000
"""No attempt is further ahead than that: 24 h, with jitter. What says so was written by a clock that was wrong."""

_CHECKED: Final = {
    ResponseClass.DELIVERED: (DeliveryStatus.DELIVERED, None),
    ResponseClass.FAILED: (DeliveryStatus.FAILED, "a check is not repeated"),
    ResponseClass.ABORTED: (DeliveryStatus.ABORTED, REFUSED),
    ResponseClass.GONE: (DeliveryStatus.FAILED, "the receiver asked for no more; a check disables nothing"),
}
"""How the one attempt of a check ends its delivery, and the reason on its record."""

RECORDING_MS: Final = 2_000
"""How much of a claim is kept for the record of the attempt."""

SLOT_WAIT_MS: Final = SLOT_MS - SLOT_LATE_MS
"""How long a message waits here for its slot: the queue counts whole seconds, and brings it so early."""

CLAIMING_MS: Final = 100
"""How much of a slot is kept for the claim: an attempt that would begin after its slot is not made."""

RESERVE_MS: Final = 5_000
"""What must be left of the function's time, beside the attempt's own, to record it."""


class NotAttempted(Unavailable):
    """The attempt was not begun: there is too little time for it, or another worker makes it."""


class NotRecorded(Unavailable):
    """The attempt took longer than its claim, and another worker has recorded it."""


class Step(StrEnum):
    """What a message led to."""

    ATTEMPTED = "attempted"
    SENT_ON = "sent_on"  # it came early
    HELD_BACK = "held_back"  # its receiver hangs, or nobody knows yet: it was sent on, and uses up no attempt
    AWAITS_SLOT = (
        "awaits_slot"  # its subscription's limit lets it in later: it was sent on, and uses up no attempt
    )
    RATE_LIMITED = "rate_limited"  # the limit did not let it in for 13 days, which ended the delivery
    SENT_AGAIN = "sent_again"  # the next one, which the worker that recorded this attempt may not have sent
    DROPPED = "dropped"  # its delivery has ended or is gone, or it is a duplicate of a message that is done
    CHECKED = "checked"  # an endpoint, by one attempt that counts for nobody's health
    WITHDRAWN = "withdrawn"  # there is no enabled subscription any more, which ended the delivery
    CUT_SHORT = (
        "cut_short"  # its subscription's schedule has no such attempt any more, which ended the delivery
    )
    OVERTAKEN = "overtaken"  # it tells of progress, and the task has ended or gone on: it ended unsent
    UNKNOWN = "unknown"  # its one attempt was begun by a worker that died, which ended it


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a message: the step, the delivery as it was before, what an attempt came to and changed."""

    step: Step
    message: DeliveryMessage
    delivery: Delivery | None = None
    attempt: Attempt | None = None
    status: DeliveryStatus | None = None
    change: Change = Change.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliverer:
    """Does what the messages of the deliveries queue ask for.

    `jitter` returns numbers from 0 to 1, for the schedule; `remaining_ms` how much is left of the function's time.
    """

    tasks: TasksTable
    deliveries: DeliveriesTable
    batcher: MessageBatcher
    subscriptions: SubscriptionCache
    breaker: CircuitBreaker
    limiter: RateLimiter
    health: SubscriptionHealth
    sender: Sender
    master_secret: MasterSecret
    now_ms: Callable[[], int]
    jitter: Callable[[], float]
    remaining_ms: Callable[[], int]

    async def handle(self, message: DeliveryMessage, receive_count: int) -> Outcome:
        """Do what a message asks for: the stages are time, slot, permit, claim, attempt, record, and the next message.

        The queue has handed this very message over `receive_count` times, this time included.

        Raises
        ------
        NotAttempted, NotRecorded, Unavailable, botocore.exceptions.ClientError
            For a fault of ours. The message comes again, and has used up no attempt.
        """
        if message.slot is None and EARLY_MS < message.due_at_ms - self.now_ms() <= FURTHEST_AHEAD_MS:
            await self.batcher.send(message)
            return Outcome(step=Step.SENT_ON, message=message)
        if message.is_check:
            return await self._check(message)
        known = await self._subscription(message.subscription_id)
        limit = None if known is None else known.rate_limit
        admitted = message if limit is None else await self._await_slot(message, limit, receive_count)
        if isinstance(admitted, Outcome):
            return admitted
        # Only the attempt that a slot was reserved for has it.
        slot = admitted.slot if limit else None
        message = admitted if admitted.slot is None else admitted.model_copy(update={"slot": None})
        receiver = receiver_of(message.subscription_id, known)
        async with self.breaker.permit(receiver) as permit:
            if permit.wait_until_ms is not None:
                await self.batcher.send(message.model_copy(update={"due_at_ms": permit.wait_until_ms}))
                return Outcome(step=Step.HELD_BACK, message=message)
            master_secret = await self.master_secret.get()
            if slot is not None and self.now_ms() > slot.at_ms + SLOT_MS - CLAIMING_MS:
                await self.batcher.send(message.model_copy(update={"due_at_ms": self.now_ms()}))
                return Outcome(step=Step.AWAITS_SLOT, message=message)
            claim, delivery = await self.claim(message)
            if delivery is not None and claim is Claim.TAKEN:
                delivery = await self._with_payload(delivery, message)
            if claim is Claim.BEGUN:
                reason = "its one attempt was begun, and what came of it is not known"
                return await self._end(Step.UNKNOWN, message, delivery, DeliveryStatus.FAILED, reason)
            if claim is not Claim.TAKEN:
                return await self._finish_recorded(message, claim, delivery, receive_count)
            assert delivery is not None  # it was claimed
            subscription = None
            if delivery.url is None:
                subscription = await self._enabled(delivery.subscription_id)
                if subscription is None or subscription.is_disabled:
                    reason = f"subscription {'disabled' if subscription else 'deleted'}"
                    return await self._end(Step.WITHDRAWN, message, delivery, DeliveryStatus.ABORTED, reason)
                if message.attempt > len(subscription.waits_s) + 1:
                    reason = (
                        f"all attempts failed: the schedule, made shorter, has no attempt {message.attempt}"
                    )
                    return await self._end(Step.CUT_SHORT, message, delivery, DeliveryStatus.FAILED, reason)
            if slot is not None and self.now_ms() > slot.at_ms + SLOT_MS:
                raise NotAttempted("the claim was answered after the slot of the attempt")
            if (why := await self._overtaken(delivery)) is not None:
                return await self._end(Step.OVERTAKEN, message, delivery, DeliveryStatus.ABORTED, why)
            result = await self.sender.attempt(delivery, subscription, master_secret, self.now_ms())
            # Where the URL was changed since the message was let in, the answer is another receiver's.
            is_same = subscription is known or receiver_of(message.subscription_id, subscription) == receiver
            permit.record_result(result.answered if is_same else None)
            status, change = await self._record_and_arrange(message, subscription, result)
        return Outcome(
            step=Step.ATTEMPTED,
            message=message,
            delivery=delivery,
            attempt=result.attempt,
            status=status,
            change=change,
        )

    async def _check(self, message: DeliveryMessage) -> Outcome:
        """Make the one attempt of a check, at the subscription as it would be.

        No circuit holds it back or learns of it, and the subscription's health does not: somebody waits for the answer,
        and what they are about to set may be what mends the receiver.
        """
        master_secret = await self.master_secret.get()
        claim, delivery = await self.claim(message)
        # The record counts: a message alone makes no check of a delivery.
        if claim is not Claim.TAKEN or delivery is None or not delivery.is_check:
            return Outcome(step=Step.DROPPED, message=message, delivery=delivery)
        delivery = await self._with_payload(delivery, message)
        item = {**(delivery.candidate or {}), "subscription_id": delivery.subscription_id}
        candidate = await asyncio.to_thread(self.subscriptions.read, item)
        result = await self.sender.attempt(delivery, candidate, master_secret, self.now_ms())
        status, reason = _CHECKED[result.response_class]
        record = partial(self.deliveries.record_in_loop, message, status=status, attempt=result.attempt)
        await self.record(partial(record, reason=reason))
        return Outcome(
            step=Step.CHECKED, message=message, delivery=delivery, attempt=result.attempt, status=status
        )

    async def _await_slot(
        self, message: DeliveryMessage, limit: RateLimit, receive_count: int
    ) -> DeliveryMessage | Outcome:
        """Return a message in its slot, without one where no limit is left, or what became of it instead."""
        now_ms = self.now_ms()
        began_ms = message.due_at_ms if message.run_began_at_ms is None else message.run_began_at_ms
        # A moment that has not come was written by a clock that was wrong.
        latest_ms = min(began_ms, now_ms) + UNSENT_MAX_MS
        message = message.model_copy(update={"run_began_at_ms": began_ms})
        slot, is_new = message.slot, False
        if (
            slot is None
            or not slot.is_of(limit)
            or not now_ms - SLOT_MS + CLAIMING_MS <= slot.at_ms <= now_ms + UNSENT_MAX_MS
        ):
            usable_until_ms = max(latest_ms, now_ms + SLOT_WAIT_MS)  # what can begin now is never too late
            reservation = await self.limiter.reserve(message.subscription_id, limit, usable_until_ms)
            if reservation.limit is None:
                return message.model_copy(update={"slot": None})
            limit, slot, is_new, now_ms = reservation.limit, reservation.slot, True, self.now_ms()
        if slot is not None and slot.at_ms <= now_ms + SLOT_WAIT_MS:
            await asyncio.sleep(max(slot.at_ms - now_ms, 0) / 1000)
            return message.model_copy(update={"slot": slot})
        if latest_ms <= now_ms:
            return await self._end_unsent(message, limit, receive_count)
        due_at_ms = min(latest_ms, now_ms + MAX_DELAY_S * 1000 if slot is None else slot.at_ms)
        if is_new:
            put_off = partial(self.deliveries.put_off, message, due_at_ms, limit.per_second)
            claim, delivery = await asyncio.to_thread(put_off)
            if claim is not Claim.TAKEN:
                return await self._finish_recorded(message, claim, delivery, receive_count)
        await self.batcher.send(message.model_copy(update={"slot": slot, "due_at_ms": due_at_ms}))
        return Outcome(step=Step.AWAITS_SLOT, message=message)

    async def _end_unsent(self, message: DeliveryMessage, limit: RateLimit, receive_count: int) -> Outcome:
        claim, delivery = await self.claim(message)
        if claim is not Claim.TAKEN:
            return await self._finish_recorded(message, claim, delivery, receive_count)
        days = UNSENT_MAX_MS // 86_400_000
        status = DeliveryStatus.FAILED
        reason = f"rate_limited: not sent within {days} days, at most {rate_text(limit.per_second)} a second"
        await self.record(partial(self.deliveries.record_in_loop, message, status=status, reason=reason))
        return Outcome(step=Step.RATE_LIMITED, message=message, delivery=delivery, status=status)

    async def claim(self, message: DeliveryMessage) -> tuple[Claim, Delivery | None]:
        """Claim the attempt, or raise `NotAttempted`; see `tunehook.aws.deliveries.DeliveriesTable.claim_in_loop`."""
        if self.remaining_ms() < ATTEMPT_S * 1000 + RESERVE_MS:
            raise NotAttempted("too little time is left for an attempt")
        now_ms = self.now_ms()
        claim, delivery = await self.deliveries.claim_in_loop(message, now_ms)
        if claim is Claim.BUSY:
            raise NotAttempted("another worker is making this attempt")
        if claim is Claim.TAKEN and self.now_ms() - now_ms > CLAIM_MS - ATTEMPT_S * 1000 - RECORDING_MS:
            # It counts from when it was asked for: by the end of an attempt it might be another worker's.
            raise NotAttempted("the claim was answered too late for an attempt")
        return claim, delivery

    async def _with_payload(self, delivery: Delivery, message: DeliveryMessage) -> Delivery:
        """Return a claimed delivery with its payload: that of the message if it is the one that the record names."""
        if message.payload is not None:
            delivery = delivery.with_payload(message.payload)
        if delivery.payload or delivery.payload_id is None:
            return delivery
        return await asyncio.to_thread(self.deliveries.with_payload, delivery)

    async def _end(
        self,
        step: Step,
        message: DeliveryMessage,
        delivery: Delivery | None,
        status: DeliveryStatus,
        reason: str,
    ) -> Outcome:
        """End a delivery without an attempt."""
        await self.record(partial(self.deliveries.record_in_loop, message, status=status, reason=reason))
        return Outcome(step=step, message=message, delivery=delivery, status=status)

    async def _overtaken(self, delivery: Delivery) -> str | None:
        """Return why what tells of progress is not sent, None if it may be, or tells of something else.

        The task's item is read now, strongly consistent: none is sent once the end is known. Its claim is the one that
        it has, so what cannot be read does not come again.
        """
        if not is_progress(delivery.delivery_id) or delivery.task_id is None or delivery.provider is None:
            return None
        key = TaskKey(delivery.task_id, delivery.provider)
        try:
            item = await asyncio.to_thread(self.tasks.get, key)
        except AWS_FAULTS:
            return "overtaken: it is not known whether the task has ended"
        if item is None or item.get("status") != Status.PENDING:
            return "overtaken: the task has ended"
        return None if is_told_last(key, item, delivery.event_id) else "overtaken: the task has gone on"

    async def record(self, record: Callable[[], Awaitable[bool]]) -> None:
        """Record the attempt by `tunehook.aws.deliveries.DeliveriesTable.record_in_loop`, or raise `NotRecorded`."""
        if not await record():
            # The message comes again and finds what the other worker recorded.
            raise NotRecorded("another worker has recorded this attempt")

    async def _subscription(self, subscription_id: str) -> Subscribed | None:
        if subscription_id.startswith(NOTIFY_HOOK_PREFIX):
            return None
        is_known, subscription = self.subscriptions.cached(subscription_id)
        return subscription if is_known else await asyncio.to_thread(self.subscriptions.get, subscription_id)

    async def _enabled(self, subscription_id: str) -> Subscribed | None:
        subscription = await self._subscription(subscription_id)
        if subscription is None or subscription.is_disabled:
            # It may have been enabled since: what it was sent for must not end by what was true before.
            return await asyncio.to_thread(self.subscriptions.fresh, subscription_id)
        return subscription

    async def _finish_recorded(
        self, message: DeliveryMessage, claim: Claim, delivery: Delivery | None, receive_count: int
    ) -> Outcome:
        """Send the next message again, where the worker that recorded this attempt may have died before it did so."""
        # A message that nobody has had before, nobody died over.
        if claim is not Claim.RECORDED or receive_count == 1:
            return Outcome(step=Step.DROPPED, message=message, delivery=delivery)
        assert delivery is not None  # the attempt is recorded on it
        await self.batcher.send(message_for(delivery).model_copy(update={"payload": message.payload}))
        return Outcome(step=Step.SENT_AGAIN, message=message, delivery=delivery)

    async def _record_and_arrange(
        self, message: DeliveryMessage, subscription: Subscribed | None, result: Result
    ) -> tuple[DeliveryStatus, Change]:
        """Record an attempt, send the next message, then note the subscription's health, which can be made up for."""
        attempt, change, reason, due_at_ms = result.attempt, Change.NONE, None, None
        is_once = is_progress(message.delivery_id)
        match result.response_class:
            case ResponseClass.DELIVERED:
                status = DeliveryStatus.DELIVERED
            case ResponseClass.ABORTED:
                status, reason = DeliveryStatus.ABORTED, REFUSED
            case ResponseClass.GONE:
                status = DeliveryStatus.FAILED
                reason = f"the receiver asked for no more ({attempt.status_code})"
                # First, so that a crash in between leads to the same end.
                change = await self.health.record_gone(subscription, attempt.at_ms, reason)
            case ResponseClass.FAILED if is_once:
                status, reason = DeliveryStatus.FAILED, "its one attempt failed"
            case ResponseClass.FAILED:
                due_at_ms = next_attempt_at_ms(
                    message.attempt,
                    self.now_ms(),
                    jitter=self.jitter(),
                    retry_after=result.retry_after,
                    waits_s=WAITS_S if subscription is None else subscription.waits_s,
                )
                status = DeliveryStatus.PENDING
                if due_at_ms is None:
                    status, reason = DeliveryStatus.FAILED, "all attempts failed"
        record = partial(
            self.deliveries.record_in_loop, message, status=status, attempt=attempt, reason=reason
        )
        await self.record(partial(record, next_attempt_at_ms=due_at_ms))
        if due_at_ms is not None:
            following = {"attempt": message.attempt + 1, "due_at_ms": due_at_ms, "slot": None}
            await self.batcher.send(message.model_copy(update=following))
        if is_once:
            return status, change
        if result.response_class is ResponseClass.DELIVERED:
            is_retry = (message.run, message.attempt) > (1, 1)
            change = await self.health.record_success(subscription, is_retry=is_retry)
        elif result.response_class is ResponseClass.FAILED:
            change = await self.health.record_failure(subscription, attempt.at_ms)
        return status, change
