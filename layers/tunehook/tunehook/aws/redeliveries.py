"""A redelivery: a new run of the whole schedule with the same ``webhook-id``.

Source: docs/webhook-contract.md, "Bookkeeping". As everywhere, the record is written before the message is sent.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from tunehook.deliveries import Attempt, Delivery, DeliveryStatus, message_for

if TYPE_CHECKING:
    from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable

OVERDUE_MS: Final = 60_000
"""By so much an attempt must be late until its message counts as lost: longer than a worker holds a claim."""

EXCERPTS_KEPT: Final = 10
"""Of so many attempts before a new run the answers are kept: with a long payload, more would pass DynamoDB's 400 kB."""


class Redelivery(Enum):
    """What became of a wish to redeliver.

    ``STARTED``: a new run has begun. ``SENT_AGAIN``: the delivery is pending and its attempt overdue, so its
    message was sent once more; if the first one comes after all, nothing is attempted twice. ``PENDING``: its
    present run goes on, and a second one beside it would double it. ``UNKNOWN``: there is no such delivery.
    """

    STARTED = auto()
    SENT_AGAIN = auto()
    PENDING = auto()
    UNKNOWN = auto()


class Redeliveries:
    """Begins new runs.

    Parameters
    ----------
    table : DeliveriesTable
        The deliveries.
    queue : DeliveriesQueue
        Where the message for the first attempt goes.
    """

    def __init__(self, table: DeliveriesTable, queue: DeliveriesQueue) -> None:
        self._table = table
        self._queue = queue

    def begin(self, delivery_id: str, now_ms: int) -> tuple[Redelivery, Delivery | None]:
        """Begin a new run of a delivery that has ended; its first attempt is due now.

        Parameters
        ----------
        delivery_id : str
            Which delivery.
        now_ms : int
            The present moment.

        Returns
        -------
        redelivery : Redelivery
            What became of it.
        delivery : Delivery or None
            The record as it stands now; None if there is none.
        """
        delivery = self._table.get(delivery_id)
        if delivery is None:
            return Redelivery.UNKNOWN, None
        if delivery.status is DeliveryStatus.PENDING:
            due_at_ms = delivery.next_attempt_at_ms or delivery.created_at_ms
            if now_ms - due_at_ms < OVERDUE_MS:
                return Redelivery.PENDING, delivery
            self._queue.send(message_for(delivery), now_ms)
            return Redelivery.SENT_AGAIN, delivery
        begun = self._table.begin_run(delivery, _kept(delivery.attempts), now_ms)
        if begun is None:
            # Somebody else was faster, and has begun the run that this one would have been.
            return Redelivery.PENDING, self._table.get(delivery_id)
        self._queue.send(message_for(begun), now_ms)
        return Redelivery.STARTED, begun


def _kept(attempts: tuple[Attempt, ...]) -> list[Attempt]:
    older, latest = attempts[:-EXCERPTS_KEPT], attempts[-EXCERPTS_KEPT:]
    return [*(each.model_copy(update={"excerpt": None}) for each in older), *latest]


def withdrawn(delivery: Delivery) -> bool:
    """Return whether a delivery was given up because its subscription was disabled or deleted, not by its receiver."""
    if delivery.status is not DeliveryStatus.ABORTED:
        return False
    # A receiver that refuses a delivery does so in answer to the attempt that the record names as the next.
    return not any(
        (each.run, each.attempt) == (delivery.run, delivery.next_attempt) for each in delivery.attempts
    )
