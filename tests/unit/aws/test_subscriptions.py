from typing import Any

import pytest
from tests.support.aws import Faulty, client, create_table, fault, items, put

from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.deliveries import new_delivery
from tunehook.tasks import Format
from webhooks.subscriptions import receiver_of

NAME = "SubscriptionsTable"
NOW_MS = 1_800_000_000_000
ITEM = {"subscription_id": "a", "url": "https://receiver.example/"}


@pytest.fixture
def table(aws: None) -> SubscriptionsTable:
    create_table(NAME)
    return SubscriptionsTable(client("dynamodb"), NAME)


def test_every_page_is_read(table: SubscriptionsTable) -> None:
    for number in range(15):
        put(NAME, {"subscription_id": f"sub-{number}", "description": "x" * 100_000})
    assert {item["subscription_id"] for item in table.all()} == {f"sub-{number}" for number in range(15)}


def test_a_mark_says_why_and_can_be_taken_back(table: SubscriptionsTable) -> None:
    put(NAME, {"subscription_id": "sub", "url": "x"})
    table.mark("sub", "url: not a valid URL")
    assert items(NAME) == [{"subscription_id": "sub", "url": "x", "disabled_reason": "url: not a valid URL"}]
    table.mark("sub", None)
    assert items(NAME) == [{"subscription_id": "sub", "url": "x"}]


def test_a_subscription_that_was_deleted_stays_deleted(table: SubscriptionsTable) -> None:
    table.mark("sub", "url: not a valid URL")
    table.mark("sub", None)
    assert items(NAME) == []


def test_a_fault_while_marking_is_raised(table: SubscriptionsTable) -> None:
    faulty = SubscriptionsTable(Faulty(client("dynamodb"), update_item=[fault()]), NAME)
    with pytest.raises(type(fault())):
        faulty.mark("sub", None)


def test_the_beginning_of_failing_is_kept_from_the_first_failure_on(table: SubscriptionsTable) -> None:
    put(NAME, {"subscription_id": "sub", "url": "x"})
    assert table.mark_failing("sub", 5) == {"subscription_id": "sub", "url": "x", "failing_since_ms": 5}
    assert (table.mark_failing("sub", 9) or {})["failing_since_ms"] == 5
    table.mark_well("sub")
    assert items(NAME) == [{"subscription_id": "sub", "url": "x"}]


def test_a_disabled_subscription_does_not_begin_to_fail(table: SubscriptionsTable) -> None:
    put(NAME, {"subscription_id": "sub", "url": "x", "enabled": False})
    assert table.mark_failing("sub", 5) is None
    assert items(NAME) == [{"subscription_id": "sub", "url": "x", "enabled": False}]


def test_disabling_forgets_how_it_has_failed(table: SubscriptionsTable) -> None:
    put(NAME, {"subscription_id": "sub", "url": "x", "failing_since_ms": 5, "failing_warned_ms": 7})
    table.disable("sub", "gone")
    assert items(NAME) == [
        {"subscription_id": "sub", "url": "x", "enabled": False, "disabled_reason": "gone"}
    ]


def test_the_books_on_a_deleted_subscription_bring_nothing_back(table: SubscriptionsTable) -> None:
    assert table.mark_failing("sub", 5) is None
    table.mark_warned("sub", 5)
    table.mark_well("sub")
    assert items(NAME) == []


def test_enabling_forgets_how_it_has_failed(table: SubscriptionsTable) -> None:
    failing = {"failing_since_ms": 5, "failing_warned_ms": 6}
    put(NAME, ITEM | {"enabled": False, "disabled_reason": "gone (410)"} | failing)
    assert table.enable("a")
    assert items(NAME) == [ITEM | {"enabled": True}]


def test_what_is_not_there_is_not_made(table: SubscriptionsTable) -> None:
    assert not table.enable("a")
    assert not table.rotate("a", version=1, previous_until_ms=0)
    assert items(NAME) == []


@pytest.mark.parametrize(
    ("fields", "version"), [({}, 1), ({"secret_version": 1}, 1), ({"secret_version": 7}, 7)]
)
def test_after_a_rotation_both_versions_sign_for_a_while_the_newest_first(
    table: SubscriptionsTable, fields: dict[str, Any], version: int
) -> None:
    put(NAME, ITEM | fields)
    assert table.rotate("a", version=version, previous_until_ms=NOW_MS)
    (item,) = items(NAME)
    delivery = new_delivery(
        event_id="evt",
        subscription_id="a",
        task_id="task",
        provider="suno",
        type="task.completed",
        event_at_ms=NOW_MS,
        format=Format.STANDARD,
        payload="{}",
        now_ms=NOW_MS,
    )
    assert receiver_of(delivery, item, NOW_MS - 1).secret_versions == (version + 1, version)
    assert receiver_of(delivery, item, NOW_MS).secret_versions == (version + 1,)


@pytest.mark.parametrize(
    "fields", [{"secret_version": 2}, {"secret_version": 2, "previous_secret_until_ms": 9}]
)
def test_a_version_that_was_raised_meanwhile_is_not_raised_again(
    table: SubscriptionsTable, fields: dict[str, Any]
) -> None:
    put(NAME, ITEM | fields)
    assert not table.rotate("a", version=1, previous_until_ms=NOW_MS)
    assert items(NAME) == [ITEM | fields]
