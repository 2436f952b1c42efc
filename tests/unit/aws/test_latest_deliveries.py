from typing import Any
from unittest.mock import Mock

import pytest
from tests.support.aws import Faulty, client, create_table, put

from tunehook.aws.deliveries import DeliveriesTable
from tunehook.deliveries import Attempt, DeliveryStatus, new_delivery
from tunehook.tasks import Format

NOW_MS = 1_800_000_000_000
TABLE = "DeliveriesTable"


@pytest.fixture
def log(aws: None) -> DeliveriesTable:
    create_table(TABLE)
    return DeliveriesTable(client("dynamodb"), TABLE)


def put_delivery(number: int, **changes: Any) -> None:
    """Put the delivery ``msg_<number>``, made `number` milliseconds after `NOW_MS`."""
    delivery = new_delivery(
        event_id="evt",
        subscription_id="sub",
        task_id="task",
        provider="suno",
        type="task.completed",
        event_at_ms=NOW_MS,
        format=Format.STANDARD,
        payload="p" * 100,
        now_ms=NOW_MS + number,
    ).model_copy(update={"delivery_id": f"msg_{number}"})
    put(TABLE, delivery.model_dump(mode="json", exclude_none=True) | changes)


def ids(log: DeliveriesTable, **wanted: Any) -> list[str]:
    return [each.delivery_id for each in log.latest(**wanted)]


WAYS = [{}, {"task_id": "task"}, {"subscription_id": "sub"}, {"task_id": "task", "subscription_id": "sub"}]


@pytest.mark.parametrize("way", WAYS)
def test_the_newest_comes_first(log: DeliveriesTable, way: dict[str, Any]) -> None:
    for number in (2, 0, 1):
        put_delivery(number)
    assert ids(log, **way) == ["msg_2", "msg_1", "msg_0"]


@pytest.mark.parametrize("way", WAYS)
def test_at_most_as_many_as_wanted_come(log: DeliveriesTable, way: dict[str, Any]) -> None:
    for number in range(5):
        put_delivery(number)
    assert ids(log, limit=2, **way) == ["msg_4", "msg_3"]


@pytest.mark.parametrize("way", WAYS)
def test_those_before_a_time_are_left_out(log: DeliveriesTable, way: dict[str, Any]) -> None:
    for number in range(3):
        put_delivery(number)
    assert ids(log, since_ms=NOW_MS + 1, **way) == ["msg_2", "msg_1"]


@pytest.mark.parametrize("way", WAYS)
def test_those_that_stand_otherwise_do_not_count(log: DeliveriesTable, way: dict[str, Any]) -> None:
    for number, status in enumerate(("pending", "failed", "delivered", "aborted", "failed")):
        put_delivery(number, status=status)
    assert ids(log, statuses=[DeliveryStatus.FAILED], limit=2, **way) == ["msg_4", "msg_1"]
    both = [DeliveryStatus.FAILED, DeliveryStatus.ABORTED]
    assert ids(log, statuses=both, limit=2, **way) == ["msg_4", "msg_3"]


def test_those_of_others_are_left_out(log: DeliveriesTable) -> None:
    put_delivery(0)
    put_delivery(1, task_id="other")
    put_delivery(2, subscription_id="other")
    assert ids(log, task_id="task") == ["msg_2", "msg_0"]
    assert ids(log, subscription_id="sub") == ["msg_1", "msg_0"]
    assert ids(log, task_id="task", subscription_id="sub", limit=1) == ["msg_0"]


@pytest.mark.parametrize("way", WAYS)
def test_more_than_one_batch_is_read(log: DeliveriesTable, way: dict[str, Any]) -> None:
    for number in range(230):
        put_delivery(number)
    assert ids(log, **way) == [f"msg_{number}" for number in range(229, -1, -1)]


def test_attempts_come_along_and_the_payload_does_not(log: DeliveriesTable) -> None:
    attempt = Attempt(run=1, attempt=1, at_ms=NOW_MS, duration_ms=5, status_code=503, excerpt="busy")
    put_delivery(0, attempts=[attempt.model_dump(mode="json", exclude_none=True)])
    (delivery,) = log.latest()
    assert delivery.attempts == (attempt,)
    assert "payload" not in delivery.model_dump()
    assert "ppp" not in repr(delivery)


def test_what_the_table_could_not_answer_at_once_is_asked_for_again_after_a_pause(
    log: DeliveriesTable, pauses: list[float]
) -> None:
    for number in range(3):
        put_delivery(number)

    class Hesitant:
        def __getattr__(self, name: str) -> Any:
            return getattr(client("dynamodb"), name)

        def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
            keys = RequestItems[TABLE]["Keys"]
            one, rest = (RequestItems[TABLE] | {"Keys": part} for part in (keys[:1], keys[1:]))
            answer = client("dynamodb").batch_get_item(RequestItems={TABLE: one})
            return answer | {"UnprocessedKeys": {TABLE: rest} if rest["Keys"] else {}}

    hesitant: Any = Hesitant()
    assert ids(DeliveriesTable(hesitant, TABLE)) == ["msg_2", "msg_1", "msg_0"]
    assert len(pauses) == 2


def test_a_status_that_the_index_has_not_heard_of_yet_counts(log: DeliveriesTable) -> None:
    put_delivery(0, status="failed")

    class Lagging:
        def __getattr__(self, name: str) -> Any:
            return getattr(client("dynamodb"), name)

        def batch_get_item(self, **request: Any) -> dict[str, Any]:
            put_delivery(0, status="pending")
            return client("dynamodb").batch_get_item(**request)

    lagging: Any = Lagging()
    assert (
        DeliveriesTable(lagging, TABLE).latest(subscription_id="sub", statuses=[DeliveryStatus.FAILED]) == []
    )


def test_a_list_of_all_reads_no_payload_but_of_those_that_it_shows(log: DeliveriesTable) -> None:
    for number in range(3):
        put_delivery(number)
    watched = Faulty(client("dynamodb"))
    pages = watched.get_paginator("scan")
    asked: list[dict[str, Any]] = []
    paginate = pages.paginate

    def watch(**request: Any) -> Any:
        asked.append(request)
        return paginate(**request)

    pages.paginate = watch
    looking: Any = Mock(wraps=watched)
    looking.get_paginator = lambda _: pages
    assert ids(DeliveriesTable(looking, TABLE), limit=2) == ["msg_2", "msg_1"]
    assert [each["IndexName"] for each in asked] == ["by_subscription"]
    (read,) = [request for name, request in watched.calls if name == "batch_get_item"]
    assert len(read["RequestItems"][TABLE]["Keys"]) == 2
