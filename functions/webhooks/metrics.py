"""What the function says of its work: a log line for each message, and the metrics of the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from aws_lambda_powertools import Logger

from tunehook import metrics
from tunehook.deliveries import DeliveryStatus, is_progress
from tunehook.errors import InvalidInput, Unavailable
from webhooks.delivery import Step
from webhooks.subscription_health import Change

if TYPE_CHECKING:
    from webhooks.delivery import Outcome

logger = Logger(child=True)

_CHANGES: Final = {
    Change.FAILING: "SubscriptionsFailing",
    Change.WARNED: "SubscriptionsWarned",
    Change.DISABLED: "SubscriptionsDisabled",
}


class Metrics(metrics.Metrics):
    """Logs and counts what the messages of a batch led to, and writes the counts at its end."""

    SERVICE = "webhooks"
    LEAN: ClassVar = frozenset({"DeliveriesEnded", "DeliveriesGivenUp", "SubscriptionsDisabled"})

    def record(self, result: Outcome | Exception) -> bool:
        """Log and count what became of a message (see `Worker.handle`); return whether it is to come again.

        No URL, no header and no payload is logged.
        """
        if isinstance(result, InvalidInput):
            self.add("Messages", step="given_up")
            logger.error("message_given_up", reason=str(result))
            return False
        if isinstance(result, Exception):
            self.add("Messages", step="fault")
            if isinstance(result, Unavailable):
                logger.warning("message_comes_again", reason=str(result))
            else:
                logger.error("message_comes_again", reason=type(result).__name__, exc_info=result)
            return True
        self._count(result)
        _log(result)
        return False

    def _count(self, outcome: Outcome) -> None:
        self.add("Messages", step=outcome.step.value)
        if outcome.step is Step.CHECKED:
            return
        if outcome.change in _CHANGES:
            self.add(_CHANGES[outcome.change])
        ended = outcome.status if outcome.status is not DeliveryStatus.PENDING else None
        if is_progress(outcome.message.delivery_id):
            # It may be lost, which is no reason for an alarm.
            if ended is not None:
                self.add("ProgressEnded", status=ended.value)
            return
        if ended is not None:
            self.add("DeliveriesEnded", status=ended.value)
        if ended is DeliveryStatus.FAILED:
            self.add("DeliveriesGivenUp")
        delivery, attempt = outcome.delivery, outcome.attempt
        if attempt is None:
            return
        assert delivery is not None  # the attempt is one of it
        # By an error such as ``DeadlineExceeded``, or the class of a status such as ``5xx``.
        delivered = outcome.status is DeliveryStatus.DELIVERED
        error = attempt.error or ("none" if delivered else f"{(attempt.status_code or 0) // 100}xx")
        self.add("Attempts", outcome="delivered" if delivered else "failed", error=error)
        self.add("AttemptDuration", attempt.duration_ms)
        if attempt.run == attempt.attempt == 1:
            self.add("EventToFirstAttempt", max(attempt.at_ms - delivery.event_at_ms, 0))


def _log(outcome: Outcome) -> None:
    delivery, attempt = outcome.delivery, outcome.attempt
    # Of a wait of 20 hours there are 80 of these.
    write = logger.debug if outcome.step in (Step.SENT_ON, Step.HELD_BACK, Step.AWAITS_SLOT) else logger.info
    write(
        f"message_{outcome.step}",
        delivery_id=outcome.message.delivery_id,
        subscription_id=outcome.message.subscription_id,
        run=outcome.message.run,
        attempt=outcome.message.attempt,
        status=outcome.status,
        subscription=None if outcome.change is Change.NONE else outcome.change,
        task_id=delivery.task_id if delivery else None,
        provider=delivery.provider if delivery else None,
        status_code=attempt.status_code if attempt else None,
        error=attempt.error if attempt else None,
        duration_ms=attempt.duration_ms if attempt else None,
    )
