from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError
from tests.unit.webhooks.world import START_MS, VISIBILITY_MS, Receiver, World, delivery, hook_delivery

from tunehook.deliveries import DeliveryStatus, message_for
from tunehook.errors import Unavailable
from webhooks.delivery import Step
from webhooks.policy import ResponseClass

# As documented, and not imported: a bound that moves is to be noticed.
CLAIM_MS = 25_000

pytestmark = pytest.mark.usefixtures("aws")

OK, FAILED, ABORTED, GONE = (
    ResponseClass.DELIVERED,
    ResponseClass.FAILED,
    ResponseClass.ABORTED,
    ResponseClass.GONE,
)
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
WAITS = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR]


class Killed(Exception):
    """The process dies here."""


async def test_a_delivered_message_is_done_with_one_attempt() -> None:
    world = World(Receiver(OK))
    record = hook_delivery()
    world.add(record)
    await world.run()
    item = world.item(record)
    assert item["status"] == "delivered"
    assert item["attempts"] == [
        {"run": 1, "attempt": 1, "at_ms": START_MS, "duration_ms": 20, "status_code": 200, "excerpt": ""}
    ]
    assert "next_attempt_at_ms" not in item
    assert "claimed_until_ms" not in item
    assert world.idle
    assert world.sent == []


async def test_the_whole_schedule_is_kept_and_then_given_up() -> None:
    world = World(Receiver(FAILED))
    record = hook_delivery()
    world.add(record)
    await world.run()
    moments = [at_ms for _, _, at_ms in world.receiver.attempts]
    assert len(moments) == 10
    assert [later - earlier for earlier, later in pairwise(moments)] == WAITS
    item = world.item(record)
    assert (item["status"], item["reason"]) == ("failed", "all attempts failed")
    assert [attempt["attempt"] for attempt in item["attempts"]] == list(range(1, 11))
    assert world.faults == []
    assert world.idle


async def test_with_jitter_no_attempt_comes_before_its_time() -> None:
    world = World(Receiver(FAILED), jitter=0.777)
    world.add(hook_delivery())
    await world.run()
    moments = [at_ms for _, _, at_ms in world.receiver.attempts]
    waits = [later - earlier for earlier, later in pairwise(moments)]
    assert all(
        0 <= wait - round(due * (1 + 0.2 * 0.777)) <= SECOND for wait, due in zip(waits, WAITS, strict=True)
    )


async def test_a_long_wait_hops_through_the_queue_in_steps_of_15_minutes() -> None:
    world = World(Receiver(FAILED, FAILED, FAILED, FAILED, OK))
    world.add(hook_delivery())
    await world.run()
    hops = [outcome for outcome in world.outcomes if outcome.step is Step.SENT_ON]
    assert len(hops) == (30 * MINUTE + 2 * HOUR) // (15 * MINUTE) - 2


async def test_retry_after_puts_the_next_attempt_off() -> None:
    world = World(Receiver(FAILED, OK, retry_after="3600"))
    record = hook_delivery()
    world.add(record)
    await world.run()
    assert [at_ms - START_MS for _, _, at_ms in world.receiver.attempts] == [0, HOUR]


async def test_a_receiver_that_comes_back_gets_the_delivery() -> None:
    world = World(Receiver(FAILED, FAILED, OK))
    record = hook_delivery()
    world.add(record)
    await world.run()
    assert world.item(record)["status"] == "delivered"
    assert [attempt["status_code"] for attempt in world.item(record)["attempts"]] == [503, 503, 200]


async def test_a_pending_delivery_says_when_its_next_attempt_is_due() -> None:
    world = World(Receiver(FAILED))
    record = hook_delivery()
    world.add(record)
    await world.run(messages=1)
    item = world.item(record)
    assert (item["status"], item["next_attempt"], item["next_attempt_at_ms"]) == (
        "pending",
        2,
        START_MS + 5_000,
    )


async def test_a_clock_that_jumps_back_delays_and_loses_nothing() -> None:
    world = World(Receiver(FAILED, OK))
    record = hook_delivery()
    world.add(record)
    await world.run(messages=1)
    world.now_ms -= 2 * HOUR
    await world.run()
    assert world.item(record)["status"] == "delivered"
    assert len(world.receiver.attempts) == 2


async def test_a_message_that_a_clock_far_ahead_has_written_does_not_hop_for_ever() -> None:
    world = World(Receiver(OK))
    record = hook_delivery()
    message = world.add(record)
    world.next_arrival()
    world.arrive(message.model_copy(update={"due_at_ms": START_MS + 3650 * 24 * HOUR}), START_MS)
    await world.run(messages=2)
    assert world.item(record)["status"] == "delivered"
    assert world.sent == []


async def test_a_clock_that_jumps_forward_makes_no_attempt_twice() -> None:
    world = World(Receiver(FAILED))
    record = hook_delivery()
    world.add(record)
    await world.run(messages=3)
    world.now_ms += 40 * HOUR
    await world.run()
    assert [number for _, number, _ in world.receiver.attempts] == list(range(1, 11))


async def test_a_message_that_comes_twice_makes_no_second_attempt() -> None:
    world = World(Receiver(OK))
    message = world.add(hook_delivery())
    world.arrive(message, START_MS)
    await world.run()
    assert len(world.receiver.attempts) == 1
    assert [outcome.step for outcome in world.outcomes] == [Step.ATTEMPTED, Step.DROPPED]


async def test_a_message_whose_attempt_is_recorded_sends_the_next_one_again() -> None:
    world = World(Receiver(FAILED))
    message = world.add(hook_delivery())
    await world.run(messages=1)
    (following,) = world.sent
    await world.deliverer.handle(message, receive_count=2)
    assert world.sent == [following, following]


async def test_a_duplicate_that_nobody_had_before_sends_nothing() -> None:
    world = World(Receiver(FAILED))
    message = world.add(hook_delivery())
    await world.run(messages=1)
    outcome = await world.deliverer.handle(message, receive_count=1)
    assert outcome.step is Step.DROPPED
    assert outcome.delivery is not None
    assert len(world.sent) == 1


async def test_late_duplicates_of_a_message_cost_no_more_messages() -> None:
    sent = []
    world = World(Receiver(FAILED))
    for copies in (1, 3):
        message = world.add(hook_delivery(event_id=f"evt_{copies}", now_ms=world.now_ms))
        for copy in range(1, copies):
            world.arrive(message, world.now_ms + copy * 30_000)
        await world.run(messages=5_000)
        sent.append(len([each for each in world.sent if each.delivery_id == message.delivery_id]))
    assert sent[1] == sent[0]


async def test_duplicates_of_every_message_double_no_attempt() -> None:
    world = World(Receiver(FAILED))
    record = hook_delivery()
    send = world.send

    def send_twice(message: Any, now_ms: int) -> None:
        send(message, now_ms)
        if len(world.sent) < 6:
            send(message, now_ms)

    world.send = send_twice  # type: ignore[method-assign]
    world.add(record)
    await world.run(messages=5_000)
    assert [number for _, number, _ in world.receiver.attempts] == list(range(1, 11))
    assert world.idle


async def test_an_attempt_that_another_worker_is_making_comes_again() -> None:
    world = World(Receiver(OK))
    message = world.add(hook_delivery())
    await world.table.claim_in_loop(message, START_MS)
    with pytest.raises(Unavailable):
        await world.deliverer.handle(message, 1)
    assert world.receiver.attempts == []


async def test_a_claim_whose_worker_died_is_taken_after_its_time() -> None:
    world = World(Receiver(OK))
    record = hook_delivery()
    message = world.add(record)
    await world.table.claim_in_loop(message, START_MS)
    world.now_ms += CLAIM_MS
    await world.run()
    assert world.item(record)["status"] == "delivered"


async def test_a_message_of_an_earlier_run_is_dropped() -> None:
    world = World(Receiver(OK))
    record = hook_delivery().model_copy(update={"run": 2})
    world.add(record)
    await world.run()
    stale = message_for(record).model_copy(update={"run": 1})
    assert (await world.deliverer.handle(stale, 1)).step is Step.DROPPED


async def test_a_message_whose_delivery_is_gone_is_dropped() -> None:
    world = World(Receiver(OK))
    outcome = await world.deliverer.handle(message_for(hook_delivery()), 1)
    assert outcome.step is Step.DROPPED
    assert world.client.scan(TableName="deliveries")["Count"] == 0


def dying(call: Callable[..., Any], *, after: bool, deaths: list[str]) -> Callable[..., Any]:
    """`call`, but the process dies before or after the first one."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if deaths and not after:
            raise Killed(deaths.pop())
        result = call(*args, **kwargs)
        if deaths:
            raise Killed(deaths.pop())
        return result

    return wrapped


def dying_in_loop(
    call: Callable[..., Awaitable[Any]], *, after: bool, deaths: list[str]
) -> Callable[..., Awaitable[Any]]:
    """The same for a call that is awaited."""

    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        if deaths and not after:
            raise Killed(deaths.pop())
        result = await call(*args, **kwargs)
        if deaths:
            raise Killed(deaths.pop())
        return result

    return wrapped


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("place", ["claim_in_loop", "record_in_loop", "send"])
@pytest.mark.parametrize("attempt", [1, 2, 9])
async def test_a_process_that_dies_anywhere_loses_no_attempt_and_records_none_twice(
    place: str, after: bool, attempt: int
) -> None:
    world = World(Receiver(FAILED))
    record = hook_delivery()
    world.add(record)
    while len(world.receiver.attempts) < attempt - 1:
        await world.run(messages=1)
    deaths = [place]
    if place == "send":
        world.send = dying(world.send, after=after, deaths=deaths)  # type: ignore[method-assign]
    else:
        call = dying_in_loop(getattr(world.table, place), after=after, deaths=deaths)
        setattr(world.table, place, call)
    await world.run()
    item = world.item(record)
    assert deaths == []
    assert len(world.faults) == 1
    assert item["status"] == "failed"
    assert [made["attempt"] for made in item["attempts"]] == list(range(1, 11))
    made_twice = 1 if (place, after) == ("record_in_loop", False) else 0
    assert len(world.receiver.attempts) == 10 + made_twice


async def test_a_fault_of_ours_during_the_attempt_uses_up_none() -> None:
    world = World(Receiver(Killed("bug"), FAILED))
    record = hook_delivery()
    world.add(record)
    await world.run(messages=2)
    assert [made["attempt"] for made in world.item(record)["attempts"]] == [1]
    assert world.now_ms == START_MS + VISIBILITY_MS


async def test_a_master_secret_that_cannot_be_read_leaves_the_delivery_unclaimed() -> None:
    def fail() -> str:
        raise Killed("throttled")

    world = World(Receiver(OK), master_secret=fail)
    record = hook_delivery()
    world.add(record)
    await world.run(messages=1)
    assert "claimed_until_ms" not in world.item(record)
    assert world.receiver.attempts == []


async def test_with_too_little_time_left_no_attempt_is_begun() -> None:
    world = World(Receiver(OK), remaining_ms=19_999)
    record = hook_delivery()
    world.add(record)
    await world.run(messages=1)
    assert world.receiver.attempts == []
    assert "claimed_until_ms" not in world.item(record)
    world.remaining_ms = 20_000
    await world.run()
    assert world.item(record)["status"] == "delivered"


async def test_a_claim_that_was_answered_too_late_for_an_attempt_leads_to_none() -> None:
    world = World(Receiver(OK))
    record = hook_delivery()
    world.add(record)
    claim, waits = world.table.claim_in_loop, [8_001]

    async def claim_slowly(*args: Any) -> Any:
        answer = await claim(*args)
        world.now_ms += waits.pop() if waits else 0
        return answer

    world.table.claim_in_loop = claim_slowly
    await world.run(messages=1)
    assert world.receiver.attempts == []
    await world.run()
    assert len(world.receiver.attempts) == 1
    assert world.item(record)["status"] == "delivered"


async def test_a_fault_of_the_gates_after_the_attempt_was_recorded_is_no_fault_of_the_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(Receiver(FAILED, OK))
    record = hook_delivery()
    world.add(record)
    refused = ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "UpdateItem")
    with monkeypatch.context() as patch:
        patch.setattr(world.gates, "close", Mock(side_effect=refused))
        await world.run(messages=1)
    assert world.faults == []
    assert world.outcomes[0].status is DeliveryStatus.PENDING
    await world.run()
    assert [number for _, number, _ in world.receiver.attempts] == [1, 2]
    assert len([each for each in world.sent if each.attempt == 2]) == 1


async def test_a_worker_that_comes_late_with_its_record_changes_nothing() -> None:
    world = World(Receiver(OK))
    record = hook_delivery()
    message = world.add(record)
    attempt_of = world.receiver.attempt

    async def overtaken(*args: Any) -> Any:
        world.table.record(message, status=DeliveryStatus.PENDING, next_attempt_at_ms=START_MS + 7_000)
        return await attempt_of(*args)

    world.receiver.attempt = overtaken  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await world.deliverer.handle(message, 1)
    assert (world.item(record)["status"], world.item(record)["next_attempt"]) == ("pending", 2)


async def test_an_answer_to_stop_this_delivery_aborts_it() -> None:
    world = World(Receiver(ABORTED))
    record = hook_delivery()
    world.add(record)
    await world.run()
    assert world.item(record)["status"] == "aborted"
    assert len(world.receiver.attempts) == 1


async def test_a_receiver_that_is_gone_disables_its_subscription() -> None:
    world = World(Receiver(GONE))
    world.subscribe()
    record = delivery()
    world.add(record)
    await world.run()
    assert world.item(record)["status"] == "failed"
    assert world.subscription()["enabled"] is False
    assert "receiver" in world.subscription()["disabled_reason"]


async def test_a_hook_that_is_gone_makes_no_subscription() -> None:
    world = World(Receiver(GONE))
    record = hook_delivery()
    world.add(record)
    await world.run()
    assert world.item(record)["status"] == "failed"
    assert world.client.scan(TableName="subscriptions")["Count"] == 0


async def test_deliveries_of_a_disabled_subscription_are_aborted_without_an_attempt() -> None:
    world = World(Receiver(OK))
    world.subscribe(enabled=False)
    record = delivery()
    world.add(record)
    await world.run()
    item = world.item(record)
    assert (item["status"], item["reason"], item["attempts"]) == ("aborted", "subscription disabled", [])
    assert world.receiver.attempts == []
    (outcome,) = world.outcomes
    assert (outcome.step, outcome.status, outcome.delivery) == (
        Step.WITHDRAWN,
        DeliveryStatus.ABORTED,
        record,
    )


async def test_deliveries_of_a_deleted_subscription_are_aborted_without_an_attempt() -> None:
    world = World(Receiver(OK))
    record = delivery()
    world.add(record)
    await world.run()
    assert (world.item(record)["status"], world.item(record)["reason"]) == ("aborted", "subscription deleted")


@pytest.mark.parametrize("before", [{"enabled": False}, None])
async def test_a_delivery_that_follows_right_after_enabling_or_subscribing_is_made(
    before: dict[str, Any] | None,
) -> None:
    world = World(Receiver(OK))
    if before is not None:
        world.subscribe(**before)
    world.add(delivery(event_id="evt_0"))
    await world.run()  # which remembers that there is nothing to send to
    world.subscribe()
    record = delivery()
    world.add(record)
    await world.run()
    assert world.item(record)["status"] == "delivered"


async def test_a_subscription_disabled_between_attempts_gets_no_more() -> None:
    world = World(Receiver(FAILED))
    world.subscribe()
    record = delivery()
    world.add(record)
    await world.run(messages=2)
    world.subscribe(enabled=False)
    await world.run()
    assert len(world.receiver.attempts) == 2
    assert world.item(record)["status"] == "aborted"


async def test_an_attempt_takes_two_calls_of_dynamodb() -> None:
    world = World(Receiver(OK))
    world.subscribe()
    world.add(delivery(event_id="evt_0"))
    await world.run()  # which reads the subscription, and proves that it answers
    world.add(delivery())
    calls: list[str] = []
    world.client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
    await world.run()
    assert calls == ["UpdateItem", "UpdateItem"]


@pytest.mark.parametrize(
    ("ahead_ms", "step"),
    [
        (-1, Step.ATTEMPTED),
        (100, Step.ATTEMPTED),
        (101, Step.SENT_ON),
        (48 * HOUR, Step.SENT_ON),
        (48 * HOUR + 1, Step.ATTEMPTED),
    ],
)
async def test_a_message_is_early_from_100_ms_to_48_h_before_its_time(ahead_ms: int, step: Step) -> None:
    world = World(Receiver(OK))
    message = world.add(hook_delivery()).model_copy(update={"due_at_ms": START_MS + ahead_ms})
    outcome = await world.deliverer.handle(message, 1)
    assert outcome.step is step
    assert outcome.message == message
    assert world.sent == ([message] if step is Step.SENT_ON else [])


@pytest.mark.parametrize(("took_ms", "is_in_time"), [(8_000, True), (8_001, False)])
async def test_a_claim_that_took_8_s_leaves_time_for_an_attempt_and_its_record(
    monkeypatch: pytest.MonkeyPatch, took_ms: int, is_in_time: bool
) -> None:
    world = World(Receiver(OK))
    message = world.add(hook_delivery())
    claim = world.table.claim_in_loop

    async def slowly(*args: Any) -> Any:
        world.now_ms += took_ms
        return await claim(*args)

    monkeypatch.setattr(world.table, "claim_in_loop", slowly)
    if is_in_time:
        assert (await world.deliverer.handle(message, 1)).step is Step.ATTEMPTED
    else:
        with pytest.raises(Unavailable, match="too late"):
            await world.deliverer.handle(message, 1)
    assert len(world.receiver.attempts) == is_in_time


async def test_an_outcome_names_the_delivery_that_it_is_of() -> None:
    world = World(Receiver(OK))
    record = delivery()
    message = world.add(record)
    withdrawn = await world.deliverer.handle(message, 1)
    assert (withdrawn.step, withdrawn.delivery, withdrawn.status) == (Step.WITHDRAWN, record, "aborted")
    over = await world.deliverer.handle(message, 1)
    assert (over.step, over.delivery and over.delivery.delivery_id) == (Step.DROPPED, record.delivery_id)
    assert (over.attempt, over.status) == (None, None)


class TestPayload:
    """What is sent is what the record names, wherever it is read."""

    async def test_a_message_has_it_so_that_no_read_is_needed_for_any_attempt(self, monkeypatch: Any) -> None:
        world = World(Receiver(FAILED, FAILED, OK))
        world.add(hook_delivery(payload='{"n": 1}'))
        monkeypatch.setattr(world.table, "with_payload", Mock(side_effect=AssertionError))
        await world.run()
        assert (world.receiver.payloads, world.faults) == (['{"n": 1}'] * 3, [])

    @pytest.mark.parametrize("given", [None, '{"forged": true}'])
    async def test_it_is_read_where_the_message_has_none_or_another(self, given: str | None) -> None:
        world = World(Receiver(OK))
        record = hook_delivery(payload='{"n": 1}')
        world.table.create(record)
        world.arrive(message_for(record).model_copy(update={"payload": given}), START_MS)
        await world.run()
        assert world.receiver.payloads == ['{"n": 1}']

    async def test_a_record_of_an_earlier_version_has_it(self) -> None:
        world = World(Receiver(OK))
        world.add(hook_delivery(payload='{"n": 1}').model_copy(update={"payload_id": None}))
        await world.run()
        assert world.receiver.payloads == ['{"n": 1}']
