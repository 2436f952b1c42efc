from collections.abc import Mapping
from typing import Any

import pytest
from tests.support.aws import Faulty, client, create_table, items

from tunehook.aws.deliveries import DeliveriesTable
from tunehook.aws.pages import Position
from tunehook.deliveries import new_delivery
from tunehook.tasks import Format

TABLE = "DeliveriesTable"
DAY_MS = 24 * 3600 * 1000
NOW_MS = 1_800_000_000_000  # 2027-01-15T08:00:00Z
TIE = "0" * 16


@pytest.fixture
def log(aws: None) -> DeliveriesTable:
    create_table(TABLE)
    return DeliveriesTable(client("dynamodb"), TABLE)


def create(log: DeliveriesTable, name: str, at_ms: int, **changes: Any) -> None:
    values: dict[str, Any] = {"subscription_id": "sub", "task_id": "task"} | changes
    delivery = new_delivery(
        event_id="evt",
        provider="suno",
        type="task.completed",
        event_at_ms=at_ms,
        format=Format.STANDARD,
        payload="{}",
        now_ms=at_ms,
        **values,
    )
    assert log.create(delivery.model_copy(update={"delivery_id": name}))


def names(log: DeliveriesTable, now_ms: int = NOW_MS, **wanted: Any) -> list[str]:
    return [each.delivery_id for _, each in log.listed(now_ms, **wanted)]


WAYS: list[Mapping[str, Any]] = [{}, {"task_id": "task"}, {"subscription_id": "sub"}]


def test_a_delivery_is_in_the_index_of_its_day_in_utc(log: DeliveriesTable) -> None:
    create(log, "msg_1", NOW_MS)
    create(log, "msg_2", NOW_MS + 16 * 3600 * 1000)
    assert {item["delivery_id"]: item["created_on"] for item in items(TABLE)} == {
        "msg_1": "2027-01-15",
        "msg_2": "2027-01-16",
    }


@pytest.mark.parametrize("way", WAYS)
def test_all_days_are_listed_as_one_newest_first(log: DeliveriesTable, way: Mapping[str, Any]) -> None:
    for days in (3, 0, 12, 1, 29):
        create(log, f"msg_{days}", NOW_MS - days * DAY_MS)
    assert names(log, **way) == ["msg_0", "msg_1", "msg_3", "msg_12", "msg_29"]


@pytest.mark.parametrize("way", WAYS)
def test_after_any_of_them_the_others_follow(log: DeliveriesTable, way: Mapping[str, Any]) -> None:
    for number in range(6):
        create(log, f"msg_{number}", NOW_MS - number // 2 * DAY_MS)
    whole = list(log.listed(NOW_MS, **way))
    assert len(whole) == 6
    for number, (position, _) in enumerate(whole, 1):
        assert list(log.listed(NOW_MS, after=position, **way)) == whole[number:]


@pytest.mark.parametrize("way", WAYS)
def test_those_before_a_moment_are_not(log: DeliveriesTable, way: Mapping[str, Any]) -> None:
    for days in range(3):
        create(log, f"msg_{days}", NOW_MS - days * DAY_MS)
    assert names(log, since_ms=NOW_MS - DAY_MS, **way) == ["msg_0", "msg_1"]
    assert names(log, since_ms=NOW_MS - DAY_MS, after=Position(NOW_MS - 2 * DAY_MS, TIE), **way) == []


def test_of_another_task_or_subscription_there_is_none(log: DeliveriesTable) -> None:
    create(log, "msg_1", NOW_MS, task_id="task-1")
    create(log, "msg_2", NOW_MS, subscription_id="sub-2")
    assert names(log, task_id="task-1") == ["msg_1"]
    assert names(log, subscription_id="sub-2") == ["msg_2"]


@pytest.mark.parametrize("way", WAYS[1:])
def test_an_index_that_has_the_status_tells_it(log: DeliveriesTable, way: Mapping[str, Any]) -> None:
    create(log, "msg_1", NOW_MS)
    assert [each.status for _, each in log.listed(NOW_MS, **way)] == ["pending"]
    assert [each.status for _, each in log.listed(NOW_MS)] == [None]


def test_one_that_a_clock_ahead_of_ours_has_made_is_there(log: DeliveriesTable) -> None:
    midnight = NOW_MS // DAY_MS * DAY_MS + DAY_MS
    create(log, "msg_1", midnight + 5)
    assert names(log, now_ms=midnight - 5) == ["msg_1"]


@pytest.mark.parametrize("after", [None, Position(253_402_300_799_999, TIE)])
def test_one_question_is_asked_for_each_day_that_deliveries_are_kept(
    log: DeliveriesTable, after: Position | None
) -> None:
    faulty = Faulty(client("dynamodb"))
    assert list(DeliveriesTable(faulty, TABLE).listed(NOW_MS, after=after)) == []
    assert [name for name, _ in faulty.calls] == ["get_paginator"] * 31


def test_those_that_are_read_come_in_this_order(log: DeliveriesTable) -> None:
    create(log, "msg_1", NOW_MS)
    create(log, "msg_2", NOW_MS)
    found = log.get_logged(["msg_2", "gone", "msg_1"])
    assert [each.delivery_id for each in found] == ["msg_2", "msg_1"]
