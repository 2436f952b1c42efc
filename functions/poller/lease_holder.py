"""A pass's hold on its shard: the lease, and what one pass leaves to the next by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aws_lambda_powertools import Logger

from poller.under_way import Group, Single, Upkeep
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.leases import RENEW_EVERY_MS, Leases, Left, Place

logger = Logger(child=True)

LEFT_WITHIN_S: Final = 2.0
"""How long a pass waits to learn what the one before it has left."""

MISSED_AFTER_MS: Final = 90_000
"""How long nobody has held the lease if the schedule's last start came to nothing."""


class LeaseHolder:
    """The lease of one shard, as one pass has it.

    Parameters
    ----------
    shard : int
    owner : str
        Who holds the lease: the invocation's request id.
    leases : Leases
        The table.
    upkeep : Upkeep
        Makes the calls.
    clock : callable
        Returns the present moment in milliseconds since 1970.
    """

    def __init__(
        self, shard: int, owner: str, leases: Leases, upkeep: Upkeep, clock: Callable[[], int]
    ) -> None:
        self._shard = shard
        self._owner = owner
        self._leases = leases
        self._upkeep = upkeep
        self._clock = clock
        self._renewed_at_ms = 0
        self._noted: dict[str, Place] = {}
        self._noted_at_ms = 0
        self.under_way = Group()
        self.renewing: Single[bool] = Single(self.under_way)
        self.is_lost = False
        """Whether another poller has taken over, as far as is known."""

        self.handed_over_at_ms = 0
        """Up to when the poller before this one has looked after its tasks; 0 if there was none."""

        self.is_in_time = False
        """Whether the start of this pass followed the one before it as the schedule has it."""

    async def take(self, *, take_over: bool) -> bool:
        """Take the lease; return False if another poller holds it and it was not to be taken over."""
        now_ms = self._clock()
        if take_over:
            was_held = await self._upkeep(self._leases.take_over, self._shard, self._owner, now_ms)
            # The poller before goes on asking until it misses the lease: its tasks are looked after up to now.
            self.handed_over_at_ms = now_ms if was_held else 0
        elif not await self._upkeep(self._leases.take_if_free, self._shard, self._owner, now_ms):
            return False
        self._renewed_at_ms = now_ms
        return True

    async def left(self, *, take_over: bool) -> dict[str, Place] | None:
        """Return with whom the poller before would have gone on, or None where that cannot be read."""
        try:
            async with asyncio.timeout(LEFT_WITHIN_S):
                left: Left = await self._upkeep(self._leases.left, self._shard)
        except (*AWS_FAULTS, TimeoutError) as error:
            logger.warning("lease_not_read", shard=self._shard, error=code_of(error))
            return None
        if take_over:
            self.is_in_time = self._renewed_at_ms - left.until_ms <= MISSED_AFTER_MS
        self._noted = left.behind
        return left.behind

    def renew(self) -> None:
        """Hold the lease for longer, when it is time; who took it over becomes known with the answer."""
        now_ms = self._clock()
        if self.renewing.task is None and now_ms - self._renewed_at_ms >= RENEW_EVERY_MS:
            self._renewed_at_ms = now_ms
            self.renewing.begin(lambda: self._renew(now_ms))

    async def _renew(self, now_ms: int) -> bool:
        try:
            is_ours = await self._upkeep(self._leases.renew, self._shard, self._owner, now_ms)
        except AWS_FAULTS as error:
            logger.warning("lease_not_renewed", shard=self._shard, error=code_of(error))
            return True
        self.is_lost |= not is_ours
        return is_ours

    async def give_up(self) -> None:
        """Let the lease go."""
        try:
            await self._upkeep(self._leases.give_up, self._shard, self._owner, self._clock())
        except AWS_FAULTS as error:
            # It ends by itself within seconds.
            logger.warning("lease_not_given_up", shard=self._shard, error=code_of(error))

    def leave(self, behind: Callable[[], dict[str, Place]], settling: Group) -> None:
        """Leave to the next pass with whom to go on, where a provider has more tasks due than turns, and it is time."""
        now_ms = self._clock()
        if now_ms - self._noted_at_ms < RENEW_EVERY_MS:
            return
        self._noted_at_ms = now_ms
        if (noted := behind()) != self._noted:
            self._noted = noted
            settling.start(self._leave(noted))

    async def _leave(self, behind: dict[str, Place]) -> None:
        try:
            await self._upkeep(self._leases.note_behind, self._shard, self._owner, behind)
        except AWS_FAULTS as error:
            logger.warning("behind_not_noted", shard=self._shard, error=code_of(error))
