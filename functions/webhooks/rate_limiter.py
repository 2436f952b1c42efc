"""Slots for the attempts of limited subscriptions, which all workers share: no more begin than the limit allows.

An attempt begins in a slot that was reserved for it. The messages of one moment reserve theirs in one write. A slot
that lies ahead is waited for on the queue, and the message comes with it; one that was missed is reserved anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tunehook.deliveries import Slot
from tunehook.errors import Unavailable
from webhooks.message_batcher import GATHERED_S

if TYPE_CHECKING:
    from tunehook.aws.send_slots import SendSlots
    from tunehook.rate_limits import RateLimit
    from webhooks.subscription_cache import SubscriptionCache

_CHANGES: Final = 3
"""How often at most a limit is read anew for one reservation."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A slot under a limit; without `slot` there is none to be had in time, and without `limit` none is needed."""

    limit: RateLimit | None
    slot: Slot | None = None


@dataclass(slots=True)
class RateLimiter:
    """Reserves slots, by the limits of subscriptions as they are now."""

    slots: SendSlots
    subscriptions: SubscriptionCache
    now_ms: Callable[[], int]
    _gathering: dict[tuple[str, RateLimit], list[int]] = field(default_factory=dict)
    _reserving: dict[tuple[str, RateLimit], asyncio.Task[list[Reservation]]] = field(default_factory=dict)

    async def reserve(self, subscription_id: str, limit: RateLimit, latest_ms: int) -> Reservation:
        """Reserve a slot for an attempt, which is of no use after `latest_ms`.

        Raises
        ------
        Unavailable, botocore.exceptions.ClientError
            If none could be reserved, for this or another message of the same moment; each comes again then.
        """
        key = (subscription_id, limit)
        if key not in self._gathering:
            self._gathering[key] = []
            self._reserving[key] = asyncio.create_task(self._reserve(key))
        gathered = self._gathering[key]
        gathered.append(latest_ms)
        number = len(gathered) - 1
        return (await self._reserving[key])[number]

    async def _reserve(self, key: tuple[str, RateLimit]) -> list[Reservation]:
        await asyncio.sleep(GATHERED_S)
        latest_ms = self._gathering.pop(key)
        del self._reserving[key]
        return await asyncio.to_thread(self._reserve_now, *key, latest_ms)

    def _reserve_now(self, subscription_id: str, limit: RateLimit, latest_ms: list[int]) -> list[Reservation]:
        former = None
        for _ in range(_CHANGES):
            reserved = self.slots.reserve(subscription_id, limit, latest_ms, self.now_ms(), former=former)
            if reserved.former is None:
                return [
                    Reservation(limit, None if each is None else Slot.at(each, limit))
                    for each in reserved.at_us
                ]
            # This worker or the one that reserved may know the subscription as it was 15 s ago.
            former, subscription = reserved.former, self.subscriptions.fresh(subscription_id)
            present = None if subscription is None else subscription.rate_limit
            if present is None:
                return [Reservation(None)] * len(latest_ms)
            limit = present
        raise Unavailable("the limit was changed each time")
