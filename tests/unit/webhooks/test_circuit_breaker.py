"""The breaker, over the real table code and moto."""

import asyncio
import time
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError
from tests.support.aws import items
from tests.support.patience import HANG_S
from tests.support.virtual_tests import in_virtual_time
from tests.unit.webhooks.world import START_MS, Receiver, World, delivery, hook_delivery, subscribed

from tunehook.aws.circuits import Circuit, CircuitsTable
from tunehook.aws.items import from_attributes
from tunehook.deliveries import message_for
from tunehook.signatures import notify_hook_subscription_id
from webhooks import circuit_breaker as module
from webhooks.circuit_breaker import CircuitBreaker, Permit, receiver_of
from webhooks.delivery import Step
from webhooks.policy import ResponseClass

# As documented, and not imported: a bound that moves is to be noticed.
PROVEN_MS = 60_000
TRIAL_MS = 20_000

HANGS = None
OK = ResponseClass.DELIVERED
SECOND = 1_000


@pytest.fixture
def world(aws: None) -> World:
    return World(Receiver(OK))


def another_worker(world: World) -> CircuitBreaker:
    return CircuitBreaker(CircuitsTable(world.client, "gates"), lambda: world.now_ms)


async def enter(breaker: CircuitBreaker, receiver: str = "sub") -> Permit:
    """Begin an attempt that goes on until it is left."""
    return await breaker.permit(receiver).__aenter__()


async def leave(permit: Permit, *, answered: bool | None) -> None:
    permit.record_result(answered)
    await permit.__aexit__(None, None, None)


async def answer(breaker: CircuitBreaker, *, answered: bool | None = True) -> Permit:
    permit = await enter(breaker)
    assert permit.wait_until_ms is None
    await leave(permit, answered=answered)
    return permit


async def attempt_that_is_not_recorded(breaker: CircuitBreaker, *, answered: bool) -> None:
    async with breaker.permit("sub") as permit:
        permit.record_result(answered)
        raise OSError("not recorded")


async def fail(world: World, times: int, every_ms: int = 15 * SECOND) -> None:
    for _ in range(times):
        world.now_ms += every_ms
        await answer(another_worker(world), answered=False)


async def waits_ms(world: World) -> int:
    """How long the next message of a worker that knows nothing has to wait; 0 if it is admitted."""
    breaker = another_worker(world)
    permit = await enter(breaker)
    if permit.wait_until_ms is not None:
        return permit.wait_until_ms - world.now_ms
    await leave(permit, answered=None)
    return 0


async def test_an_unknown_receiver_is_tried_with_one_attempt(world: World) -> None:
    first = await enter(world.breaker)
    second = await enter(world.breaker)
    assert (first.is_probe, first.wait_until_ms) == (True, None)
    assert second.wait_until_ms == START_MS + 1_000


async def test_the_workers_try_a_receiver_with_one_attempt_together(world: World) -> None:
    await enter(world.breaker)
    assert (await enter(another_worker(world))).wait_until_ms is not None


async def test_an_answer_admits_all_that_waits_in_the_same_worker_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_HERE_S", 60)
    trial = await enter(world.breaker)
    waiting = [asyncio.create_task(enter(world.breaker)) for _ in range(9)]
    await asyncio.sleep(0)
    trial.record_result(True)
    permits = await asyncio.wait_for(asyncio.gather(*waiting), HANG_S)
    assert {(each.is_probe, each.wait_until_ms) for each in permits} == {(False, None)}


async def test_an_answer_admits_the_other_workers(world: World) -> None:
    await answer(world.breaker)
    permit = await enter(another_worker(world))
    assert (permit.is_probe, permit.wait_until_ms) == (False, None)


async def test_an_answer_admits_the_other_workers_before_the_attempt_is_recorded(world: World) -> None:
    trial = await enter(world.breaker)
    other = asyncio.create_task(enter(another_worker(world)))
    trial.record_result(True)
    assert (await other).wait_until_ms is None
    await trial.__aexit__(None, None, None)


async def test_an_answer_counts_although_its_record_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    prove = world.gates.close

    def prove_late(*arguments: Any) -> None:
        time.sleep(0.1)
        prove(*arguments)

    monkeypatch.setattr(world.gates, "close", prove_late)
    with pytest.raises(OSError, match="not recorded"):
        await attempt_that_is_not_recorded(world.breaker, answered=True)
    assert world.gates.acquire_probe("sub", world.now_ms)[1].proven_until_ms > world.now_ms
    permit = await enter(another_worker(world))
    assert (permit.is_probe, permit.wait_until_ms) == (False, None)


async def test_failures_count_although_their_records_failed(world: World) -> None:
    await answer(world.breaker)
    for _ in range(3):
        world.now_ms += SECOND
        with pytest.raises(OSError, match="not recorded"):
            await attempt_that_is_not_recorded(another_worker(world), answered=False)
    assert await waits_ms(world) == 30 * SECOND


async def test_a_proven_receiver_is_not_asked_about_for_a_minute(world: World) -> None:
    calls: list[str] = []
    world.client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
    await answer(world.breaker)
    assert calls == ["UpdateItem", "UpdateItem"]
    world.now_ms += PROVEN_MS - 1
    assert not (await answer(world.breaker, answered=None)).is_probe
    assert len(calls) == 2
    world.now_ms += 1
    assert (await answer(world.breaker)).is_probe


async def test_that_a_receiver_goes_on_answering_is_told_every_5_s_and_keeps_it_proven(world: World) -> None:
    await answer(world.breaker)
    calls: list[str] = []
    world.client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
    for _ in range(100):  # over 100 s
        world.now_ms += SECOND
        assert not (await answer(world.breaker)).is_probe
    assert calls == ["UpdateItem"] * 20
    assert (await enter(another_worker(world))).wait_until_ms is None


async def test_answers_of_another_worker_between_failures_end_their_row(world: World) -> None:
    other = another_worker(world)
    await answer(world.breaker)
    await answer(other)
    for _ in range(6):
        world.now_ms += 6 * SECOND
        await answer(world.breaker, answered=False)
        world.now_ms += 6 * SECOND
        await answer(other)
    assert await waits_ms(world) == 0


async def test_what_another_worker_heard_long_before_the_failures_ends_no_row(world: World) -> None:
    await answer(another_worker(world))
    await fail(world, 3)
    assert await waits_ms(world) == 30 * SECOND


HOOK_URL = "https://hook.example/"


@pytest.mark.parametrize(
    ("item", "name"),
    [
        ({"url": HOOK_URL}, notify_hook_subscription_id(HOOK_URL)),
        ({"url": 7}, "sub"),
        ({}, "sub"),
        (None, "sub"),
    ],
)
def test_a_receiver_is_a_url_and_the_hooks_with_the_same_one_are_the_same(
    item: dict[str, Any] | None, name: str
) -> None:
    assert receiver_of("sub", None if item is None else subscribed(item)) == name


async def test_a_subscription_whose_url_is_changed_waits_for_no_circuit_of_the_old_one(world: World) -> None:
    world.receiver = Receiver(HANGS, HANGS, HANGS, OK)
    world.subscribe(url="https://old.example/")
    records = [delivery(event_id=f"evt_{number}") for number in range(5)]
    for record in records:
        world.add(record)
    await world.run(messages=8)
    assert len(world.receiver.attempts) == 3
    assert world.outcomes.pop().step is Step.HELD_BACK
    world.subscribe(url="https://new.example/")
    world.now_ms += (
        15 * SECOND
    )  # what was read of it is forgotten; the old one's gate is shut for as long again
    world.arrive(message_for(world.table.get(records[-1].delivery_id)), world.now_ms)
    await world.run(messages=1)
    assert world.outcomes[-1].step is Step.ATTEMPTED
    assert world.outcomes[-1].status == "delivered"


async def test_the_answer_of_a_url_that_was_changed_meanwhile_proves_nothing_of_the_old_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.subscribe(url="https://old.example/")
    message = world.add(delivery())
    get = world.subscriptions.get
    read: list[Any] = []

    def changed(subscription_id: str) -> Any:
        found = get(subscription_id)
        if not read:
            read.append(found)
            world.subscribe(url="https://new.example/")
            world.now_ms += 16 * SECOND
        return found

    monkeypatch.setattr(world.subscriptions, "get", changed)
    outcome = await world.deliverer.handle(message, 1)
    assert outcome.status == "delivered"
    gates = [from_attributes(item) for item in world.client.scan(TableName="gates")["Items"]]
    assert [gate["receiver"] for gate in gates] == [notify_hook_subscription_id("https://old.example/")]
    assert not any("proven_until_ms" in gate or "trial_since_ms" in gate for gate in gates)


async def test_receivers_do_not_wait_for_each_other(world: World) -> None:
    await enter(world.breaker, "hanging")
    assert (await enter(world.breaker)).wait_until_ms is None


async def test_messages_that_wait_for_a_long_trial_come_again_later_and_later(world: World) -> None:
    await enter(world.breaker)
    waits = []
    for _ in range(3):
        world.now_ms += 3 * SECOND
        waits.append(await waits_ms(world))
    assert waits == [3 * SECOND, 6 * SECOND, 9 * SECOND]


async def test_a_trial_whose_worker_died_is_made_by_another_one(world: World) -> None:
    await enter(world.breaker)
    world.now_ms += TRIAL_MS - 1
    assert (await enter(another_worker(world))).wait_until_ms is not None
    world.now_ms += 1
    assert (await enter(another_worker(world))).is_probe


async def test_after_three_failures_in_a_row_within_a_minute_the_receiver_is_left_alone_for_30_s(
    world: World,
) -> None:
    await fail(world, 2)
    assert await waits_ms(world) == 0
    await fail(world, 1)
    assert await waits_ms(world) == 30 * SECOND


async def test_failures_further_apart_than_a_minute_shut_nothing(world: World) -> None:
    await fail(world, 6, every_ms=31 * SECOND)
    assert await waits_ms(world) == 0


async def test_the_minute_is_that_before_the_third_failure_and_not_that_after_the_first(world: World) -> None:
    await fail(world, 1)
    await fail(world, 1, every_ms=50 * SECOND)
    await fail(world, 1, every_ms=15 * SECOND)
    assert await waits_ms(world) == 0
    await fail(world, 1, every_ms=SECOND)
    assert await waits_ms(world) == 30 * SECOND


async def test_an_answer_between_failures_begins_the_row_anew(world: World) -> None:
    await fail(world, 2)
    await answer(another_worker(world))
    world.now_ms += PROVEN_MS
    await fail(world, 2, every_ms=SECOND)
    assert await waits_ms(world) == 0


async def test_a_trial_that_outlived_its_time_ends_nobody_elses(world: World) -> None:
    late, other = another_worker(world), another_worker(world)
    outlived = await enter(late)
    world.now_ms += TRIAL_MS
    assert (await enter(other)).is_probe
    for answered in (None, False):
        await leave(outlived, answered=answered)
        assert (await enter(another_worker(world))).wait_until_ms is not None


async def test_the_failure_of_a_trial_that_another_has_taken_over_counts_for_nothing(world: World) -> None:
    await fail(world, 2)
    world.now_ms += PROVEN_MS
    late, other = another_worker(world), another_worker(world)
    outlived = await enter(late)
    world.now_ms += TRIAL_MS
    trial = await enter(other)
    assert trial.is_probe
    before = items("gates")
    await leave(outlived, answered=False)
    assert items("gates") == before


async def test_one_probe_is_made_after_the_wait_and_doubles_it_up_to_10_minutes(world: World) -> None:
    await fail(world, 3)
    waits = []
    for _ in range(7):
        waits.append(await waits_ms(world))
        world.now_ms += waits[-1]
        probe = another_worker(world)
        permit = await enter(probe)
        assert permit.is_probe
        assert await waits_ms(world) == 1_000
        await leave(permit, answered=False)
    assert [wait // SECOND for wait in waits] == [30, 60, 120, 240, 480, 600, 600]


async def test_a_probe_that_is_answered_lets_everything_in(world: World) -> None:
    await fail(world, 3)
    world.now_ms += 30 * SECOND
    await answer(another_worker(world))
    assert await waits_ms(world) == 0
    world.now_ms += PROVEN_MS
    await fail(world, 2, every_ms=SECOND)
    assert await waits_ms(world) == 0


async def test_proven_attempts_that_fail_together_shut_the_receiver_once(world: World) -> None:
    await answer(world.breaker)
    permits = [await enter(world.breaker) for _ in range(10)]
    world.now_ms += 15 * SECOND
    for permit in permits:
        await leave(permit, answered=False)
    assert await waits_ms(world) == 30 * SECOND


async def test_an_attempt_that_was_not_made_ends_the_trial_and_shows_nothing(world: World) -> None:
    assert (await answer(world.breaker, answered=None)).is_probe
    assert (await answer(another_worker(world))).is_probe


async def test_a_wait_written_by_a_clock_that_was_days_ahead_is_void(world: World) -> None:
    world.now_ms += 48 * 3600 * SECOND
    await fail(world, 3)
    world.now_ms = START_MS
    assert await waits_ms(world) == 0


async def test_a_worker_whose_clock_jumps_back_forgets_what_it_knew(world: World) -> None:
    await fail(world, 2)
    world.now_ms += SECOND
    permit = await enter(world.breaker)
    await leave(permit, answered=False)
    world.now_ms -= 48 * 3600 * SECOND
    assert (await enter(world.breaker)).is_probe


async def test_the_receivers_that_were_met_last_are_remembered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 5)
    for number in range(20):
        await leave(await enter(world.breaker, f"hook_{number}"), answered=True)
        await leave(await enter(world.breaker), answered=True)
    assert set(world.breaker._known) == {"sub", "hook_16", "hook_17", "hook_18", "hook_19"}


async def test_answers_between_timeouts_of_attempts_at_the_same_time_end_their_row(world: World) -> None:
    await answer(world.breaker)
    permits = [await enter(world.breaker) for _ in range(10)]
    for number, permit in enumerate(permits):
        world.now_ms += 100
        answered = number not in (1, 4, 7)
        await leave(permit, answered=answered)
    assert await waits_ms(world) == 0


async def test_an_attempt_that_was_not_made_ends_no_row(world: World) -> None:
    await answer(world.breaker)
    permits = [await enter(world.breaker) for _ in range(5)]
    for permit, answered in zip(permits, (False, None, False, None, False), strict=True):
        world.now_ms += 100
        await leave(permit, answered=answered)
    assert await waits_ms(world) == 30 * SECOND


async def test_what_cannot_be_written_of_an_attempt_raises_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "UpdateItem")
    for answered, call in ((True, "close"), (False, "record_failure"), (None, "release_probe")):
        with monkeypatch.context() as patch:
            patch.setattr(world.gates, call, Mock(side_effect=refused))
            permit = await enter(world.breaker, f"hook-{call}")
            assert permit.is_probe
            await leave(permit, answered=answered)
            assert getattr(world.gates, call).called


async def test_messages_that_wait_use_up_no_attempt(world: World) -> None:
    world.receiver = Receiver(HANGS)
    records = [hook_delivery(event_id=f"evt_{number}") for number in range(5)]
    for record in records:
        world.add(record)
    await world.run(messages=8)
    attempts = [len(world.item(record)["attempts"]) for record in records]
    assert sum(attempts) == len(world.receiver.attempts) == 3
    assert {outcome.step for outcome in world.outcomes} >= {Step.ATTEMPTED, Step.HELD_BACK}


async def test_a_receiver_that_comes_back_gets_everything_that_waited(world: World) -> None:
    world.receiver = Receiver(HANGS, HANGS, HANGS, HANGS, OK)
    world.subscribe()
    records = [delivery(event_id=f"evt_{number}") for number in range(20)]
    for record in records:
        world.add(record)
    await world.run()
    assert {world.item(record)["status"] for record in records} == {"delivered"}
    assert len(world.receiver.attempts) == 24
    assert world.faults == []


async def test_the_schedule_of_a_receiver_that_hangs_is_made_in_full(world: World) -> None:
    world.receiver = Receiver(HANGS)
    record = hook_delivery()
    world.add(record)
    await world.run()
    assert [made["attempt"] for made in world.item(record)["attempts"]] == list(range(1, 11))
    assert world.item(record)["status"] == "failed"


async def test_a_fault_while_asking_leaves_the_worker_able_to_ask_again(world: World) -> None:
    acquire_probe = world.gates.acquire_probe

    def throttled(*_: Any) -> Any:
        world.gates.acquire_probe = acquire_probe
        raise OSError("throttled")

    world.gates.acquire_probe = throttled
    with pytest.raises(OSError, match="throttled"):
        await enter(world.breaker)
    assert (await enter(world.breaker)).is_probe


async def test_failures_just_a_minute_apart_shut_the_receiver(world: World) -> None:
    await fail(world, 3, every_ms=30 * SECOND)
    assert await waits_ms(world) == 30 * SECOND


async def test_a_late_failure_takes_back_no_wait_that_the_worker_knows_of(world: World) -> None:
    await answer(world.breaker)
    permits = [await enter(world.breaker) for _ in range(5)]
    for permit in permits:
        await leave(permit, answered=False)
    calls: list[str] = []
    world.client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
    permit = await enter(world.breaker)
    assert (permit.wait_until_ms, calls) == (world.now_ms + 30 * SECOND, [])


async def test_messages_of_one_worker_begin_one_trial_however_many_come_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: list[str] = []
    acquire_probe = world.gates.acquire_probe

    def counted(receiver: str, now_ms: int) -> Any:
        entered.append(receiver)
        return acquire_probe(receiver, now_ms)

    monkeypatch.setattr(world.gates, "acquire_probe", counted)
    permits = await asyncio.gather(*(enter(world.breaker) for _ in range(5)))
    assert (entered, [each.is_probe for each in permits].count(True)) == (["sub"], 1)


@pytest.mark.parametrize(("is_here", "patience_s"), [(True, 0.5), (False, 0.1)])
@in_virtual_time
async def test_a_message_waits_longer_for_a_trial_of_its_own_worker(is_here: bool, patience_s: float) -> None:
    class Gates:
        def acquire_probe(self, receiver: str, now_ms: int) -> tuple[bool, Circuit]:
            return is_here, Circuit(trial_since_ms=now_ms)

    gates: Any = Gates()
    breaker = CircuitBreaker(gates, lambda: START_MS)
    loop = asyncio.get_running_loop()
    if is_here:
        assert (await enter(breaker)).is_probe
    began_s = loop.time()
    permit = await enter(breaker)
    assert permit.wait_until_ms == START_MS + SECOND
    assert patience_s <= loop.time() - began_s < patience_s + 0.05
