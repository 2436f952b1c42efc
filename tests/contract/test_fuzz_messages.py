"""Thousands of messages as nobody of ours sends them, given to the code that reads them: each ends as is foretold."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from tests.stack.faults.fuzz.messages import Fate, FuzzedMessage, delivery_messages, fulfillment_messages
from tests.stack.faults.fuzz.seeds import generator, words
from tests.unit.webhooks.world import Receiver, World, delivery

from fulfillment.messages import content_of
from tunehook.deliveries import DeliveryMessage, message_of
from tunehook.errors import InvalidInput
from tunehook.fulfillment_requests import ArchiveRequest
from webhooks.delivery import Step
from webhooks.policy import ResponseClass

ROUNDS = 8_000


@pytest.fixture(autouse=True)
def _named_seed() -> None:
    print(words())  # noqa: T201


def test_what_fulfillment_cannot_read_is_refused_by_its_field() -> None:
    fates: Counter[Fate] = Counter()
    for message in fulfillment_messages(generator("fulfillment"), "fuzz", ROUNDS, huge=40):
        fates[message.fate] += 1
        if message.fate is Fate.DEAD:
            with pytest.raises(InvalidInput):
                _not_read(content_of(message.body), message)
        else:
            assert isinstance(content_of(message.body), ArchiveRequest)
    assert fates[Fate.DEAD] > ROUNDS / 2


def test_what_webhooks_cannot_read_is_refused_by_its_field() -> None:
    fates: Counter[Fate] = Counter()
    for message in delivery_messages(generator("deliveries"), "fuzz", ROUNDS, huge=40):
        fates[message.fate] += 1
        if message.fate is Fate.DEAD:
            with pytest.raises(InvalidInput):
                _not_read(message_of(message.body), message)
        else:
            assert isinstance(message_of(message.body), DeliveryMessage)
    assert fates[Fate.DEAD] > ROUNDS / 2


def _not_read(content: object, message: FuzzedMessage) -> None:
    raise AssertionError(f"{message.kind}: {message.body[:500]!r} was read as {content!r:.500}")


async def test_a_message_for_no_delivery_is_dropped_at_once_and_sends_none_on(aws: None) -> None:
    world = World(Receiver(ResponseClass.DELIVERED))
    drawn = delivery_messages(generator("nothing"), "fuzz", 1_500, huge=0)
    asked = [message_of(each.body) for each in drawn if each.fate is Fate.DROPPED]
    outcomes = await asyncio.gather(*(world.deliverer.handle(message, 1) for message in asked))
    assert {outcome.step for outcome in outcomes} == {Step.DROPPED}
    assert world.sent == []
    assert len(outcomes) > 100


async def test_a_delivery_is_made_once_whatever_numbers_other_messages_name(aws: None) -> None:
    world = World(Receiver(ResponseClass.DELIVERED))
    world.subscribe()
    made = delivery()
    whole = world.add(made)
    random = generator("numbers")
    odd: list[dict[str, Any]] = [
        {
            "attempt": random.choice((1, 2, 10, 11, 1_000_000_000)),
            "run": random.choice((1, 2, 3, 1_000_000_000)),
            "due_at_ms": random.choice((0, 1, whole.due_at_ms, whole.due_at_ms + 10**12)),
        }
        for _ in range(200)
    ]
    for number, changes in enumerate(odd):
        world.arrive(whole.model_copy(update=changes), whole.due_at_ms - number % 2)
    await world.run()
    assert world.idle
    assert world.faults == []
    assert len(world.receiver.attempts) == 1
    assert world.item(made)["status"] == "delivered"
