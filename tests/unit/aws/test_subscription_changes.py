from typing import Any

import pytest
from tests.support.aws import client, create_table, items, put

from tunehook.aws.subscription_changes import SubscriptionChanges
from tunehook.deliveries import new_delivery
from tunehook.tasks import Format
from webhooks.subscriptions import receiver_of

NOW_MS = 1_800_000_000_000
TABLE = "SubscriptionsTable"
ITEM = {"subscription_id": "a", "url": "https://receiver.example/"}


@pytest.fixture
def changes(aws: None) -> SubscriptionChanges:
    create_table(TABLE)
    return SubscriptionChanges(client("dynamodb"), TABLE)


def test_enabling_forgets_how_it_has_failed(changes: SubscriptionChanges) -> None:
    failing = {"failing_since_ms": 5, "failing_warned_ms": 6}
    put(TABLE, ITEM | {"enabled": False, "disabled_reason": "gone (410)"} | failing)
    assert changes.enable("a")
    assert items(TABLE) == [ITEM | {"enabled": True}]


def test_what_is_not_there_is_not_made(changes: SubscriptionChanges) -> None:
    assert not changes.enable("a")
    assert not changes.rotate("a", version=1, previous_until_ms=0)
    assert items(TABLE) == []


@pytest.mark.parametrize(
    ("fields", "version"), [({}, 1), ({"secret_version": 1}, 1), ({"secret_version": 7}, 7)]
)
def test_after_a_rotation_both_versions_sign_for_a_while_the_newest_first(
    changes: SubscriptionChanges, fields: dict[str, Any], version: int
) -> None:
    put(TABLE, ITEM | fields)
    assert changes.rotate("a", version=version, previous_until_ms=NOW_MS)
    (item,) = items(TABLE)
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
    changes: SubscriptionChanges, fields: dict[str, Any]
) -> None:
    put(TABLE, ITEM | fields)
    assert not changes.rotate("a", version=1, previous_until_ms=NOW_MS)
    assert items(TABLE) == [ITEM | fields]
