"""Slots that messages of one moment reserve together, and what a limit that has changed meanwhile makes of them."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tunehook.deliveries import Slot
from tunehook.errors import Unavailable
from tunehook.rate_limits import RateLimit
from webhooks.rate_limiter import RateLimiter, Reservation

START_MS = 1_800_000_000_000
LIMIT, OTHER = RateLimit(2.0), RateLimit(5.0, START_MS)


class Slots:
    """Gives each message the last moment that is of use to it, once the limit is the present one."""

    def __init__(self, present: RateLimit | None = LIMIT) -> None:
        self.present = present
        self.asked: list[tuple[RateLimit, Any]] = []

    def reserve(
        self, subscription_id: str, limit: RateLimit, latest_ms: list[int], now_ms: int, *, former: Any
    ) -> Any:
        assert (subscription_id, now_ms) == ("sub", START_MS)
        self.asked.append((limit, former))
        if limit != self.present:
            return SimpleNamespace(former=f"before {len(self.asked)}", at_us=[])
        return SimpleNamespace(former=None, at_us=[each * 1000 if each else None for each in latest_ms])


async def reserve(slots: Slots, subscription: Any, *latest_ms: int) -> list[Any]:
    subscriptions: Any = SimpleNamespace(fresh=lambda subscription_id: subscription)
    limiter = RateLimiter(slots, subscriptions, lambda: START_MS)  # type: ignore[arg-type]
    return await asyncio.gather(
        *(limiter.reserve("sub", LIMIT, each) for each in latest_ms), return_exceptions=True
    )


async def test_messages_of_one_moment_ask_once_and_each_has_its_own_slot() -> None:
    slots = Slots()
    found = await reserve(slots, None, START_MS + 2, START_MS + 1, 0, START_MS + 3)
    assert [None if each.slot is None else each.slot.at_ms - START_MS for each in found] == [2, 1, None, 3]
    assert slots.asked == [(LIMIT, None)]
    assert found[0] == Reservation(LIMIT, Slot.at((START_MS + 2) * 1000, LIMIT))


async def test_a_limit_that_has_changed_is_the_one_that_counts() -> None:
    slots = Slots(OTHER)
    (found,) = await reserve(slots, SimpleNamespace(rate_limit=OTHER), START_MS)
    assert found == Reservation(OTHER, Slot.at(START_MS * 1000, OTHER))
    assert slots.asked == [(LIMIT, None), (OTHER, "before 1")]


@pytest.mark.parametrize("subscription", [None, SimpleNamespace(rate_limit=None)])
async def test_without_a_limit_nobody_needs_a_slot(subscription: Any) -> None:
    assert await reserve(Slots(None), subscription, START_MS, START_MS) == [Reservation(None)] * 2


async def test_a_limit_that_changes_each_time_has_the_messages_come_again() -> None:
    slots = Slots(None)
    (fault,) = await reserve(slots, SimpleNamespace(rate_limit=OTHER), START_MS)
    assert isinstance(fault, Unavailable)
    assert len(slots.asked) == 3
