"""What the function tells about its work: a log line and a few figures for each message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_lambda_powertools.metrics import MetricUnit

from tunehook.deliveries import DeliveryStatus
from tunehook.errors import Unavailable

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger, Metrics

    from webhooks.delivery import Outcome


def report(outcome: Outcome | BaseException, logger: Logger, metrics: Metrics) -> None:
    """Log and count what became of a message; no URL, no header and no payload among it.

    Raises
    ------
    BaseException
        The fault that `outcome` is, if it is one: the message is to come again.
    """
    if isinstance(outcome, BaseException):
        _report_fault(outcome, logger, metrics)
        raise outcome
    delivery, attempt = outcome.delivery, outcome.attempt
    logger.info(
        f"message_{outcome.step}",
        extra={
            "delivery_id": outcome.message.delivery_id,
            "subscription_id": outcome.message.subscription_id,
            "task_id": delivery.task_id if delivery else None,
            "provider": delivery.provider if delivery else None,
            "run": outcome.message.run,
            "attempt": outcome.message.attempt,
            "status": outcome.status,
            "status_code": attempt.status_code if attempt else None,
            "error": attempt.error if attempt else None,
            "duration_ms": attempt.duration_ms if attempt else None,
        },
    )
    if delivery is None or attempt is None:
        return
    delivered = outcome.status is DeliveryStatus.DELIVERED
    metrics.add_metric("AttemptsDelivered" if delivered else "AttemptsFailed", MetricUnit.Count, 1)
    metrics.add_metric("AttemptDuration", MetricUnit.Milliseconds, attempt.duration_ms)
    if outcome.status is DeliveryStatus.FAILED:
        metrics.add_metric("DeliveriesGivenUp", MetricUnit.Count, 1)
    if attempt.run == attempt.attempt == 1:
        delay_ms = max(attempt.at_ms - delivery.event_at_ms, 0)
        metrics.add_metric("EventToFirstAttempt", MetricUnit.Milliseconds, delay_ms)


def _report_fault(fault: BaseException, logger: Logger, metrics: Metrics) -> None:
    metrics.add_metric("MessagesComingAgain", MetricUnit.Count, 1)
    if isinstance(fault, Unavailable):
        logger.warning("message_comes_again", extra={"reason": str(fault)})
    else:
        logger.error("message_comes_again", extra={"reason": type(fault).__name__}, exc_info=fault)
