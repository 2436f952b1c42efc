import pytest
from tests.support.aws import Faulty, client, create_table, fault, items, put

from tunehook.aws.subscriptions import SubscriptionsTable

NAME = "SubscriptionsTable"
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
    table.clear_failing("sub")
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
    table.clear_failing("sub")
    assert items(NAME) == []


def test_enabling_forgets_how_it_has_failed(table: SubscriptionsTable) -> None:
    failing = {"failing_since_ms": 5, "failing_warned_ms": 6}
    put(NAME, ITEM | {"enabled": False, "disabled_reason": "gone (410)"} | failing)
    assert table.enable("a")
    assert items(NAME) == [ITEM | {"enabled": True}]


def test_what_is_not_there_is_not_made(table: SubscriptionsTable) -> None:
    assert not table.enable("a")
    assert items(NAME) == []
