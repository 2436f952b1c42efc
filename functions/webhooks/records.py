"""The records of deliveries, for an event loop: each call of the table waits in a thread."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunehook.aws.deliveries import Claim, DeliveriesTable
    from tunehook.deliveries import Attempt, Delivery, DeliveryMessage, DeliveryStatus


class Records:
    """The Deliveries table.

    Parameters
    ----------
    table : DeliveriesTable
        The table.
    """

    def __init__(self, table: DeliveriesTable) -> None:
        self._table = table

    async def claim(self, message: DeliveryMessage, now_ms: int) -> tuple[Claim, Delivery | None]:
        """See `tunehook.aws.deliveries.DeliveriesTable.claim`."""
        return await asyncio.to_thread(self._table.claim, message, now_ms)

    async def record(
        self,
        message: DeliveryMessage,
        *,
        status: DeliveryStatus,
        attempt: Attempt | None = None,
        next_attempt_at_ms: int | None = None,
        reason: str | None = None,
    ) -> bool:
        """See `tunehook.aws.deliveries.DeliveriesTable.record`."""
        return await asyncio.to_thread(
            self._table.record,
            message,
            status=status,
            attempt=attempt,
            next_attempt_at_ms=next_attempt_at_ms,
            reason=reason,
        )
