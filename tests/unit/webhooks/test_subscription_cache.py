import inspect
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.support.aws import Faulty, fault
from tests.support.patience import HANG_S
from tests.unit.webhooks.world import START_MS, Receiver, World, delivery, hook_delivery, subscribed

from tunehook.aws.items import to_attributes
from tunehook.aws.secret_versions import SecretVersionsTable
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.errors import InvalidInput
from tunehook.http.guard import NetworkPolicy
from tunehook.secret_versions import SecretVersions
from tunehook.subscriptions import WebhookType, check_subscription, recipients_of
from webhooks.policy import ResponseClass
from webhooks.subscription_cache import SubscriptionCache, endpoint_of


def url_of(world: World) -> object:
    found = world.subscriptions.get("sub")
    return found and found.item["url"]


def signing(world: World) -> tuple[int, ...]:
    """The versions of the secret that sign now, as a worker that has just started knows it."""
    world.subscriptions.fresh("sub")
    return endpoint_of(delivery(), world.subscriptions.get("sub"), world.now_ms).secret_versions


@pytest.fixture
def world(aws: None) -> World:
    return World(Receiver(ResponseClass.DELIVERED))


def test_an_item_is_read_again_after_15_seconds(world: World) -> None:
    world.subscribe(url="https://old.example/")
    assert url_of(world) == "https://old.example/"
    world.subscribe(url="https://new.example/")
    world.now_ms += 14_999
    assert url_of(world) == "https://old.example/"
    world.now_ms += 1
    assert url_of(world) == "https://new.example/"


def test_a_clock_that_goes_back_makes_no_item_count_for_longer(world: World) -> None:
    world.subscribe(url="https://old.example/")
    assert url_of(world) == "https://old.example/"
    world.subscribe(url="https://new.example/")
    world.now_ms -= 3_600_000
    assert url_of(world) == "https://new.example/"


def test_the_age_of_an_item_goes_by_the_wall_clock_which_goes_on_while_lambda_halts_the_process() -> None:
    assert inspect.signature(SubscriptionCache).parameters["clock"].default is time.time


def test_an_item_that_cannot_be_read_anew_is_used_as_it_was(world: World) -> None:
    world.subscribe()
    faulty = Faulty(world.client, get_item=[None, fault(operation="GetItem")])
    table = SubscriptionsTable(faulty, "subscriptions")
    subscriptions = SubscriptionCache(
        table, _NoVersions(), NetworkPolicy.ANY, clock=lambda: world.now_ms / 1000
    )
    known = subscriptions.get("sub")
    world.now_ms += 15_000
    assert known is not None
    assert subscriptions.get("sub") == known


def test_a_missing_subscription_is_none(world: World) -> None:
    assert world.subscriptions.get("sub") is None


class _Table:
    """Waits for `go` before it answers about `slow`."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.go = threading.Event()
        self.reads: list[str] = []

    def get(self, subscription_id: str) -> dict[str, Any]:
        self.reads.append(subscription_id)
        if subscription_id == "slow":
            self.asked.set()
            assert self.go.wait(HANG_S)
        return {"subscription_id": subscription_id, "url": "https://example.com/", "enabled": True}

    def disable(self, subscription_id: str, reason: str) -> None:
        pass


class _NoVersions(SecretVersionsTable):
    """Knows of no rotation."""

    def __init__(self) -> None:
        pass

    def get(self, subscription_id: str) -> None:
        return None


def test_a_subscription_that_is_read_slowly_holds_up_no_other_one() -> None:
    table: Any = _Table()
    subscriptions = SubscriptionCache(table, _NoVersions(), NetworkPolicy.ANY)
    with ThreadPoolExecutor(2) as threads:
        threads.submit(subscriptions.get, "slow")
        assert table.asked.wait(HANG_S)
        other = threads.submit(subscriptions.get, "other")
        try:
            assert other.result(timeout=HANG_S)
        finally:
            table.go.set()


def test_a_subscription_that_many_want_at_once_is_read_once() -> None:
    table: Any = _Table()
    subscriptions = SubscriptionCache(table, _NoVersions(), NetworkPolicy.ANY)
    with ThreadPoolExecutor(8) as threads:
        wanted = [threads.submit(subscriptions.get, "slow") for _ in range(8)]
        assert table.asked.wait(HANG_S)
        table.go.set()
        assert all(each.result() for each in wanted)
    assert table.reads == ["slow"]


def test_what_was_read_before_a_change_is_not_remembered_after_it() -> None:
    table: Any = _Table()
    subscriptions = SubscriptionCache(table, _NoVersions(), NetworkPolicy.ANY)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(subscriptions.get, "slow")
        assert table.asked.wait(HANG_S)
        subscriptions.disable("slow", "410")
        table.go.set()
    assert subscriptions.cached("slow") == (False, None)


def test_disabling_takes_effect_at_once_and_keeps_the_rest(world: World) -> None:
    world.subscribe(description="mine")
    world.subscriptions.get("sub")
    world.subscriptions.disable("sub", "410")
    found = world.subscriptions.get("sub")
    assert found is not None
    assert found.is_disabled
    assert found.item == {
        "subscription_id": "sub",
        "url": "https://example.com/",
        "description": "mine",
        "enabled": False,
        "disabled_reason": "410",
    }


def test_disabling_does_not_bring_a_deleted_subscription_back(world: World) -> None:
    world.subscriptions.disable("sub", "410")
    assert world.subscriptions.get("sub") is None


def test_url_and_headers_are_the_subscriptions_own() -> None:
    found = subscribed({"url": "https://a.example/", "headers": {"x-a": "1"}})
    receiver = endpoint_of(delivery(), found, START_MS)
    assert (receiver.url, receiver.headers, receiver.secret_versions) == (
        "https://a.example/",
        {"x-a": "1"},
        (1,),
    )


def test_a_hook_needs_no_subscription() -> None:
    receiver = endpoint_of(hook_delivery(), None, START_MS)
    assert (receiver.url, receiver.secret_versions) == ("https://hook.example/", (1,))


def test_after_a_rotation_both_secrets_sign_until_its_end() -> None:
    rotated = SecretVersions(present=3, previous_until_ms=START_MS + 1)
    found = subscribed({"url": "https://a.example/"}, secret=rotated)
    assert endpoint_of(delivery(), found, START_MS).secret_versions == (3, 2)
    assert endpoint_of(delivery(), found, START_MS + 1).secret_versions == (3,)


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({}, "url"),
        ({"url": None}, "url"),
        ({"url": 7}, "url"),
        ({"url": "https://a.example/", "headers": "x"}, "headers"),
        ({"url": "https://a.example/", "headers": {"x-a": 1}}, "headers.x-a"),
        ({"url": "https://a.example/", "enabled": "yes"}, "enabled"),
        ({"url": "https://a.example/", "format": "xml"}, "format"),
    ],
)
def test_an_item_that_is_no_subscription_is_refused_with_its_field(item: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        endpoint_of(delivery(), subscribed(item), START_MS)
    assert caught.value.field == field


def test_a_null_is_not_given_to_fulfillment_and_to_the_worker_alike(world: World) -> None:
    optional = (
        "events",
        "providers",
        "filter",
        "format",
        "headers",
        "enabled",
        "description",
        "disabled_reason",
    )
    ours = ("secret_version", "previous_secret_until_ms", "failing_since_ms", "failing_warned_ms")
    world.subscribe(**dict.fromkeys((*optional, *ours)))
    receiver = endpoint_of(delivery(), world.subscriptions.get("sub"), START_MS)
    assert (receiver.url, receiver.headers, receiver.secret_versions) == ("https://example.com/", {}, (1,))
    told = recipients_of(
        WebhookType.TASK_COMPLETED,
        "musicmint",
        [check_subscription(world.subscription(), NetworkPolicy.ANY)],
        {},
        NetworkPolicy.ANY,
        {},
    )
    assert [each.subscription_id for each in told] == ["sub"]


@pytest.mark.parametrize(
    "put_again",
    [
        {"url": "https://example.com/new"},
        {"secret_version": 1},
        {"secret_version": 2, "previous_secret_until_ms": START_MS + 10**9},
        {"secret_version": 7, "previous_secret_until_ms": START_MS + 10**9},
        {"secret_version": None},
        {"secret_version": "1"},
    ],
)
def test_a_version_that_was_retired_signs_no_more_whatever_is_put_into_the_table(
    world: World, put_again: dict[str, Any]
) -> None:
    world.subscribe()
    world.rotate()
    assert signing(world) == (2,)
    world.subscribe(**put_again)
    assert signing(world) == (2,)


def test_a_subscription_that_is_made_anew_with_the_same_id_goes_on_with_its_versions(world: World) -> None:
    world.subscribe()
    world.rotate()
    world.client.delete_item(TableName="subscriptions", Key=to_attributes({"subscription_id": "sub"}))
    assert world.subscriptions.fresh("sub") is None
    world.subscribe()
    assert signing(world) == (2,)


def test_what_an_item_of_an_earlier_tunehook_says_is_where_the_count_begins(world: World) -> None:
    world.subscribe(secret_version=3, previous_secret_until_ms=START_MS + 1)
    assert signing(world) == (3, 2)
    world.subscribe()
    assert signing(world) == (3, 2)
    world.now_ms += 1
    assert signing(world) == (3,)


def test_of_a_subscription_that_was_never_rotated_nothing_is_written(world: World) -> None:
    world.subscribe(secret_version=1)
    assert signing(world) == (1,)
    assert world.client.scan(TableName="versions")["Items"] == []


def test_a_rotation_counts_within_15_seconds(world: World) -> None:
    def now_signing() -> tuple[int, ...]:
        return endpoint_of(delivery(), world.subscriptions.get("sub"), world.now_ms).secret_versions

    world.subscribe()
    assert now_signing() == (1,)
    world.rotate()
    world.now_ms += 14_999
    assert now_signing() == (1,)
    world.now_ms += 1
    assert now_signing() == (2,)
