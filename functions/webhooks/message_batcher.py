"""Messages of one moment are sent to the deliveries queue in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tunehook.aws.deliveries import BATCH_MAX

if TYPE_CHECKING:
    from tunehook.aws.deliveries import DeliveriesQueue
    from tunehook.deliveries import DeliveryMessage

GATHERED_S: Final = 0.005
"""How long a message waits for others; of a batch whose receiver hangs, most come in the same moment."""


class MessageBatcher:
    """Sends messages to the deliveries queue, up to ten in one call."""

    def __init__(self, queue: DeliveriesQueue, now_ms: Callable[[], int]) -> None:
        self._queue = queue
        self._now_ms = now_ms
        self._gathering: list[DeliveryMessage] = []
        self._sending: asyncio.Task[None] | None = None

    async def send(self, message: DeliveryMessage) -> None:
        """Send a message that comes when it is due, and return when the queue has it.

        Raises
        ------
        Unavailable, botocore.exceptions.ClientError
            If the queue did not take it, or another one that went with it; both come again then.
        """
        if self._sending is None or len(self._gathering) == BATCH_MAX:
            self._gathering = []
            self._sending = asyncio.create_task(self._send(self._gathering))
        self._gathering.append(message)
        await self._sending

    async def _send(self, messages: list[DeliveryMessage]) -> None:
        await asyncio.sleep(GATHERED_S)
        if self._gathering is messages:
            self._sending = None
        await self._queue.send_batch(messages, self._now_ms())
