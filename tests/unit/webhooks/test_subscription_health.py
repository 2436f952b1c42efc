import asyncio
from typing import Any

import pytest
from tests.unit.webhooks.world import START_MS, Receiver, World, delivery, hook_delivery

from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.deliveries import DeliveryStatus, message_for
from tunehook.errors import Unavailable
from tunehook.events import SubscriptionDisabled, SubscriptionFailing
from webhooks.policy import ResponseClass
from webhooks.subscription_cache import SubscriptionCache
from webhooks.subscription_health import Change

# As documented, and not imported: a bound that moves is to be noticed.
FAILING_MS = 5 * 24 * 3600 * 1000

HOUR = 3_600_000
DAY = 24 * HOUR
OK, FAILED, GONE = ResponseClass.DELIVERED, ResponseClass.FAILED, ResponseClass.GONE


@pytest.fixture
def world(aws: None) -> World:
    world = World(Receiver(FAILED))
    world.subscribe()
    return world


async def attempt(world: World, *, after_ms: int = 0, response_class: Any = FAILED) -> Change:
    """A first attempt of a delivery of its own, by a worker that knows nothing."""
    world.now_ms += after_ms
    world.receiver.classes = [response_class]
    world.subscriptions._cache.forget("sub")
    record = delivery(event_id=f"evt_{len(world.receiver.attempts)}", now_ms=world.now_ms)
    assert world.table.create(record)
    return (await world.deliverer.handle(message_for(record), 1)).change


def that_has_read_it(world: World) -> SubscriptionCache:
    """What a worker knows that has read the subscription at this moment."""
    subscriptions = world.read_subscriptions(SubscriptionsTable(world.client, "subscriptions"))
    subscriptions.get("sub")
    return subscriptions


def told(world: World) -> list[Any]:
    return [getattr(event, "percent", "disabled") for event in world.bus.events]


async def test_the_first_failure_says_since_when_a_subscription_fails(world: World) -> None:
    assert await attempt(world) is Change.FAILING
    assert world.subscription()["failing_since_ms"] == START_MS
    assert await attempt(world, after_ms=HOUR) is Change.NONE
    assert world.subscription()["failing_since_ms"] == START_MS


@pytest.mark.parametrize("nonsense", ["yesterday", -1, 10**30, True, None, ["x"]])
@pytest.mark.parametrize("name", ["failing_since_ms", "failing_warned_ms"])
@pytest.mark.parametrize("response_class", [OK, FAILED, GONE])
async def test_what_a_user_has_written_in_place_of_a_moment_keeps_no_attempt_from_its_record(
    world: World, name: str, nonsense: Any, response_class: ResponseClass
) -> None:
    world.subscribe(**{"failing_since_ms": START_MS - 6 * DAY, name: nonsense})
    await attempt(world, response_class=response_class)
    assert world.item(delivery(event_id="evt_0"))["attempts"]


@pytest.mark.parametrize("nonsense", ["yesterday", -1, 10**30, None])
async def test_a_subscription_fails_from_the_first_failure_on_whatever_its_user_has_written_there(
    world: World, nonsense: Any
) -> None:
    world.subscribe(failing_since_ms=nonsense)
    assert await attempt(world) is Change.FAILING
    assert world.subscription()["failing_since_ms"] == START_MS
    assert await attempt(world, after_ms=HOUR) is Change.NONE


async def test_attempts_that_fail_together_begin_the_failing_once(world: World) -> None:
    item = world.subscriptions.get("sub")
    assert item is not None
    changes = await asyncio.gather(*(world.health.record_failure(item, START_MS + each) for each in range(5)))
    assert sorted(changes) == sorted([Change.FAILING, *[Change.NONE] * 4])


async def test_a_success_forgets_the_failures(world: World) -> None:
    await attempt(world)
    assert await attempt(world, after_ms=DAY, response_class=OK) is Change.WELL
    assert "failing_since_ms" not in world.subscription()


async def test_a_success_of_a_retry_forgets_a_failure_that_the_worker_has_not_seen(world: World) -> None:
    world.receiver.classes = [FAILED, OK]
    another_worker = that_has_read_it(world)
    world.add(delivery())
    await world.run(messages=1)
    world.subscriptions = another_worker
    await world.run()
    assert "failing_since_ms" not in world.subscription()


async def test_it_is_warned_of_at_50_70_and_90_per_cent_of_5_days_and_disabled_then(world: World) -> None:
    for _ in range(5 * 4 + 1):
        await attempt(world, after_ms=6 * HOUR)
    assert told(world) == [50, 70, 90, "disabled"]
    moments = [world.bus.events[0].failing_since, world.bus.events[-1].disabled_at]
    assert (moments[1] - moments[0]).total_seconds() * 1000 == FAILING_MS
    assert world.subscription()["enabled"] is False
    assert "5 days" in world.subscription()["disabled_reason"]


async def test_a_warning_says_since_when_and_until_when(world: World) -> None:
    await attempt(world)
    assert await attempt(world, after_ms=FAILING_MS // 2) is Change.WARNED
    (event,) = world.bus.events
    assert isinstance(event, SubscriptionFailing)
    assert (event.subscription_id, event.percent) == ("sub", 50)
    assert event.failing_since.timestamp() * 1000 == START_MS
    assert event.disabled_at.timestamp() * 1000 == START_MS + FAILING_MS


async def test_no_warning_comes_a_millisecond_before_its_moment(world: World) -> None:
    await attempt(world)
    assert await attempt(world, after_ms=FAILING_MS // 2 - 1) is Change.NONE
    assert world.bus.events == []


async def test_of_warnings_that_are_due_together_the_last_is_given(world: World) -> None:
    await attempt(world)
    await attempt(world, after_ms=FAILING_MS * 75 // 100)
    await attempt(world, after_ms=HOUR)
    assert told(world) == [70]


async def test_one_millisecond_less_than_5_days_disables_nothing(world: World) -> None:
    await attempt(world)
    await attempt(world, after_ms=FAILING_MS - 1)
    assert world.subscription().get("enabled") is None
    await attempt(world, after_ms=1)
    assert world.subscription()["enabled"] is False


async def test_failures_within_12_hours_disable_nothing(world: World) -> None:
    for _ in range(12):
        await attempt(world, after_ms=HOUR)
    assert told(world) == []


async def test_a_delivery_that_another_worker_made_meanwhile_begins_the_5_days_anew(world: World) -> None:
    await attempt(world)
    record = delivery(event_id="evt_other", now_ms=world.now_ms + HOUR)
    assert world.table.create(record)
    assert world.table.record(message_for(record), status=DeliveryStatus.DELIVERED)
    assert await attempt(world, after_ms=FAILING_MS) is Change.FAILING
    assert told(world) == []
    assert world.subscription()["failing_since_ms"] == START_MS + FAILING_MS


async def test_once_enabled_again_it_has_5_days_again(world: World) -> None:
    await attempt(world)
    await attempt(world, after_ms=FAILING_MS)
    world.subscribe(**world.subscription() | {"enabled": True})
    assert await attempt(world, after_ms=DAY) is Change.FAILING
    assert await attempt(world, after_ms=DAY) is Change.NONE
    await attempt(world, after_ms=FAILING_MS // 2 - DAY)
    assert told(world) == ["disabled", 50]


async def test_a_receiver_that_is_gone_is_told_of(world: World) -> None:
    assert await attempt(world, response_class=GONE) is Change.DISABLED
    (event,) = world.bus.events
    assert isinstance(event, SubscriptionDisabled)
    assert (event.subscription_id, event.disabled_at, event.failing_since) == (
        "sub",
        event.failing_since,
        event.disabled_at,
    )
    assert "410" in event.reason or "503" in event.reason


async def test_a_subscription_is_disabled_once(world: World) -> None:
    records = [delivery(event_id=f"evt_{number}") for number in range(3)]
    world.receiver.classes = [GONE]
    workers = [that_has_read_it(world) for _ in records]
    for record, world.subscriptions in zip(records, workers, strict=True):
        world.add(record)
        await world.run(messages=1)
    assert told(world) == ["disabled"]


async def test_the_same_disabling_always_has_the_same_event_id(world: World) -> None:
    world.bus.put = lambda events: [True] * len(events)  # type: ignore[method-assign]
    seen: list[str] = []
    world.bus.put = lambda events: seen.extend(each.event_id for each in events) or [True]  # type: ignore[method-assign, func-returns-value]
    disable = world.subscriptions.disable

    def die(*_: Any) -> None:
        world.subscriptions.disable = disable  # type: ignore[method-assign]
        raise OSError("the process dies")

    world.subscriptions.disable = die  # type: ignore[method-assign]
    world.receiver.classes = [GONE]
    world.add(delivery())
    await world.run()
    assert len(seen) == 2
    assert len(set(seen)) == 1
    assert world.subscription()["enabled"] is False


async def test_a_bus_that_takes_nothing_disables_nothing_and_the_next_failure_makes_up_for_it(
    world: World,
) -> None:
    await attempt(world)
    world.bus.refuses = True
    with pytest.raises(Unavailable):
        await attempt(world, after_ms=FAILING_MS)
    assert world.subscription().get("enabled") is None
    world.bus.refuses = False
    assert await attempt(world, after_ms=HOUR) is Change.DISABLED


async def test_a_hook_of_a_task_has_no_books_to_keep(world: World) -> None:
    world.add(hook_delivery())
    await world.run()
    assert world.bus.events == []
    assert set(world.subscription()) == {"subscription_id", "url"}


async def test_a_subscription_that_was_deleted_meanwhile_stays_deleted(world: World) -> None:
    item = world.subscriptions.get("sub")
    world.client.delete_item(TableName="subscriptions", Key={"subscription_id": {"S": "sub"}})
    assert item is not None
    assert await world.health.record_gone(item, world.now_ms, "gone") is Change.NONE
    await world.health.record_failure(item, world.now_ms)
    assert world.client.scan(TableName="subscriptions")["Count"] == 0
