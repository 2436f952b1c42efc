"""No more attempts begin than a subscription's limit allows, whoever works, dies or retries; and nothing is lost."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support import fleet as support
from tests.support.aws import Faulty, client
from tests.support.fleet import Fleet, excess
from tests.support.virtual import Clock, Seeded

from tunehook.aws.deliveries import Redeliveries, Redelivery
from tunehook.aws.send_slots import FORMER_LIMIT_MS
from tunehook.deliveries import DeliveryStatus, message_for
from tunehook.rate_limits import UNSENT_MAX_MS, RateLimit
from webhooks.delivery import Step
from webhooks.policy import ResponseClass

START_MS = 1_800_000_000_000
FAILED, OK = ResponseClass.FAILED, ResponseClass.DELIVERED

pytestmark = pytest.mark.usefixtures("aws")


def fleet(**changes: Any) -> Fleet:
    clock = Clock(START_MS, Seeded(changes.get("seed", 0), 0.01))
    return Fleet(client("dynamodb"), clock, **changes)


def test_an_idle_limit_lets_the_first_attempt_in_at_once() -> None:
    world = fleet()
    world.subscribe(max_per_second=0.1)
    world.add(1)
    world.clock.run(world.work())
    assert world.begun_at_ms()[0] - START_MS < 200
    assert world.steps == {Step.ATTEMPTED: 1}


def test_a_burst_is_spread_in_order_and_uses_up_no_attempt() -> None:
    world = fleet()
    world.subscribe(max_per_second=2)
    made = [world.add(number) for number in range(20)]
    world.clock.run(world.work())
    begun = world.begun_at_ms()
    assert excess(begun, 2) <= 0
    assert 9_000 <= begun[-1] - begun[0] <= 10_500
    assert {(each.run, each.attempt) for each in world.begun} == {(1, 1)}
    items = [world.item(each) for each in made]
    assert {(each["status"], each.get("rate_limit")) for each in items} == {("delivered", None)}
    assert max(map(len, world.messages.values())) <= 2
    assert not world.faults


def test_the_messages_of_a_batch_share_the_writes_that_reserve_their_slots() -> None:
    counted = Faulty(client("dynamodb"))
    world = Fleet(counted, Clock(START_MS, Seeded(0, 0.01)), workers=1)
    world.subscribe(max_per_second=1_000)
    for number in range(10):
        world.add(number)
    counted.calls.clear()
    world.clock.run(world.work())
    assert world.steps == {Step.ATTEMPTED: 10}
    written = [given["Key"] for name, given in counted.calls if name == "update_item"]
    # Not all of a batch come to it within the few milliseconds for which a write gathers them.
    assert sum(key.get("receiver", {"S": ""})["S"].startswith("limit_") for key in written) <= 2


@given(
    seed=st.integers(0, 10**6),
    rate=st.sampled_from([0.1, 0.7, 3, 20, 1_000]),
    mortality=st.sampled_from([0.0, 0.2]),
    failing=st.sampled_from([0.0, 0.3]),
    skew_ms=st.sampled_from([0, 300]),
)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_never_above_the_rate_and_nothing_lost(
    seed: int, rate: float, mortality: float, failing: float, skew_ms: int
) -> None:
    dice = random.Random(seed)
    world = fleet(
        seed=seed,
        workers=dice.randint(1, 6),
        mortality=mortality,
        latest_ms=dice.choice([20, 700]),
        skew_ms=skew_ms,
        answers=lambda _: FAILED if dice.random() < failing else OK,
    )
    world.subscribe(max_per_second=rate, retry_schedule=[2, 5, 5, 5, 10, 10, 10, 10, 10, 10, 10, 10])
    world.subscribe("free")
    made = []

    async def arrive() -> None:
        for number in range(12):
            made.append(world.add(number))
            if number % 4 == 0:
                made.append(world.add(number, "free"))
            if dice.random() < 0.2:
                await asyncio.sleep(dice.expovariate(1 / 3))

    async def live() -> None:
        await arrive()
        await world.work()

    world.clock.run(live())
    # Two workers see one moment of the clock up to twice the skew apart.
    assert excess(world.begun_at_ms(), rate) <= rate * 2 * skew_ms / 1000
    items = [world.item(each) for each in made]
    assert {each["status"] for each in items} == {"delivered"}
    for item in items:
        recorded = [each["attempt"] for each in item["attempts"]]
        assert recorded == list(range(1, len(recorded) + 1))
        assert "rate_limit" not in item
    if not mortality:
        assert len(world.begun) == sum(len(each["attempts"]) for each in items)


def test_a_limit_delays_no_other_subscription() -> None:
    world = fleet(workers=2)
    world.subscribe(max_per_second=1)
    world.subscribe("free")

    async def live() -> None:
        for number in range(20):
            world.add(number)
        working = asyncio.create_task(world.work())
        for number in range(10):
            await asyncio.sleep(1.7)
            world.add(number, "free")
        await working

    world.clock.run(live())
    first = {
        each["created_at_ms"]: each["attempts"][0]["at_ms"] for each in map(world.item, world.made["free"])
    }
    assert len(first) == 10
    assert max(at_ms - created_ms for created_ms, at_ms in first.items()) < 1_000


HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
STARTED = Redelivery.STARTED
LIMIT = RateLimit(0.1)


class TestWhileABacklogWaits:
    """Eight deliveries wait for an hour; a change takes effect when a message comes by, within 15 minutes."""

    CHANGED_MS = START_MS + 60_000

    def backlog(self, change: Callable[[Fleet], None]) -> Fleet:
        world = fleet()
        world.subscribe(max_per_second=LIMIT.per_second)
        world.take_slots(360, LIMIT)

        async def live() -> None:
            for number in range(8):
                world.add(number)
            await world.work(until_ms=self.CHANGED_MS)
            assert not world.begun
            change(world)
            await world.work()

        world.clock.run(live())
        return world

    def statuses(self, world: Fleet) -> Counter[str]:
        return Counter(world.item(each)["status"] for each in world.made["sub"])

    def test_nothing_changes(self) -> None:
        world = self.backlog(lambda _: None)
        begun = world.begun_at_ms()
        assert begun[0] - START_MS >= HOUR_MS
        assert begun[-1] - START_MS <= HOUR_MS + 8 * 10_000
        # One as it is made, one a quarter of an hour.
        assert {len(each) for each in world.messages.values()} <= {5, 6}
        assert world.steps[Step.ATTEMPTED] == 8

    @pytest.mark.parametrize("change", [Fleet.unsubscribe, lambda world: world.subscribe(enabled=False)])
    def test_what_is_disabled_or_deleted_ends_soon(self, change: Callable[[Fleet], None]) -> None:
        world = self.backlog(change)
        assert self.statuses(world) == {"aborted": 8}
        assert world.clock() <= self.CHANGED_MS + 901_000
        assert not world.begun

    def test_without_the_limit_all_are_attempted(self) -> None:
        world = self.backlog(Fleet.subscribe)
        assert self.statuses(world) == {"delivered": 8}
        assert world.begun_at_ms()[-1] <= self.CHANGED_MS + 901_000

    @pytest.mark.parametrize(("rate", "whole_ms"), [(2, 901_000), (0.11, 901_000 + 73_000)])
    def test_another_limit_holds_for_those_that_wait(self, rate: float, whole_ms: int) -> None:
        changed = {"max_per_second": rate, "max_per_second_since_ms": self.CHANGED_MS}
        world = self.backlog(lambda world: world.subscribe(**changed))
        begun = world.begun_at_ms()
        assert self.statuses(world) == {"delivered": 8}
        assert excess(begun, rate) <= 0
        assert begun[-1] <= self.CHANGED_MS + whole_ms + FORMER_LIMIT_MS

    def test_the_same_limit_set_again_begins_anew(self) -> None:
        changed = {"max_per_second": LIMIT.per_second, "max_per_second_since_ms": self.CHANGED_MS}
        world = self.backlog(lambda world: world.subscribe(**changed))
        assert world.begun_at_ms()[-1] <= self.CHANGED_MS + 901_000 + FORMER_LIMIT_MS + 80_000


def test_during_a_change_no_more_begin_than_the_higher_limit_allows() -> None:
    world = fleet(workers=3)
    world.subscribe(max_per_second=4)

    async def live() -> None:
        for number in range(40):
            world.add(number)
        await world.work(until_ms=START_MS + 5_000)
        world.subscribe(max_per_second=2, max_per_second_since_ms=START_MS + 5_000)
        await world.work()

    world.clock.run(live())
    begun = world.begun_at_ms()
    assert len(begun) == 40
    assert excess(begun, 4) <= 0
    assert excess([each for each in begun if each > START_MS + 5_000 + FORMER_LIMIT_MS], 2) <= 0


class TestWhatCannotBeSentInTime:
    """What waits for the limit 13 days after its run began ends, and says why."""

    def waiting(self, age_ms: int, ahead: int = 360) -> Fleet:
        world = fleet()
        world.subscribe(max_per_second=LIMIT.per_second)
        made = world.make(1)

        async def live() -> None:
            await asyncio.sleep(age_ms / 1000)
            world.take_slots(ahead, LIMIT)
            world.send(made)
            await world.work()

        world.clock.run(live())
        return world

    def test_it_ends_then_with_a_reason_and_without_an_attempt(self) -> None:
        world = self.waiting(UNSENT_MAX_MS - HOUR_MS // 2)
        item = world.item(world.made["sub"][0])
        assert item["status"] == "failed"
        assert item["reason"] == "rate_limited: not sent within 13 days, at most 0.1 a second"
        assert "attempts" not in item or item["attempts"] == []
        assert 0 <= world.clock() - START_MS - UNSENT_MAX_MS <= 2_000
        assert world.steps[Step.RATE_LIMITED] == 1
        assert not world.begun

    def test_it_does_not_take_a_slot_that_it_cannot_use(self) -> None:
        world = self.waiting(UNSENT_MAX_MS - HOUR_MS // 2)
        gate = world.client.scan(TableName=world.names["ReceiverGatesTable"])["Items"][0]
        taken_us = int(gate["next_us"]["N"]) - (START_MS + UNSENT_MAX_MS - HOUR_MS // 2) * 1000
        assert taken_us == 360 * LIMIT.interval_us

    def test_after_a_redelivery_they_count_from_that(self) -> None:
        world = fleet()
        world.subscribe(max_per_second=LIMIT.per_second)
        made, again_ms = world.make(1), START_MS + 17 * DAY_MS

        async def live() -> None:
            world.table.record(message_for(made), status=DeliveryStatus.FAILED, reason="all attempts failed")
            await asyncio.sleep((again_ms - world.clock()) / 1000)
            assert Redeliveries(world.table, world.queue).begin(made.delivery_id, again_ms)[0] is STARTED
            await asyncio.sleep((UNSENT_MAX_MS - HOUR_MS // 2) / 1000)
            world.take_slots(360, LIMIT)
            await world.work()

        world.clock.run(live())
        item = world.item(made)
        assert (item["status"], item["run"], item["reason"][:12]) == ("failed", 2, "rate_limited")
        assert 0 <= world.clock() - again_ms - UNSENT_MAX_MS <= 2_000
        assert not world.begun

    def test_it_is_sent_if_its_slot_comes_before(self) -> None:
        world = self.waiting(UNSENT_MAX_MS - HOUR_MS // 2, ahead=100)
        assert world.item(world.made["sub"][0])["status"] == "delivered"

    def test_it_is_sent_however_old_where_nothing_waits(self) -> None:
        world = self.waiting(UNSENT_MAX_MS + HOUR_MS, ahead=0)
        assert world.item(world.made["sub"][0])["status"] == "delivered"


QUARTERS = 4 * 24 * 13
"""How many quarters of an hour 13 days have."""


def test_what_has_its_slot_in_the_last_minute_of_13_days_is_sent_then() -> None:
    world = fleet(workers=1)
    world.subscribe(max_per_second=LIMIT.per_second)
    world.take_slots(round(LIMIT.per_second * 13 * 86_400) - 3, LIMIT)
    made = world.add(1)
    world.clock.run(world.work())
    assert world.item(made)["status"] == "delivered"
    (begun_ms,) = world.begun_at_ms()
    assert 0 < START_MS + 13 * DAY_MS - begun_ms <= 60_000
    assert len(world.messages[made.delivery_id]) <= QUARTERS + 2


def test_a_message_of_an_earlier_version_waits_as_any_other() -> None:
    world = fleet()
    world.subscribe(max_per_second=LIMIT.per_second)
    world.take_slots(3, LIMIT)
    made = world.make(1)
    old = message_for(made).model_dump(exclude={"slot", "run_began_at_ms"}) | {"unknown": 1}

    async def live() -> None:
        world.arrive(json.dumps(old))
        await world.work()

    world.clock.run(live())
    assert world.item(made)["status"] == "delivered"
    assert world.begun_at_ms()[0] - START_MS >= 30_000


def test_a_message_that_misses_its_slot_reserves_another() -> None:
    world = fleet(latest_ms=0)
    world.subscribe(max_per_second=LIMIT.per_second)
    world.take_slots(2, LIMIT)

    async def live() -> None:
        world.add(1)
        await world.work(until_ms=START_MS + 1_000)
        await asyncio.sleep(25)
        await world.work()

    world.clock.run(live())
    assert world.steps == {Step.AWAITS_SLOT: 2, Step.ATTEMPTED: 1}
    assert 30_000 <= world.begun_at_ms()[0] - START_MS < 31_000


@pytest.mark.parametrize(
    ("late", "is_claimed"), [("_Nobody.get", False), ("DeliveriesTable.claim_in_loop", True)]
)
def test_an_attempt_whose_slot_passes_while_it_is_prepared_is_begun_in_another(
    late: str, is_claimed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, method = late.partition(".")
    answers = getattr(getattr(support, name), method)
    late_by_s = [1.5]

    async def answer(*args: Any) -> Any:
        answered = await answers(*args)
        await asyncio.sleep(late_by_s.pop() if late_by_s else 0)
        return answered

    monkeypatch.setattr(getattr(support, name), method, answer)
    world = fleet(latest_ms=0)
    world.subscribe(max_per_second=LIMIT.per_second)
    made = world.add(1)
    world.clock.run(world.work())
    (begun,) = world.begun_at_ms()
    assert begun - START_MS >= 10_000
    # What was claimed comes again as a fault does; before that it is only sent on.
    assert bool(world.faults) is is_claimed
    assert [each["attempt"] for each in world.item(made)["attempts"]] == [1]


def test_whoever_waits_is_not_overdue() -> None:
    world = fleet()
    world.subscribe(max_per_second=LIMIT.per_second)
    world.take_slots(100, LIMIT)
    made = world.add(1)
    world.clock.run(world.work(until_ms=START_MS + 300_000))
    item = world.item(made)
    assert (item["rate_limit"], item["status"]) == (0.1, "pending")
    assert item["next_attempt_at_ms"] == START_MS + 1_000_000
    again, _ = Redeliveries(world.table, world.queue).begin(made.delivery_id, world.clock())
    assert again is Redelivery.PENDING
