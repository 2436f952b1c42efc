"""The subscriptions, as they are at the moment of an attempt."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tunehook.aws.faults import code_of
from tunehook.cache import Cache
from tunehook.times import LATEST_MS
from tunehook.validation import first_problem, is_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tunehook.aws.subscriptions import SubscriptionsTable
    from tunehook.deliveries import Delivery

logger = Logger(child=True)

CACHED_S: Final = 15.0
REMEMBERED: Final = 10_000
"""So many are remembered at most."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where an attempt goes, what it carries, and which versions of the secret sign it, newest first."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_versions: tuple[int, ...] = (1,)


class Subscriptions:
    """The subscriptions, each read at most every 15 s.

    Parameters
    ----------
    table : SubscriptionsTable
        Where they are.
    clock : callable, optional
        Seconds of the wall clock.
    """

    def __init__(self, table: SubscriptionsTable, clock: Callable[[], float] = time.time) -> None:
        self._table = table
        self._cache: Cache[str, dict[str, Any] | None] = Cache(
            lambda subscription_id: _with_moments(table.get(subscription_id)),
            max_age_s=CACHED_S,
            on_fault=_not_read,
            max_size=REMEMBERED,
            clock=clock,
        )

    def cached(self, subscription_id: str) -> tuple[bool, dict[str, Any] | None]:
        """Return whether an item needs no reading, and if so, what `get` would return."""
        return self._cache.peek(subscription_id)

    def get(self, subscription_id: str) -> dict[str, Any] | None:
        """Return a subscription's item as plain values, or None if there is none.

        It is at most 15 s old, unless it cannot be read anew.
        """
        return self._cache.get(subscription_id)

    def fresh(self, subscription_id: str) -> dict[str, Any] | None:
        """Return a subscription's item (strongly consistent), or None if there is none."""
        self._cache.forget(subscription_id)
        return self.get(subscription_id)

    def mark_failing(self, subscription_id: str, since_ms: int) -> dict[str, Any] | None:
        """See `tunehook.aws.subscriptions.SubscriptionsTable.mark_failing`."""
        item = _with_moments(self._table.mark_failing(subscription_id, since_ms))
        self._cache.forget(subscription_id)
        return item

    def mark_warned(self, subscription_id: str, moment_ms: int) -> None:
        """Say up to which moment of its failing a subscription has been warned of."""
        self._table.mark_warned(subscription_id, moment_ms)
        self._cache.forget(subscription_id)

    def mark_well(self, subscription_id: str) -> None:
        """Say that a subscription does not fail any more."""
        self._table.mark_well(subscription_id)
        self._cache.forget(subscription_id)

    def disable(self, subscription_id: str, reason: str) -> None:
        """Disable a subscription and say why; one that has been deleted stays so."""
        self._table.disable(subscription_id, reason)
        self._cache.forget(subscription_id)


def _not_read(fault: Exception) -> None:
    logger.warning("subscription_not_read", error=code_of(fault))


def _with_moments(item: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return an item without what says when it failed, where its user has written there what is no moment."""
    for name in ("failing_since_ms", "failing_warned_ms"):
        if item is not None and name in item and not is_whole(item[name], 0, LATEST_MS):
            item = {key: value for key, value in item.items() if key != name}
    return item


def receiver_of(delivery: Delivery, item: Mapping[str, Any] | None, now_ms: int) -> Receiver:
    """Return where a delivery goes.

    Parameters
    ----------
    delivery : Delivery
        The delivery. Where it belongs to a task's own hook, its record says where to.
    item : mapping or None
        Otherwise: the subscription's item.
    now_ms : int
        The present moment: after a rotation the older secret signs too, until ``previous_secret_until_ms``.

    Raises
    ------
    InvalidInput
        If the item, which its user may have written by hand, is no usable subscription.
    """
    if delivery.url is not None:
        return Receiver(delivery.url)
    try:
        subscription = _Subscription.model_validate(item)
    except ValidationError as error:
        raise first_problem(error, "subscription") from None
    version = subscription.secret_version
    rotated = version > 1 and subscription.previous_secret_until_ms > now_ms
    return Receiver(subscription.url, subscription.headers, (version, version - 1) if rotated else (version,))


class _Subscription(BaseModel):
    model_config = ConfigDict(defer_build=True)

    url: str
    headers: dict[str, str] = Field(default_factory=dict)
    secret_version: int = Field(1, ge=1)
    previous_secret_until_ms: int = 0
