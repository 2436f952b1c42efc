"""One message of the deliveries queue: claim its attempt, make it, record it, arrange the next.

A message may come twice, too early, or after its attempt was made, and the process may die between any two calls. So
the record is written before the next message is sent, every write holds for the very attempt that it is made for, and
what a message asks for is done only where the record says that it is still to be done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tunehook.aws.deliveries import CLAIM_MS, Claim
from tunehook.deliveries import Attempt, Delivery, DeliveryMessage, DeliveryStatus, message_for
from tunehook.errors import Unavailable
from tunehook.signatures import NOTIFY_HOOK_PREFIX
from webhooks.attempt import ATTEMPT_S, Result, Sender
from webhooks.circuit_breaker import Admission, CircuitBreaker, gate_of
from webhooks.message_batcher import MessageBatcher
from webhooks.policy import ResponseClass, next_attempt_at_ms
from webhooks.records import Records
from webhooks.secret import MasterSecret
from webhooks.subscription_health import Change, SubscriptionHealth

if TYPE_CHECKING:
    from webhooks.subscription_cache import Subscribed, SubscriptionCache

EARLY_MS: Final = 100
"""Clocks differ: a message that is early by less than this is due."""

FURTHEST_AHEAD_MS: Final = 48 * 3600 * 1000
"""No attempt is further ahead than that: 24 h, with jitter. What says so was written by a clock that was wrong."""

RECORDING_MS: Final = 2_000
"""How much of a claim is kept for the record of the attempt."""

RESERVE_MS: Final = 5_000
"""What must be left of the function's time, beside the attempt's own, to record it."""


class Step(StrEnum):
    """What a message led to.

    ``ATTEMPTED``: an attempt. ``SENT_ON``: it came early. ``HELD_BACK``: its receiver hangs, or nobody knows yet
    whether it does, so it was sent on; that uses up no attempt. ``SENT_AGAIN``: its attempt had been recorded by a
    worker that may have died before it sent the next message, so that was sent once more. ``DROPPED``: its delivery
    has ended or is gone, or it is a duplicate of a message that is done. ``WITHDRAWN``: there is no enabled
    subscription any more, which ended the delivery.
    """

    ATTEMPTED = "attempted"
    SENT_ON = "sent_on"
    HELD_BACK = "held_back"
    SENT_AGAIN = "sent_again"
    DROPPED = "dropped"
    WITHDRAWN = "withdrawn"


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

    Attributes
    ----------
    records : Records
        The deliveries.
    subscriptions : SubscriptionCache
        The subscriptions.
    outbox : MessageBatcher
        Where messages for later go.
    breaker : CircuitBreaker
        Says to whom an attempt may be made now.
    health : SubscriptionHealth
        Keeps the books on subscriptions.
    sender : Sender
        Makes the attempts.
    master_secret : MasterSecret
        The deployment's master secret.
    now_ms : callable
        The wall clock, in milliseconds since 1970.
    jitter : callable
        Numbers from 0 to 1, for the schedule.
    remaining_ms : callable
        How much is left of the function's time.
    """

    records: Records
    outbox: MessageBatcher
    subscriptions: SubscriptionCache
    breaker: CircuitBreaker
    health: SubscriptionHealth
    sender: Sender
    master_secret: MasterSecret
    now_ms: Callable[[], int]
    jitter: Callable[[], float]
    remaining_ms: Callable[[], int]

    async def handle(self, message: DeliveryMessage, receive_count: int = 1) -> Outcome:
        """Do what a message asks for.

        A fault of ours is raised, and the message comes again: it uses up no attempt.

        Parameters
        ----------
        message : DeliveryMessage
            The message.
        receive_count : int
            How often the queue has handed this very message over, this time included.

        Returns
        -------
        Outcome
            What became of it.

        Raises
        ------
        Unavailable
            If another worker is making this attempt, or too little time is left for it.
        botocore.exceptions.ClientError
            If AWS did not do its part.
        """
        now_ms = self.now_ms()
        if EARLY_MS < message.due_at_ms - now_ms <= FURTHEST_AHEAD_MS:
            await self.outbox.send(message)
            return Outcome(step=Step.SENT_ON, message=message)
        admission = await self.breaker.admit(await self._gate(message))
        if admission.wait_until_ms is not None:
            later = message.model_copy(update={"due_at_ms": admission.wait_until_ms})
            await self.outbox.send(later)
            return Outcome(step=Step.HELD_BACK, message=message)
        answered = None
        try:
            outcome, answered = await self._claimed(message, receive_count, admission)
        finally:
            await self.breaker.settle(admission, answered=answered)
        return outcome

    async def _gate(self, message: DeliveryMessage) -> str:
        if message.subscription_id.startswith(NOTIFY_HOOK_PREFIX):
            return message.subscription_id
        known, subscription = self.subscriptions.cached(message.subscription_id)
        if not known:
            subscription = await asyncio.to_thread(self.subscriptions.get, message.subscription_id)
        return gate_of(message.subscription_id, None if subscription is None else subscription.item)

    async def _claimed(
        self, message: DeliveryMessage, receive_count: int, admission: Admission
    ) -> tuple[Outcome, bool | None]:
        master_secret = await self.master_secret.get()
        if self.remaining_ms() < ATTEMPT_S * 1000 + RESERVE_MS:
            raise Unavailable("too little time is left for an attempt")
        now_ms = self.now_ms()
        claim, delivery = await self.records.claim(message, now_ms)
        if claim is Claim.BUSY:
            raise Unavailable("another worker is making this attempt")
        if claim is Claim.TAKEN and self.now_ms() - now_ms > CLAIM_MS - ATTEMPT_S * 1000 - RECORDING_MS:
            # It counts from when it was asked for: by the end of an attempt it might be another worker's.
            raise Unavailable("the claim was answered too late for an attempt")
        if claim is Claim.OVER or delivery is None:
            return Outcome(step=Step.DROPPED, message=message, delivery=delivery), None
        if claim is Claim.RECORDED and receive_count == 1:
            # Nobody has had this message before, so nobody died over it: whoever recorded sent the next one.
            return Outcome(step=Step.DROPPED, message=message, delivery=delivery), None
        if claim is Claim.RECORDED:
            await self.outbox.send(message_for(delivery))
            return Outcome(step=Step.SENT_AGAIN, message=message, delivery=delivery), None
        subscription = None
        if delivery.url is None:
            known, subscription = self.subscriptions.cached(delivery.subscription_id)
            if not known:
                subscription = await asyncio.to_thread(self.subscriptions.get, delivery.subscription_id)
            if known and (subscription is None or subscription.is_disabled):
                # It may have been enabled since: what it was sent for must not end by what was true before.
                subscription = await asyncio.to_thread(self.subscriptions.fresh, delivery.subscription_id)
            if subscription is None or subscription.is_disabled:
                return await self._withdraw(message, delivery, subscription), None
        result = await self.sender.attempt(delivery, subscription, master_secret, self.now_ms())
        # Where the URL was changed since the message was let in, the answer is another receiver's.
        is_same = (
            gate_of(message.subscription_id, None if subscription is None else subscription.item)
            == admission.receiver
        )
        answered = result.answered if is_same else None
        self.breaker.note(admission, answered=answered)
        outcome = await self._settle(message, delivery, subscription, result)
        return outcome, answered

    async def _withdraw(
        self, message: DeliveryMessage, delivery: Delivery, subscription: Subscribed | None
    ) -> Outcome:
        reason = "subscription deleted" if subscription is None else "subscription disabled"
        await self._record(message, DeliveryStatus.ABORTED, reason=reason)
        return Outcome(step=Step.WITHDRAWN, message=message, delivery=delivery, status=DeliveryStatus.ABORTED)

    async def _settle(
        self,
        message: DeliveryMessage,
        delivery: Delivery,
        subscription: Subscribed | None,
        result: Result,
    ) -> Outcome:
        """Record an attempt, arrange the next, then keep the books on the subscription, which can be made up for."""
        at_ms = result.attempt.at_ms
        change = Change.NONE
        match result.response_class:
            case ResponseClass.DELIVERED:
                status = await self._record(message, DeliveryStatus.DELIVERED, result.attempt)
                if subscription is not None:
                    again = (message.run, message.attempt) > (1, 1)
                    change = await self.health.delivered(subscription.item, again=again)
            case ResponseClass.ABORTED:
                status = await self._record(
                    message, DeliveryStatus.ABORTED, result.attempt, reason="refused by the receiver"
                )
            case ResponseClass.GONE:
                reason = f"the receiver asked for no more ({result.attempt.status_code})"
                # First, so that a crash in between leads to the same end.
                if subscription is not None:
                    change = await self.health.gone(subscription.item, at_ms, reason)
                status = await self._record(message, DeliveryStatus.FAILED, result.attempt, reason=reason)
            case ResponseClass.FAILED:
                status = await self._try_again(message, result)
                if subscription is not None:
                    change = await self.health.failed(subscription.item, at_ms)
        return Outcome(
            step=Step.ATTEMPTED,
            message=message,
            delivery=delivery,
            attempt=result.attempt,
            status=status,
            change=change,
        )

    async def _try_again(self, message: DeliveryMessage, result: Result) -> DeliveryStatus:
        now_ms = self.now_ms()
        due_at_ms = next_attempt_at_ms(
            message.attempt, now_ms, jitter=self.jitter(), retry_after=result.retry_after
        )
        if due_at_ms is None:
            return await self._record(
                message, DeliveryStatus.FAILED, result.attempt, reason="all attempts failed"
            )
        await self._record(message, DeliveryStatus.PENDING, result.attempt, next_attempt_at_ms=due_at_ms)
        following = message.model_copy(update={"attempt": message.attempt + 1, "due_at_ms": due_at_ms})
        await self.outbox.send(following)
        return DeliveryStatus.PENDING

    async def _record(
        self,
        message: DeliveryMessage,
        status: DeliveryStatus,
        attempt: Attempt | None = None,
        *,
        next_attempt_at_ms: int | None = None,
        reason: str | None = None,
    ) -> DeliveryStatus:
        recorded = await self.records.record(
            message,
            status=status,
            attempt=attempt,
            next_attempt_at_ms=next_attempt_at_ms,
            reason=reason,
        )
        if not recorded:
            # It took longer than its claim. The message comes again and finds what the other worker recorded.
            raise Unavailable("another worker has recorded this attempt")
        return status
