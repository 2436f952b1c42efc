import asyncio
from typing import Any

import pytest
from tests.support.virtual_tests import in_virtual_time
from tests.unit.webhooks.world import START_MS

from tunehook.deliveries import DeliveryMessage
from tunehook.errors import Unavailable
from webhooks.message_batcher import MessageBatcher


class Queue:
    def __init__(self, fault: Exception | None = None) -> None:
        self.calls: list[list[str]] = []
        self.fault = fault

    async def send_batch(self, messages: list[DeliveryMessage], now_ms: int) -> None:
        assert now_ms == START_MS
        self.calls.append([message.delivery_id for message in messages])
        if self.fault is not None:
            raise self.fault


def message(number: int) -> DeliveryMessage:
    return DeliveryMessage(
        delivery_id=f"msg_{number}", subscription_id="sub", attempt=1, run=1, due_at_ms=START_MS
    )


async def send(queue: Any, number: int) -> list[Any]:
    batcher = MessageBatcher(queue, lambda: START_MS)
    return await asyncio.gather(
        *(batcher.send(message(each)) for each in range(number)), return_exceptions=True
    )


async def test_messages_of_one_moment_go_in_one_call() -> None:
    queue = Queue()
    await send(queue, 7)
    assert queue.calls == [[f"msg_{number}" for number in range(7)]]


@in_virtual_time
async def test_a_message_waits_for_those_that_come_within_milliseconds() -> None:
    queue: Any = Queue()
    batcher = MessageBatcher(queue, lambda: START_MS)

    async def send_after(number: int, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await batcher.send(message(number))

    await asyncio.gather(send_after(1, 0), send_after(2, 0.004), send_after(3, 0.2))
    assert queue.calls == [["msg_1", "msg_2"], ["msg_3"]]


async def test_no_call_has_more_messages_than_sqs_takes() -> None:
    queue = Queue()
    await send(queue, 23)
    assert sorted(len(call) for call in queue.calls) == [3, 10, 10]
    assert {each for call in queue.calls for each in call} == {f"msg_{number}" for number in range(23)}


async def test_messages_of_different_moments_go_in_calls_of_their_own() -> None:
    queue: Any = Queue()
    batcher = MessageBatcher(queue, lambda: START_MS)
    await batcher.send(message(1))
    await batcher.send(message(2))
    assert queue.calls == [["msg_1"], ["msg_2"]]


async def test_whoever_sent_a_message_that_the_queue_did_not_take_hears_of_it() -> None:
    results = await send(Queue(Unavailable("full")), 3)
    assert [type(result) for result in results] == [Unavailable] * 3


async def test_a_call_that_failed_does_not_stop_the_next_one() -> None:
    queue: Any = Queue(Unavailable("full"))
    batcher = MessageBatcher(queue, lambda: START_MS)
    with pytest.raises(Unavailable):
        await batcher.send(message(1))
    queue.fault = None
    await batcher.send(message(2))
    assert queue.calls == [["msg_1"], ["msg_2"]]
