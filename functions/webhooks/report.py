"""What the function tells about its work: a log line for each message, and the figures of the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tunehook.errors import Unavailable
from tunehook.metrics import Observability
from webhooks.delivery import Step
from webhooks.metrics import Metrics
from webhooks.subscription_health import Change
from webhooks.worker import GivenUp

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from webhooks.delivery import Outcome

_ON_THEIR_WAY: Final = (Step.SENT_ON, Step.HELD_BACK)


class Report:
    """Tells what became of the messages of a batch; no URL, no header and no payload among it.

    Parameters
    ----------
    logger : Logger
        Where the lines go.
    observability : Observability, optional
        How much the figures tell.
    """

    def __init__(self, logger: Logger, observability: Observability = Observability.FULL) -> None:
        self._logger = logger
        self._figures = Metrics(observability)

    def add(self, outcome: Outcome | GivenUp | BaseException) -> bool:
        """Log and count what became of a message; return whether it is to come again."""
        if isinstance(outcome, BaseException):
            self._fault(outcome)
            return True
        if isinstance(outcome, GivenUp):
            self._figures.given_up()
            self._logger.error("message_given_up", extra={"reason": str(outcome.error)})
            return False
        self._figures.outcome(outcome)
        delivery, attempt = outcome.delivery, outcome.attempt
        # Of a wait of 20 hours there are 80 of these.
        write = self._logger.debug if outcome.step in _ON_THEIR_WAY else self._logger.info
        write(
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
                "subscription": None if outcome.change is Change.NONE else outcome.change,
            },
        )
        return False

    def tell(self) -> None:
        """Write the figures of the batch."""
        self._figures.tell()

    def _fault(self, fault: BaseException) -> None:
        self._figures.fault()
        if isinstance(fault, Unavailable):
            self._logger.warning("message_comes_again", extra={"reason": str(fault)})
        else:
            self._logger.error("message_comes_again", extra={"reason": type(fault).__name__}, exc_info=fault)
