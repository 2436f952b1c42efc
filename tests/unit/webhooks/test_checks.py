"""The check of an endpoint, through the deliverer: one attempt, at what the subscription would be."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.webhooks.test_by_hand import NEW, OLD, Sending
from tests.unit.webhooks.world import Receiver, World, delivery

from tunehook.deliveries import Delivery, DeliveryStatus, message_for
from webhooks.delivery import Step
from webhooks.policy import ResponseClass

pytestmark = pytest.mark.usefixtures("aws")


def check(**candidate: Any) -> Delivery:
    made = delivery(event_id="evt_check", type="webhook.test", payload='{"task_id": "webhook-test"}')
    return made.model_copy(update={"is_check": True, "candidate": {"url": NEW} | candidate})


async def test_it_goes_to_the_subscription_as_it_would_be() -> None:
    world = Sending(204)
    world.subscribe(url=OLD, enabled=False)
    record = check(headers={"x-key": "hush"})
    world.add(record)
    await world.run()
    ((url, headers, _),) = world.requests
    assert (url, headers["x-key"]) == (NEW, "hush")
    assert world.is_signed(0, 1)
    item = world.item(record)
    assert (item["status"], len(item["attempts"]), "candidate" in item) == ("delivered", 1, False)
    assert [each.step for each in world.outcomes] == [Step.CHECKED]


async def test_it_needs_no_subscription_and_is_signed_by_the_versions_that_are_kept() -> None:
    world = Sending(204, 204)
    world.add(check())
    await world.run()
    assert world.is_signed(0, 1)
    world.subscribe(url=OLD)
    world.rotate()
    record = check().model_copy(update={"delivery_id": "msg_second"})
    world.add(record)
    await world.run()
    assert world.is_signed(1, 2)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (ResponseClass.FAILED, "failed"),
        (ResponseClass.GONE, "failed"),
        (ResponseClass.ABORTED, "aborted"),
        (None, "failed"),
    ],
)
async def test_one_that_fails_is_not_repeated_and_counts_for_nothing(
    answer: ResponseClass | None, status: str
) -> None:
    world = World(Receiver(answer))
    world.subscribe()
    before = world.subscription()
    for number in range(4):
        record = check().model_copy(update={"delivery_id": f"msg_{number}"})
        world.add(record)
        await world.run()
        item = world.item(record)
        assert (item["status"], len(item["attempts"])) == (status, 1)
        assert item["reason"]
    assert (world.subscription(), world.bus.events, world.sent) == (before, [], [])
    assert world.client.scan(TableName="gates")["Items"] == []


async def test_a_receiver_that_hangs_is_tried_all_the_same() -> None:
    receiver = Receiver(None)
    world = World(receiver)
    world.subscribe(url=NEW)
    for number in range(5):
        world.add(delivery(event_id=f"evt_{number}"))
    await world.run(messages=5)
    assert len(receiver.attempts) < 5
    receiver.classes = [ResponseClass.DELIVERED]
    record = check()
    assert world.table.create(record)
    outcome = await world.deliverer.handle(message_for(record), 1)
    assert outcome.step is Step.CHECKED
    assert world.item(record)["status"] == "delivered"


async def test_one_that_was_given_up_is_not_made() -> None:
    world = Sending(204)
    record = check()
    message = world.add(record)
    assert world.table.record(message, status=DeliveryStatus.ABORTED, reason="given up")
    await world.run()
    assert (world.requests, [each.step for each in world.outcomes]) == ([], [Step.DROPPED])


async def test_a_candidate_that_cannot_be_used_has_a_record_that_says_why() -> None:
    world = Sending()
    record = check(url="ftp://x")
    world.add(record)
    await world.run()
    item = world.item(record)
    assert (item["status"], item["attempts"][0]["error"]) == ("failed", "InvalidInput")


async def test_a_message_makes_no_check_of_a_delivery() -> None:
    world = Sending(204)
    world.subscribe(url=OLD)
    record = delivery()
    message = world.add(record)
    outcome = await world.deliverer.handle(message.model_copy(update={"is_check": True}), 1)
    assert (outcome.step, world.requests, world.item(record)["status"]) == (Step.DROPPED, [], "pending")
