"""Holds the lease of one shard for a pass, and the round-robin positions that are stored with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from aws_lambda_powertools import Logger

from poller.background import BackgroundTasks, in_thread
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.leases import RENEW_EVERY_MS, Leases, Position

logger = Logger(child=True)

T = TypeVar("T")

READ_WITHIN_S: Final = 2.0
"""How long a pass waits for what the one before it has stored."""

MISSED_AFTER_MS: Final = 90_000
"""How long nobody has held the lease if the schedule's last start came to nothing."""


@dataclass(slots=True)
class LeaseHolder:
    """The lease of one shard during one pass; `owner` is the invocation's request id.

    The poller before has polled its tasks until `handed_over_at_ms`, 0 if there was none. A pass `is_on_schedule` if it
    followed the one before it as the schedule has it.
    """

    shard: int
    owner: str
    leases: Leases
    executor: Executor | None
    clock: Callable[[], int]
    is_lost: bool = False
    handed_over_at_ms: int = 0
    is_on_schedule: bool = False
    renewals: BackgroundTasks = field(default_factory=BackgroundTasks)
    _renewed_at_ms: int = 0
    _positions: dict[str, Position] = field(default_factory=dict)
    _positions_at_ms: int = 0

    async def _call(self, call: Callable[..., T], *args: Any) -> T:
        return await in_thread(self.executor, call, self.shard, *args)

    async def _try(self, failed: str, call: Callable[..., T], *args: Any) -> T | None:
        """Return what a call returns, or None after a fault of AWS, which is logged as `failed`."""
        try:
            return await self._call(call, *args)
        except AWS_FAULTS as error:
            logger.warning(failed, shard=self.shard, error=code_of(error))
            return None

    async def take(self, *, take_over: bool) -> bool:
        """Take the lease; return False if another poller holds it and is not to be replaced."""
        now_ms = self.clock()
        if take_over:
            was_held = await self._call(self.leases.take_over, self.owner, now_ms)
            # The poller before has polled its tasks up to now: it goes on until it finds the lease lost.
            self.handed_over_at_ms = now_ms if was_held else 0
        elif not await self._call(self.leases.take_if_free, self.owner, now_ms):
            return False
        self._renewed_at_ms = now_ms
        return True

    async def note_start(self) -> bool:
        """Note the schedule's start without taking the lease; return whether that was done.

        It is not if a poller holds the lease, a start was missed, a provider is behind, or AWS is at fault.
        """
        noted = await self._try("start_not_noted", self.leases.note_start, self.clock(), MISSED_AFTER_MS)
        return noted is True

    async def read_positions(self, *, take_over: bool) -> dict[str, Position] | None:
        """Return the round-robin positions of the poller before, or None where they cannot be read."""
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                handover = await self._call(self.leases.handover)
        except (*AWS_FAULTS, TimeoutError) as error:
            logger.warning("lease_not_read", shard=self.shard, error=code_of(error))
            return None
        if take_over:
            self.is_on_schedule = self._renewed_at_ms - handover.until_ms <= MISSED_AFTER_MS
        self._positions = handover.positions
        return handover.positions

    def renew_when_due(self) -> None:
        """Begin a renewal every `RENEW_EVERY_MS`; `is_lost` follows with its answer."""
        now_ms = self.clock()
        if not self.renewals and now_ms - self._renewed_at_ms >= RENEW_EVERY_MS:
            self._renewed_at_ms = now_ms
            self.renewals.start(self._renew(now_ms))

    async def _renew(self, now_ms: int) -> None:
        if await self._try("lease_not_renewed", self.leases.renew, self.owner, now_ms) is False:
            self.is_lost = True

    async def release(self) -> None:
        """Release the lease; where that fails, it expires within seconds."""
        await self._try("lease_not_released", self.leases.give_up, self.owner, self.clock())

    def save_positions_when_due(
        self, read: Callable[[], dict[str, Position]], writes: BackgroundTasks
    ) -> None:
        """Begin a write of the round-robin positions every `RENEW_EVERY_MS`, where they have changed."""
        now_ms = self.clock()
        if now_ms - self._positions_at_ms < RENEW_EVERY_MS:
            return
        self._positions_at_ms = now_ms
        if (positions := read()) != self._positions:
            writes.start(self.save_positions(positions))

    async def save_positions(self, positions: dict[str, Position]) -> None:
        """Save the round-robin positions, where they have changed."""
        if positions != self._positions:
            self._positions = positions
            await self._try("positions_not_saved", self.leases.save_positions, self.owner, positions)
