import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from tests.support.patience import HANG_S
from tests.support.virtual_tests import in_virtual_time
from tests.unit.http.wire import answering, serving

from tunehook.aws import visibility as module
from tunehook.aws.visibility import (
    Message,
    VisibilityHeartbeat,
    backoff_s,
    dead_letter,
    dead_letter_client,
    visibility_client,
)
from tunehook.errors import InvalidInput

# As documented, and not imported: a bound that moves is to be noticed.
INTERVAL_S = 10.0
VISIBILITY_S = 30

BATCH = [Message(body="{}", receipt=f"receipt-{number}") for number in range(3)]


class Queue:
    """Keeps what it is asked to hide; does with each call what `answers` say, and takes the rest."""

    def __init__(self, *answers: Any) -> None:
        self.hidden: list[dict[str, int]] = []
        self.answers = list(answers)

    def change_message_visibility_batch(self, *, QueueUrl: str, Entries: list[Any]) -> Any:  # noqa: N803
        assert QueueUrl == "queue"
        self.hidden.append({each["ReceiptHandle"]: each["VisibilityTimeout"] for each in Entries})
        assert len({each["Id"] for each in Entries}) == len(Entries)
        answer = self.answers.pop(0) if self.answers else {"Successful": []}
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            return answer()
        return answer


def hold(queue: Any, faults: list[Exception] | None = None, **options: float) -> VisibilityHeartbeat:
    told = [] if faults is None else faults
    return VisibilityHeartbeat(queue, "queue", BATCH, on_fault=told.append, **options)


def test_a_record_of_lambda_is_read() -> None:
    attributes = {"ApproximateReceiveCount": "3", "ApproximateFirstReceiveTimestamp": "1800000000000"}
    record = {"body": "text", "receiptHandle": "handle", "attributes": attributes}
    assert Message.of(record) == Message("text", "handle", 3, 1_800_000_000_000)


def test_a_record_without_attributes_was_received_once() -> None:
    assert Message.of({"body": "", "receiptHandle": "handle"}) == Message("", "handle", 1, None)
    assert Message("", "handle") == Message("", "handle", 1, None)


@pytest.mark.parametrize(("count", "seconds"), [(1, 10), (2, 20), (4, 80), (7, 640), (8, 720), (1000, 720)])
def test_a_message_comes_again_later_and_later(count: int, seconds: int) -> None:
    assert backoff_s(count) == seconds


def test_twenty_receives_after_faults_take_hours() -> None:
    assert sum(map(backoff_s, range(1, 20))) > 2 * 3600


@in_virtual_time
async def test_the_whole_batch_is_hidden_at_once_for_a_short_time() -> None:
    queue = Queue()
    async with hold(queue):
        await asyncio.sleep(0.1)
        assert queue.hidden == [{each.receipt: VISIBILITY_S for each in BATCH}]
        await asyncio.sleep(INTERVAL_S / 2)
    assert len(queue.hidden) == 1


@in_virtual_time
async def test_it_is_hidden_again_while_the_worker_is_at_it() -> None:
    queue = Queue()
    async with hold(queue):
        await asyncio.sleep(3.05 * INTERVAL_S)
    assert queue.hidden == [{each.receipt: VISIBILITY_S for each in BATCH}] * 4


@in_virtual_time
async def test_a_batch_that_is_done_within_its_grace_costs_no_call() -> None:
    queue = Queue()
    async with hold(queue, grace_s=5):
        await asyncio.sleep(4.9)
    assert queue.hidden == []


@in_virtual_time
async def test_one_that_is_not_is_hidden_then() -> None:
    queue = Queue()
    async with hold(queue, grace_s=5):
        await asyncio.sleep(5.1)
    assert len(queue.hidden) == 1


@in_virtual_time
async def test_the_end_is_not_waited_for_by_a_beat() -> None:
    loop = asyncio.get_running_loop()
    async with hold(Queue()):
        await asyncio.sleep(1)
    assert loop.time() == 1


@in_virtual_time
async def test_a_message_that_comes_again_is_not_hidden_any_longer() -> None:
    queue = Queue()
    async with hold(queue) as held:
        await asyncio.sleep(1)
        await held.retry_after(BATCH[1], 700)
        await asyncio.sleep(1.5 * INTERVAL_S)
    everything, again, *others = queue.hidden
    assert (everything.keys(), again) == ({each.receipt for each in BATCH}, {"receipt-1": 700})
    assert [each.keys() for each in others] == [{"receipt-0", "receipt-2"}]


async def test_a_beat_that_is_under_way_does_not_undo_when_a_message_comes_again() -> None:
    taken: list[int] = []
    under_way, released = threading.Event(), threading.Event()

    def slow() -> Any:
        under_way.set()
        assert released.wait(HANG_S)
        taken.append(VISIBILITY_S)
        return {}

    def quick() -> Any:
        taken.append(10)
        return {}

    async with hold(Queue(slow, quick)) as held:
        await asyncio.to_thread(under_way.wait, HANG_S)
        again = asyncio.create_task(held.retry_after(BATCH[0], 10))
        await asyncio.sleep(0)
        released.set()
        await again
    assert taken == [VISIBILITY_S, 10]


@in_virtual_time
async def test_a_fault_of_the_queue_is_told_and_tried_again() -> None:
    fault = ClientError({"Error": {"Code": "ServiceUnavailable"}}, "ChangeMessageVisibilityBatch")
    queue, faults = Queue(fault), list[Exception]()
    async with hold(queue, faults):
        await asyncio.sleep(1.5 * INTERVAL_S)
    assert faults == [fault]
    assert len(queue.hidden) == 2


@in_virtual_time
async def test_messages_that_the_queue_refuses_to_hide_are_told_of() -> None:
    refusal = {"Failed": [{"Id": "0", "Code": "ReceiptHandleIsInvalid", "SenderFault": True}]}
    faults: list[Exception] = []
    async with hold(Queue(refusal), faults):
        await asyncio.sleep(1)
    assert [str(each) for each in faults] == ["1 messages could not be hidden: ReceiptHandleIsInvalid"]


def test_a_call_is_given_up_soon_and_never_made_again(aws: None) -> None:
    config = visibility_client().meta.config
    assert (config.connect_timeout, config.read_timeout) == (1, 2)
    assert config.retries["total_max_attempts"] == 1


def test_a_dead_letter_is_waited_for_20_s_and_never_sent_again(aws: None) -> None:
    config = dead_letter_client().meta.config
    assert (config.read_timeout, config.retries["total_max_attempts"]) == (20, 1)


async def test_a_call_whose_waiter_is_gone_comes_before_a_later_one() -> None:
    taken: list[int] = []
    go, begun = threading.Event(), threading.Event()

    def slow() -> Any:
        begun.set()
        assert go.wait(HANG_S)
        taken.append(720)
        return {}

    def quick() -> Any:
        taken.append(30)
        return {}

    async with hold(Queue(slow, quick), grace_s=60) as held:
        first = asyncio.create_task(held.retry_after(BATCH[0], 720))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        first.cancel()
        second = asyncio.create_task(held.retry_after(BATCH[0], 30))
        await asyncio.sleep(0)  # it has begun, and waits for the first one's call
        go.set()
        await second
    assert taken == [720, 30]


async def test_it_is_hidden_although_every_thread_of_the_loop_is_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "INTERVAL_S", 0.02)
    queue, over = Queue(), threading.Event()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    busy = asyncio.create_task(asyncio.to_thread(over.wait, HANG_S))
    try:
        async with hold(queue):
            async with asyncio.timeout(HANG_S / 2):
                while len(queue.hidden) < 3:
                    await asyncio.sleep(0.01)
    finally:
        over.set()
        await busy
    assert all(each == queue.hidden[0] for each in queue.hidden)


@in_virtual_time
async def test_without_a_word_about_it_messages_are_hidden_at_once() -> None:
    queue: Any = Queue()
    async with VisibilityHeartbeat(queue, "queue", BATCH, on_fault=lambda fault: None):
        await asyncio.sleep(0.5)
        assert queue.hidden == [{each.receipt: VISIBILITY_S for each in BATCH}]


async def test_a_dead_letter_whose_answer_is_lost_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(answering()) as wire:
        url = f"http://127.0.0.1:{wire.port}/queue"
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", url.removesuffix("/queue"))
        sqs = dead_letter_client()
        with pytest.raises(ConnectionClosedError):
            await asyncio.to_thread(dead_letter, sqs, url, BATCH[0], InvalidInput("message", "is odd"))
    assert wire.connections == 1
    assert sqs.meta.config.read_timeout == 20
