"""One message of the deliveries queue: claim its attempt, make it, record it, arrange the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tunehook.aws.deliveries import Claim, DeliveriesQueue, DeliveriesTable
from tunehook.deliveries import Attempt, Delivery, DeliveryMessage, DeliveryStatus, message_for
from tunehook.errors import Unavailable
from webhooks.attempt import ATTEMPT_S, Result, Sender
from webhooks.schedule import next_attempt_at_ms
from webhooks.verdict import Verdict

if TYPE_CHECKING:
    from webhooks.subscriptions import Subscriptions

EARLY_MS: Final = 100
"""Clocks differ: a message that is early by less than this is due."""

RESERVE_MS: Final = 5_000
"""What must be left of the function's time, beside the attempt's own, to record it."""


class Step(StrEnum):
    """What a message led to.

    ``ATTEMPTED``: an attempt. ``SENT_ON``: it came early. ``SENT_AGAIN``: its attempt had been recorded, so the next
    message was sent once more. ``DROPPED``: its delivery has ended or is gone. ``WITHDRAWN``: there is no enabled
    subscription any more, which ended the delivery.
    """

    ATTEMPTED = "attempted"
    SENT_ON = "sent_on"
    SENT_AGAIN = "sent_again"
    DROPPED = "dropped"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a message: the step, the delivery as it was before, and what an attempt came to."""

    step: Step
    message: DeliveryMessage
    delivery: Delivery | None = None
    attempt: Attempt | None = None
    status: DeliveryStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliverer:
    """Does what the messages of the deliveries queue ask for.

    Attributes
    ----------
    deliveries, queue, subscriptions
        The tables and the queue.
    sender : Sender
        Makes the attempts.
    master_secret : callable
        Returns the deployment's master secret.
    now_ms : callable
        The wall clock, in milliseconds since 1970.
    jitter : callable
        Numbers from 0 to 1, for the schedule.
    remaining_ms : callable
        How much is left of the function's time.
    """

    deliveries: DeliveriesTable
    queue: DeliveriesQueue
    subscriptions: Subscriptions
    sender: Sender
    master_secret: Callable[[], str]
    now_ms: Callable[[], int]
    jitter: Callable[[], float]
    remaining_ms: Callable[[], int]

    async def handle(self, message: DeliveryMessage) -> Outcome:
        """Do what a message asks for.

        A fault of ours is raised, and the message comes again: it uses up no attempt.

        Parameters
        ----------
        message : DeliveryMessage
            The message.

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
        if message.due_at_ms - now_ms > EARLY_MS:
            await asyncio.to_thread(self.queue.send, message, now_ms)
            return Outcome(step=Step.SENT_ON, message=message)
        master_secret = await asyncio.to_thread(self.master_secret)
        claim, delivery = await asyncio.to_thread(self.deliveries.claim, message, now_ms)
        if claim is Claim.BUSY:
            raise Unavailable("another worker is making this attempt")
        if claim is Claim.OVER or delivery is None:
            return Outcome(step=Step.DROPPED, message=message, delivery=delivery)
        if claim is Claim.RECORDED:
            await asyncio.to_thread(self.queue.send, message_for(delivery), now_ms)
            return Outcome(step=Step.SENT_AGAIN, message=message, delivery=delivery)
        return await self._attempt(message, delivery, master_secret)

    async def _attempt(self, message: DeliveryMessage, delivery: Delivery, master_secret: str) -> Outcome:
        subscription = None
        if delivery.url is None:
            subscription = await asyncio.to_thread(self.subscriptions.get, delivery.subscription_id)
            if subscription is None or subscription.get("enabled") is False:
                reason = "subscription deleted" if subscription is None else "subscription disabled"
                await self._record(message, DeliveryStatus.ABORTED, reason=reason)
                return Outcome(
                    step=Step.WITHDRAWN, message=message, delivery=delivery, status=DeliveryStatus.ABORTED
                )
        if self.remaining_ms() < ATTEMPT_S * 1000 + RESERVE_MS:
            raise Unavailable("too little time is left for an attempt")
        result = await self.sender.attempt(delivery, subscription, master_secret, self.now_ms())
        status = await self._settle(message, delivery, result)
        return Outcome(
            step=Step.ATTEMPTED, message=message, delivery=delivery, attempt=result.attempt, status=status
        )

    async def _settle(self, message: DeliveryMessage, delivery: Delivery, result: Result) -> DeliveryStatus:
        match result.verdict:
            case Verdict.DELIVERED:
                return await self._record(message, DeliveryStatus.DELIVERED, result.attempt)
            case Verdict.ABORTED:
                return await self._record(
                    message, DeliveryStatus.ABORTED, result.attempt, reason="refused by the receiver"
                )
            case Verdict.GONE:
                reason = f"the receiver asked for no more ({result.attempt.status_code})"
                # First, so that a crash in between leads to the same end.
                if delivery.url is None:
                    await asyncio.to_thread(self.subscriptions.disable, delivery.subscription_id, reason)
                return await self._record(message, DeliveryStatus.FAILED, result.attempt, reason=reason)
            case Verdict.FAILED:
                return await self._try_again(message, result)

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
        await asyncio.to_thread(self.queue.send, following, now_ms)
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
        recorded = await asyncio.to_thread(
            self.deliveries.record,
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
