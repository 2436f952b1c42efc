"""How long a subscription has been failing: warned of, and disabled in the end.

Source: docs/webhook-contract.md, "Bookkeeping". The attempt that disables a subscription is a failed one, five days or
more after the first, so that first and last failure are always more than 12 h apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal

from tunehook.errors import Unavailable
from tunehook.events import SubscriptionDisabled, SubscriptionFailing
from tunehook.ids import digest
from tunehook.schedules import WAITS_S, failing_ms
from tunehook.times import from_ms

if TYPE_CHECKING:
    from tunehook.aws.bus import EventBus
    from tunehook.aws.deliveries import DeliveriesTable
    from webhooks.subscription_cache import Subscribed, SubscriptionCache

FAILING_MS: Final = failing_ms(WAITS_S)
"""How long every attempt must have failed until a subscription is disabled, unless its own schedule is longer."""

WARNINGS: Final[tuple[Literal[50, 70, 90], ...]] = (50, 70, 90)
"""At how many per cent of that time it is warned of."""

_DAY_MS: Final = 24 * 3600 * 1000


class Change(StrEnum):
    """What an attempt changed about its subscription."""

    NONE = "none"
    FAILING = "failing"
    WARNED = "warned"
    WELL = "well"
    DISABLED = "disabled"


@dataclass(slots=True)
class SubscriptionHealth:
    """Records successes and failures on subscriptions, which are written only where something changes.

    Each method takes the subscription as it was before the attempt, which may be 15 s old, or None for a task's own
    hook, of which nothing is recorded. It raises `Unavailable` or an error of boto3 where nothing could be recorded;
    the next failed attempt makes up for it.
    """

    subscriptions: SubscriptionCache
    deliveries: DeliveriesTable
    bus: EventBus
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def record_success(self, subscription: Subscribed | None, *, is_retry: bool) -> Change:
        """Record a success. That of a retry followed a failure, which may be too late for `subscription` to show it."""
        if subscription is None or not (is_retry or "failing_since_ms" in subscription.item):
            return Change.NONE
        await asyncio.to_thread(self.subscriptions.clear_failing, subscription.subscription_id)
        return Change.WELL

    async def record_failure(self, subscription: Subscribed | None, at_ms: int) -> Change:
        """Record a failure. After ``DISABLED`` nothing is delivered any more."""
        if subscription is None:
            return Change.NONE
        item, subscription_id = subscription.item, subscription.subscription_id
        if "failing_since_ms" not in item:
            marked = await asyncio.to_thread(self.subscriptions.mark_failing, subscription_id, at_ms)
            # Another attempt may have been the first to fail since the item was read.
            began = marked is not None and marked.get("failing_since_ms") == at_ms
            return Change.FAILING if began else Change.NONE
        if not _is_due(item, at_ms, failing_ms(subscription.waits_s)):
            return Change.NONE
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._warn_or_disable, subscription_id, at_ms)

    async def record_gone(self, subscription: Subscribed | None, at_ms: int, reason: str) -> Change:
        """Disable a subscription whose receiver wants no more."""
        if subscription is None:
            return Change.NONE
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._disable, subscription.subscription_id, at_ms, reason)

    def _warn_or_disable(self, subscription_id: str, at_ms: int) -> Change:
        found = self.subscriptions.fresh(subscription_id)
        item = {} if found is None else found.item
        whole_ms = FAILING_MS if found is None else failing_ms(found.waits_s)
        if "failing_since_ms" not in item or not _is_due(item, at_ms, whole_ms):
            return Change.NONE
        since_ms = item["failing_since_ms"]
        # Another worker may have delivered without knowing that there was a failure to forget.
        if self.deliveries.delivered_since(subscription_id, since_ms):
            self.subscriptions.clear_failing(subscription_id)
            self.subscriptions.mark_failing(subscription_id, at_ms)
            return Change.FAILING
        if at_ms - since_ms >= whole_ms:
            days = round(whole_ms / _DAY_MS, 1)
            return self._disable(subscription_id, at_ms, f"every attempt has failed for {days:g} days")
        percent = next(each for each in reversed(WARNINGS) if at_ms >= _moment_ms(since_ms, each, whole_ms))
        # The event comes first: a crash in between says the same thing again, and loses nothing.
        self._emit(
            SubscriptionFailing(
                event_id=f"evt_{digest('SubscriptionFailing', subscription_id, str(since_ms), str(percent))}",
                subscription_id=subscription_id,
                failing_since=from_ms(since_ms),
                percent=percent,
                disabled_at=from_ms(since_ms + whole_ms),
            )
        )
        self.subscriptions.mark_warned(subscription_id, _moment_ms(since_ms, percent, whole_ms))
        return Change.WARNED

    def _disable(self, subscription_id: str, at_ms: int, reason: str) -> Change:
        item = self.subscriptions.mark_failing(subscription_id, at_ms)
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
        self.subscriptions.disable(subscription_id, reason)
        return Change.DISABLED

    def _emit(self, event: SubscriptionFailing | SubscriptionDisabled) -> None:
        if not all(self.bus.put([event])):
            raise Unavailable(f"the bus did not take {type(event).__name__}")


def _moment_ms(since_ms: int, percent: int, whole_ms: int) -> int:
    return since_ms + whole_ms * percent // 100


def _is_due(item: Mapping[str, Any], at_ms: int, whole_ms: int) -> bool:
    """Return whether a warning that has not been given, or the end, has come."""
    since_ms = item["failing_since_ms"]
    moments_ms = [_moment_ms(since_ms, percent, whole_ms) for percent in (*WARNINGS, 100)]
    return any(item.get("failing_warned_ms", 0) < moment_ms <= at_ms for moment_ms in moments_ms)
