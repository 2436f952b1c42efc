import asyncio
import json
from typing import Any, ClassVar

import pytest
from tests.support.aws import Faulty, client, create_table, fault, items, put, received

from tunehook.aws.deliveries import (
    Claim,
    DeliveriesQueue,
    DeliveriesTable,
    Redeliveries,
    Redelivery,
    withdrawn,
)
from tunehook.deliveries import Attempt, Delivery, DeliveryStatus, message_for, new_delivery
from tunehook.tasks import Format

# As documented, and not imported: a bound that moves is to be noticed.
EXCERPTS_KEPT = 10
KEPT_S = 30 * 24 * 3600
OVERDUE_MS = 60_000

MADE_MS = 1_800_000_000_000
NOW_MS = MADE_MS + 3_600_000
TABLE = "DeliveriesTable"
DELIVERY = new_delivery(
    event_id="evt",
    subscription_id="sub",
    task_id="task",
    provider="suno",
    type="task.completed",
    event_at_ms=MADE_MS,
    format=Format.STANDARD,
    payload='{"title": "我的曲目"}',
    now_ms=MADE_MS,
)


class World:
    def __init__(self) -> None:
        create_table(TABLE)
        self.url = client("sqs").create_queue(QueueName="deliveries")["QueueUrl"]
        self.table = DeliveriesTable(client("dynamodb"), TABLE)

    def redeliveries(self, sqs: Any = None) -> Redeliveries:
        queue = DeliveriesQueue(sqs or client("sqs"), self.url)
        return Redeliveries(self.table, queue)

    def begin(self, now_ms: int = NOW_MS) -> tuple[Redelivery, Delivery | None]:
        return self.redeliveries().begin(DELIVERY.delivery_id, now_ms)

    def put(self, **changes: Any) -> None:
        item = DELIVERY.model_dump(mode="json", exclude_none=True) | changes
        put(TABLE, {name: value for name, value in item.items() if value is not None})

    def messages(self) -> list[dict[str, Any]]:
        return received(self.url)


@pytest.fixture
def world(aws: None) -> World:
    return World()


def attempt(number: int, run: int = 1, **answer: Any) -> dict[str, Any]:
    return {"run": run, "attempt": number, "at_ms": MADE_MS, "duration_ms": 5, "status_code": 503} | answer


ENDED = {"status": "failed", "next_attempt": 10, "next_attempt_at_ms": None, "reason": "all attempts failed"}


@pytest.mark.parametrize("status", ["failed", "delivered", "aborted"])
def test_one_that_has_ended_begins_a_new_run_of_the_whole_schedule(world: World, status: str) -> None:
    world.put(**ENDED | {"status": status, "attempts": [attempt(10)], "claimed_until_ms": 5})
    redelivery, delivery = world.begin()
    assert redelivery is Redelivery.STARTED
    assert delivery == world.table.get(DELIVERY.delivery_id)
    assert delivery == DELIVERY.model_copy(
        update={
            "run": 2,
            "next_attempt": 1,
            "next_attempt_at_ms": NOW_MS,
            "attempts": (Attempt(**attempt(10)),),
            "expires_at": NOW_MS // 1000 + KEPT_S,
        }
    )
    assert world.messages() == [json.loads(message_for(delivery).model_dump_json(exclude_none=True))]


def test_a_worker_can_claim_the_first_attempt_of_the_new_run_and_no_message_of_the_old_one_counts(
    world: World,
) -> None:
    world.put(**ENDED, claimed_until_ms=NOW_MS + 30_000)
    _, delivery = world.begin()
    assert delivery is not None
    old = message_for(DELIVERY).model_copy(update={"attempt": 10})
    assert asyncio.run(world.table.claim_in_loop(old, NOW_MS))[0] is Claim.OVER
    assert asyncio.run(world.table.claim_in_loop(message_for(delivery), NOW_MS))[0] is Claim.TAKEN


def test_a_pending_one_is_left_alone(world: World) -> None:
    world.put(next_attempt_at_ms=NOW_MS + 1)
    before = items(TABLE)
    assert world.begin() == (Redelivery.PENDING, world.table.get(DELIVERY.delivery_id))
    assert (items(TABLE), world.messages()) == (before, [])


def test_one_that_is_not_there_is_unknown(world: World) -> None:
    assert world.begin() == (Redelivery.UNKNOWN, None)
    assert (items(TABLE), world.messages()) == ([], [])


def test_of_two_at_once_one_begins_a_run(world: World) -> None:
    world.put(**ENDED)
    stale = world.table.get(DELIVERY.delivery_id)
    assert world.begin()[0] is Redelivery.STARTED

    class Late(DeliveriesTable):
        answers: ClassVar = [stale]

        def get(self, delivery_id: str) -> Delivery | None:
            return self.answers.pop() if self.answers else super().get(delivery_id)

    queue = DeliveriesQueue(client("sqs"), world.url)
    second = Redeliveries(Late(client("dynamodb"), TABLE), queue)
    redelivery, delivery = second.begin(DELIVERY.delivery_id, NOW_MS)
    assert (redelivery, delivery.run if delivery else None) == (Redelivery.PENDING, 2)
    assert len(world.messages()) == 1


def test_a_message_that_could_not_be_sent_is_sent_when_it_is_overdue(world: World) -> None:
    world.put(**ENDED)
    sqs = Faulty(client("sqs"), send_message=[fault("ServiceUnavailable", "SendMessage")])
    with pytest.raises(Exception, match="as the test wants it"):
        world.redeliveries(sqs).begin(DELIVERY.delivery_id, NOW_MS)
    assert world.begin(NOW_MS + OVERDUE_MS - 1)[0] is Redelivery.PENDING
    assert world.begin(NOW_MS + OVERDUE_MS)[0] is Redelivery.SENT_AGAIN
    (message,) = world.messages()
    assert (message["run"], message["attempt"], message["due_at_ms"]) == (2, 1, NOW_MS)


def test_the_answers_of_long_ago_make_room(world: World) -> None:
    many = [attempt(n % 10 + 1, run=n // 10 + 1, excerpt="x" * 1000) for n in range(EXCERPTS_KEPT + 60)]
    world.put(**ENDED | {"run": 10, "attempts": many})
    _, delivery = world.begin()
    assert delivery is not None
    assert [(each.run, each.attempt) for each in delivery.attempts] == [
        (each["run"], each["attempt"]) for each in many
    ]
    assert [each.excerpt is None for each in delivery.attempts] == [True] * 60 + [False] * EXCERPTS_KEPT


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"status": "aborted", "next_attempt": 1}, True),
        ({"status": "aborted", "next_attempt": 2, "attempts": [attempt(1)]}, True),
        ({"status": "aborted", "next_attempt": 1, "attempts": [attempt(1)]}, False),
        ({"status": "aborted", "next_attempt": 1, "run": 2, "attempts": [attempt(1)]}, True),
        ({"status": "failed", "next_attempt": 1}, False),
    ],
)
def test_one_was_withdrawn_if_its_end_came_without_an_attempt(fields: dict[str, Any], expected: bool) -> None:
    delivery = Delivery.model_validate(DELIVERY.model_dump(mode="json") | fields)
    assert withdrawn(delivery) is expected


def test_what_the_table_records_of_a_receiver_that_refuses_is_not_withdrawn(world: World) -> None:
    world.put()
    made = Attempt(**attempt(1))
    world.table.record(message_for(DELIVERY), status=DeliveryStatus.ABORTED, attempt=made, reason="refused")
    delivery = world.table.get(DELIVERY.delivery_id)
    assert delivery is not None
    assert not withdrawn(delivery)
