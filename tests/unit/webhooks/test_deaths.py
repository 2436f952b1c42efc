"""The process dies at each call in turn: no attempt is lost, none is made twice but one that was not recorded."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from tests.unit.webhooks.world import (
    START_MS,
    TABLES,
    VISIBILITY_MS,
    Bus,
    Receiver,
    World,
    delivery,
    hook_delivery,
)

from tunehook.aws.circuits import CircuitsTable
from tunehook.aws.deliveries import DeliveriesTable
from tunehook.aws.secret_versions import SecretVersionsTable
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.deliveries import Delivery, message_for
from tunehook.errors import Unavailable
from webhooks.circuit_breaker import CircuitBreaker
from webhooks.delivery import Step
from webhooks.policy import ResponseClass
from webhooks.subscription_health import SubscriptionHealth

pytestmark = pytest.mark.usefixtures("aws")

OK, FAILED, GONE, HANGS = ResponseClass.DELIVERED, ResponseClass.FAILED, ResponseClass.GONE, None
HOUR = 3_600_000


class Death(BaseException):
    """The process is killed: no handler of errors of ours gets to see it."""


class Life:
    """Counts the calls of all incarnations of a process, and ends one of them before or after a certain call."""

    def __init__(self, dies_at: int | None, *, after: bool) -> None:
        self.dies_at = dies_at
        self.after = after
        self.calls: list[str] = []
        self.dead = False

    def mortal(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            dies = self._begins(name)
            if dies and not self.after:
                self.dead = True
                raise Death(name)
            result = call(*args, **kwargs)
            if dies:
                self.dead = True
                raise Death(name)
            return result

        return wrapped

    def _begins(self, name: str) -> bool:
        if self.dead:
            raise Death("a dead process calls nobody")
        self.calls.append(name)
        return len(self.calls) - 1 == self.dies_at


class MortalClient:
    def __init__(self, real: Any, life: Life) -> None:
        self._real = real
        self._life = life

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._real, name)
        return self._life.mortal(name, call) if name in ("update_item", "get_item", "put_item") else call


class MortalWorld(World):
    """A world in which another process takes over where one has died; what that one knew is gone with it."""

    def __init__(self, story: list[Any], life: Life) -> None:
        super().__init__(Receiver(OK))
        self.story = story
        self.life = life
        self.deaths = 0
        self.unrecorded = 0
        self.incarnate()

    def incarnate(self) -> None:
        self.life.dead = False
        client: Any = MortalClient(self.client, self.life)
        self.table = DeliveriesTable(client, "deliveries")
        self.subscriptions = self.read_subscriptions(
            SubscriptionsTable(client, "subscriptions"), SecretVersionsTable(client, "versions")
        )
        self.breaker = CircuitBreaker(CircuitsTable(client, "gates"), lambda: self.now_ms)
        self.mortal_bus = Bus()
        self.mortal_bus.put = self.life.mortal("put_events", self.bus.put)  # type: ignore[method-assign]
        bus: Any = self.mortal_bus
        self.health = SubscriptionHealth(self.subscriptions, self.table, bus)

    async def send_batch(self, messages: Any, now_ms: int) -> None:
        self.life.mortal("send_batch", self.send_all)(messages, now_ms)

    async def live(self, record: Delivery) -> None:
        """Handle everything, through all deaths."""
        DeliveriesTable(self.client, "deliveries").create(record)
        deliver = self.receiver.attempt

        async def attempt(asked: Delivery, *args: Any) -> Any:
            self.receiver.classes = [self.story[asked.next_attempt - 1]]
            return await self._attempt(deliver, asked, *args)

        self.receiver.attempt = attempt  # type: ignore[method-assign]
        self.arrive(message_for(record), self.now_ms)
        while (arrival := self.next_arrival()) is not None:
            at_ms, message, receive_count = arrival
            self.now_ms = max(self.now_ms, at_ms)
            try:
                self.outcomes.append(await self.deliverer.handle(message, receive_count))
            except Death:
                self.deaths += 1
                made = len(self.receiver.attempts)
                self.unrecorded += made - len(self.item(record).get("attempts", ()))
                self.incarnate()
                self.arrive(message, self.now_ms + VISIBILITY_MS, receive_count + 1)
            except Unavailable:
                self.arrive(message, self.now_ms + VISIBILITY_MS, receive_count + 1)

    async def _attempt(self, deliver: Callable[..., Any], *args: Any) -> Any:
        made = deliver(*args)
        marker = self.life.mortal("post", lambda: None)
        if self.life.after:
            result = await made
            marker()
            return result
        try:
            marker()
        except Death:
            made.close()
            raise
        return await made


STORIES: dict[str, list[Any]] = {
    "delivered": [OK],
    "retried": [FAILED, HANGS, OK],
    "gone": [FAILED, GONE],
}


async def live(story: str, dies_at: int | None, *, after: bool) -> MortalWorld:
    world = MortalWorld(STORIES[story], Life(dies_at, after=after))
    world.subscribe()
    await world.live(delivery())
    return world


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("story", STORIES)
async def test_a_death_at_any_call_loses_nothing_and_records_nothing_twice(story: str, after: bool) -> None:
    unhurt = await live(story, None, after=after)
    assert unhurt.deaths == 0
    ended = unhurt.item(delivery())
    expected = [each["attempt"] for each in ended["attempts"]]
    told = {event.event_id for event in unhurt.bus.events}
    for dies_at in range(len(unhurt.life.calls)):
        for table in TABLES:
            unhurt.client.delete_table(TableName=table)
        world = await live(story, dies_at, after=after)
        item = world.item(delivery())
        place = f"call {dies_at} ({world.life.calls[dies_at]})"
        assert world.deaths == 1, place
        made = [each["attempt"] for each in item["attempts"]]
        if story == "gone" and item["status"] == "aborted":
            # Disabled before the record, which is what the receiver asked for.
            assert (item["reason"], made) == ("subscription disabled", expected[:-1]), place
            made = expected
        else:
            assert (item["status"], item.get("reason")) == (ended["status"], ended.get("reason")), place
        assert made == expected, place
        assert "claimed_until_ms" not in item, place
        # Once more only where it died between an answer and its record.
        assert len(world.receiver.attempts) <= len(expected) + world.unrecorded, place
        if story == "gone":
            assert world.subscription()["enabled"] is False, place
            assert len({event.event_id for event in world.bus.events}) == len(told) == 1, place


async def test_two_workers_with_the_same_message_make_one_attempt() -> None:
    world = World(Receiver(OK))
    async with world.breaker.permit(hook_delivery().subscription_id) as permit:
        permit.record_result(True)
    message = world.add(hook_delivery())
    outcomes = await asyncio.gather(
        *(world.deliverer.handle(message, 1) for _ in range(5)), return_exceptions=True
    )
    assert len(world.receiver.attempts) == 1
    made = [each for each in outcomes if not isinstance(each, BaseException) and each.step is Step.ATTEMPTED]
    assert len(made) == 1
    assert all(
        isinstance(each, Unavailable) or each.step in (Step.ATTEMPTED, Step.DROPPED) for each in outcomes
    )


@pytest.mark.parametrize("jump_ms", [-100 * HOUR, -HOUR, HOUR, 100 * HOUR])
@pytest.mark.parametrize("after_messages", [1, 2, 5, 20])
async def test_a_clock_that_jumps_loses_no_attempt_and_makes_none_twice(
    jump_ms: int, after_messages: int
) -> None:
    world = World(Receiver(FAILED))
    world.add(hook_delivery())
    await world.run(messages=after_messages)
    world.now_ms += jump_ms
    await world.run(messages=3_000)
    assert [number for _, number, _ in world.receiver.attempts] == list(range(1, 11))
    assert world.item(hook_delivery())["status"] == "failed"
    assert world.idle


async def test_the_whole_schedule_takes_75_hours_35_minutes_and_5_seconds() -> None:
    world = World(Receiver(FAILED))
    world.add(hook_delivery())
    await world.run()
    assert world.receiver.attempts[-1][2] - START_MS == ((75 * 60 + 35) * 60 + 5) * 1000


@pytest.mark.parametrize("asked_s", [600, 3 * 3600, 24 * 3600, 30 * 24 * 3600])
async def test_with_retry_after_every_wait_is_the_longer_one_and_a_day_at_most(asked_s: int) -> None:
    waits_s = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    world = World(Receiver(FAILED, retry_after=str(asked_s)))
    world.add(hook_delivery())
    await world.run()
    moments = [at_ms for _, _, at_ms in world.receiver.attempts]
    waited = [(later - earlier) // 1000 for earlier, later in pairwise(moments)]
    assert waited == [max(wait, min(asked_s, 24 * 3600)) for wait in waits_s]


async def test_a_message_on_its_way_never_waits_longer_than_sqs_can() -> None:
    delays_ms: list[int] = []
    world = World(Receiver(FAILED))
    send = world.send_batch

    async def spy(messages: Any, now_ms: int) -> None:
        delays_ms.extend(message.due_at_ms - now_ms for message in messages)
        await send(messages, now_ms)

    world.send_batch = spy  # type: ignore[method-assign]
    world.add(hook_delivery())
    await world.run()
    assert max(delays_ms) == 24 * HOUR
    hops = [outcome for outcome in world.outcomes if outcome.step is Step.SENT_ON]
    assert len(hops) > (75 * 3600 + 2105) // 900 - 10
