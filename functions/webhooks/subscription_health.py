"""How long a subscription has been failing: warned of, and disabled in the end.

Source: docs/webhook-contract.md, "Bookkeeping". The attempt that disables a subscription is a failed one, five days
after the first, so that first and last failure are always more than 12 h apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal

from tunehook.errors import Unavailable
from tunehook.events import SubscriptionDisabled, SubscriptionFailing
from tunehook.ids import digest
from tunehook.times import from_ms

if TYPE_CHECKING:
    from tunehook.aws.bus import EventBus
    from tunehook.aws.deliveries import DeliveriesTable
    from webhooks.subscription_cache import SubscriptionCache

FAILING_MS: Final = 5 * 24 * 3600 * 1000
"""How long every attempt must have failed until a subscription is disabled."""

WARNINGS: Final[tuple[Literal[50, 70, 90], ...]] = (50, 70, 90)
"""At how many per cent of that time it is warned of."""


class Change(StrEnum):
    """What an attempt changed about its subscription."""

    NONE = "none"
    FAILING = "failing"
    WARNED = "warned"
    WELL = "well"
    DISABLED = "disabled"


class SubscriptionHealth:
    """Keeps the books on subscriptions. They are written only where something changes.

    Parameters
    ----------
    subscriptions : SubscriptionCache
        The subscriptions.
    deliveries : DeliveriesTable
        What tells whether something was delivered after all.
    bus : EventBus
        Who is told.
    """

    def __init__(self, subscriptions: SubscriptionCache, deliveries: DeliveriesTable, bus: EventBus) -> None:
        self._subscriptions = subscriptions
        self._deliveries = deliveries
        self._bus = bus
        self._one_at_a_time = asyncio.Lock()

    async def delivered(self, item: Mapping[str, Any], *, again: bool) -> Change:
        """Note that an attempt has succeeded.

        Parameters
        ----------
        item : mapping
            The subscription as it was before the attempt, which may be 15 s old.
        again : bool
            Whether an attempt of the same delivery had failed before, maybe too lately for `item` to show it.
        """
        if "failing_since_ms" not in item and not again:
            return Change.NONE
        await asyncio.to_thread(self._subscriptions.clear_failing, str(item["subscription_id"]))
        return Change.WELL

    async def failed(self, item: Mapping[str, Any], at_ms: int) -> Change:
        """Note that an attempt has failed.

        Parameters
        ----------
        item : mapping
            The subscription as it was before the attempt, which may be 15 s old.
        at_ms : int
            When the attempt was made.

        Returns
        -------
        Change
            ``DISABLED`` if nothing is to be delivered any more.

        Raises
        ------
        Unavailable, botocore.exceptions.ClientError
            If the books could not be kept; the next failed attempt makes up for it.
        """
        subscription_id = str(item["subscription_id"])
        if "failing_since_ms" not in item:
            marked = await asyncio.to_thread(self._subscriptions.mark_failing, subscription_id, at_ms)
            # The item is as it was up to 15 s ago: another attempt may have been the first to fail.
            began = marked is not None and marked.get("failing_since_ms") == at_ms
            return Change.FAILING if began else Change.NONE
        if not _is_due(item, at_ms):
            return Change.NONE
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._act, subscription_id, at_ms)

    async def gone(self, item: Mapping[str, Any], at_ms: int, reason: str) -> Change:
        """Disable a subscription whose receiver wants no more."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._disable, str(item["subscription_id"]), at_ms, reason)

    def _act(self, subscription_id: str, at_ms: int) -> Change:
        found = self._subscriptions.fresh(subscription_id)
        item = {} if found is None else found.item
        if "failing_since_ms" not in item or not _is_due(item, at_ms):
            return Change.NONE
        since_ms = item["failing_since_ms"]
        # Another worker may have delivered without knowing that there was a failure to forget.
        if self._deliveries.delivered_since(subscription_id, since_ms):
            self._subscriptions.clear_failing(subscription_id)
            self._subscriptions.mark_failing(subscription_id, at_ms)
            return Change.FAILING
        if at_ms - since_ms >= FAILING_MS:
            return self._disable(subscription_id, at_ms, "every attempt has failed for 5 days")
        percent = next(each for each in reversed(WARNINGS) if at_ms >= _moment_ms(since_ms, each))
        # The event comes first: a crash in between says the same thing again, and loses nothing.
        self._emit(
            SubscriptionFailing(
                event_id=f"evt_{digest('SubscriptionFailing', subscription_id, str(since_ms), str(percent))}",
                subscription_id=subscription_id,
                failing_since=from_ms(since_ms),
                percent=percent,
                disabled_at=from_ms(since_ms + FAILING_MS),
            )
        )
        self._subscriptions.mark_warned(subscription_id, _moment_ms(since_ms, percent))
        return Change.WARNED

    def _disable(self, subscription_id: str, at_ms: int, reason: str) -> Change:
        item = self._subscriptions.mark_failing(subscription_id, at_ms)
        if item is None:
            return Change.NONE
        since_ms = item.get("failing_since_ms", at_ms)
        self._emit(
            SubscriptionDisabled(
                event_id=f"evt_{digest('SubscriptionDisabled', subscription_id, str(since_ms))}",
                subscription_id=subscription_id,
                disabled_at=from_ms(at_ms),
                failing_since=from_ms(since_ms),
                reason=reason,
            )
        )
        self._subscriptions.disable(subscription_id, reason)
        return Change.DISABLED

    def _emit(self, event: SubscriptionFailing | SubscriptionDisabled) -> None:
        if not all(self._bus.put([event])):
            raise Unavailable(f"the bus did not take {type(event).__name__}")


def _moment_ms(since_ms: int, percent: int) -> int:
    return since_ms + FAILING_MS * percent // 100


def _is_due(item: Mapping[str, Any], at_ms: int) -> bool:
    """Return whether a warning that has not been given, or the end, has come."""
    since_ms = item["failing_since_ms"]
    passed = [
        moment
        for moment in (*(_moment_ms(since_ms, percent) for percent in WARNINGS), since_ms + FAILING_MS)
        if moment <= at_ms
    ]
    return bool(passed) and passed[-1] > item.get("failing_warned_ms", 0)
