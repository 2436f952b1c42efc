"""The subscriptions, as they are at the moment of an attempt."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger

from tunehook.aws.errors import code_of
from tunehook.cache import Cache
from tunehook.errors import InvalidInput
from tunehook.http.guard import NetworkPolicy
from tunehook.schedules import WAITS_S
from tunehook.secret_versions import FIRST, SecretVersions
from tunehook.subscriptions import check_subscription
from tunehook.times import LATEST_MS
from tunehook.validation import is_whole
from tunehook.webhook_request import Endpoint, endpoint_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunehook.aws.secret_versions import SecretVersionsTable
    from tunehook.aws.subscriptions import SubscriptionsTable
    from tunehook.deliveries import Delivery
    from tunehook.rate_limits import RateLimit
    from tunehook.subscriptions import Subscription

logger = Logger(child=True)

CACHED_S: Final = 15.0
"""How long what was read counts, by the wall clock: Lambda halts the process, and its other clocks, between batches."""

REMEMBERED: Final = 10_000
"""So many are remembered at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribed:
    """A subscription as it was read: its item, what the item says or what is wrong with it, and what signs."""

    item: dict[str, Any]
    usable: Subscription | InvalidInput
    secret: SecretVersions = FIRST

    @property
    def subscription_id(self) -> str:
        return str(self.item["subscription_id"])

    @property
    def is_disabled(self) -> bool:
        """Whether nothing is to be sent. One that cannot be used is not disabled: it may be mended."""
        return self.item.get("enabled") is False

    @property
    def waits_s(self) -> tuple[int, ...]:
        """The waits between attempts, in seconds: the default ones while it cannot be used."""
        return WAITS_S if isinstance(self.usable, InvalidInput) else self.usable.retry_schedule

    @property
    def rate_limit(self) -> RateLimit | None:
        """How fast it is sent to; None where nothing limits that, as it is disabled or cannot be used."""
        if self.is_disabled or isinstance(self.usable, InvalidInput):
            return None
        return self.usable.rate_limit


@dataclass
class SubscriptionCache:
    """Caches the subscriptions, each for 15 s. What is written goes to the table, and the subscription is forgotten."""

    table: SubscriptionsTable
    versions: SecretVersionsTable
    policy: NetworkPolicy
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self._cache: Cache[str, Subscribed | None] = Cache(
            self._read,
            max_age_s=CACHED_S,
            on_fault=lambda fault: logger.warning("subscription_not_read", error=code_of(fault)),
            max_size=REMEMBERED,
            clock=self.clock,
        )

    def cached(self, subscription_id: str) -> tuple[bool, Subscribed | None]:
        """Return whether a subscription is cached, and if so, what `get` would return."""
        return self._cache.peek(subscription_id)

    def get(self, subscription_id: str) -> Subscribed | None:
        """Return a subscription or None, at most 15 s old unless it cannot be read anew; may block."""
        return self._cache.get(subscription_id)

    def _read(self, subscription_id: str) -> Subscribed | None:
        item = self.table.get(subscription_id)
        return None if item is None else self.read(item)

    def read(self, item: dict[str, Any]) -> Subscribed:
        """Return the subscription that this item is, whether the table has it or not; may block."""
        usable: Subscription | InvalidInput
        try:
            usable = check_subscription(item, self.policy)
        except InvalidInput as error:
            usable = error
        return Subscribed(item=_with_moments(item), usable=usable, secret=self.versions.of(item))

    def fresh(self, subscription_id: str) -> Subscribed | None:
        """Return a subscription or None, read now (strongly consistent)."""
        self._cache.forget(subscription_id)
        return self.get(subscription_id)

    def mark_failing(self, subscription_id: str, since_ms: int) -> dict[str, Any] | None:
        """See `tunehook.aws.subscriptions.SubscriptionsTable.mark_failing`."""
        item = self.table.mark_failing(subscription_id, since_ms)
        if item is not None and "failing_since_ms" not in _with_moments(item):
            # What its user has written there would stand for ever.
            self.table.clear_failing(subscription_id)
            item = self.table.mark_failing(subscription_id, since_ms)
        self._cache.forget(subscription_id)
        return None if item is None else _with_moments(item)

    def mark_warned(self, subscription_id: str, moment_ms: int) -> None:
        self.table.mark_warned(subscription_id, moment_ms)
        self._cache.forget(subscription_id)

    def clear_failing(self, subscription_id: str) -> None:
        self.table.clear_failing(subscription_id)
        self._cache.forget(subscription_id)

    def disable(self, subscription_id: str, reason: str) -> None:
        self.table.disable(subscription_id, reason)
        self._cache.forget(subscription_id)


def _with_moments(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item without what says when it failed, where its user has written there what is no moment."""
    moments = ("failing_since_ms", "failing_warned_ms")
    return {
        name: value for name, value in item.items() if name not in moments or is_whole(value, 0, LATEST_MS)
    }


def endpoint_of(delivery: Delivery, subscription: Subscribed | None, now_ms: int) -> Endpoint:
    """Return where a delivery goes: the URL on its record where it belongs to a task's own hook.

    `InvalidInput` is raised if there is no subscription, or its user has written by hand what cannot be used.
    """
    if delivery.url is not None:
        return Endpoint(delivery.url)
    if subscription is None:
        raise InvalidInput("subscription_id", "there is no such subscription")
    if isinstance(usable := subscription.usable, InvalidInput):
        # It is raised at each attempt; without this it would grow by each.
        raise usable.with_traceback(None)
    return endpoint_for(usable, subscription.secret, now_ms)
