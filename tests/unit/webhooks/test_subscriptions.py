import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.support.patience import HANG_S
from tests.unit.webhooks.world import START_MS, Receiver, World, delivery, hook_delivery

from tunehook.errors import InvalidInput
from webhooks.subscriptions import Subscriptions, receiver_of
from webhooks.verdict import Verdict


@pytest.fixture
def world(aws: None) -> World:
    return World(Receiver(Verdict.DELIVERED))


def test_an_item_is_read_again_after_15_seconds(world: World) -> None:
    world.subscribe(url="https://old.example/")
    assert world.subscriptions.get("sub")
    world.subscribe(url="https://new.example/")
    world.now_ms += 14_999
    assert (world.subscriptions.get("sub") or {})["url"] == "https://old.example/"
    world.now_ms += 1
    assert (world.subscriptions.get("sub") or {})["url"] == "https://new.example/"


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
        return {"subscription_id": subscription_id, "enabled": True}

    def disable(self, subscription_id: str, reason: str) -> None:
        pass


def test_a_subscription_that_is_read_slowly_holds_up_no_other_one() -> None:
    table: Any = _Table()
    subscriptions = Subscriptions(table)
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
    subscriptions = Subscriptions(table)
    with ThreadPoolExecutor(8) as threads:
        wanted = [threads.submit(subscriptions.get, "slow") for _ in range(8)]
        assert table.asked.wait(HANG_S)
        table.go.set()
        assert all(each.result() for each in wanted)
    assert table.reads == ["slow"]


def test_what_was_read_before_a_change_is_not_remembered_after_it() -> None:
    table: Any = _Table()
    subscriptions = Subscriptions(table)
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
    assert world.subscriptions.get("sub") == {
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
    receiver = receiver_of(delivery(), {"url": "https://a.example/", "headers": {"x-a": "1"}}, START_MS)
    assert (receiver.url, receiver.headers, receiver.secret_versions) == (
        "https://a.example/",
        {"x-a": "1"},
        (1,),
    )


def test_a_hook_needs_no_subscription() -> None:
    assert receiver_of(hook_delivery(), None, START_MS).url == "https://hook.example/"


def test_after_a_rotation_both_secrets_sign_until_its_end() -> None:
    item = {"url": "https://a.example/", "secret_version": 3, "previous_secret_until_ms": START_MS + 1}
    assert receiver_of(delivery(), item, START_MS).secret_versions == (3, 2)
    assert receiver_of(delivery(), item, START_MS + 1).secret_versions == (3,)


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({}, "url"),
        ({"url": 7}, "url"),
        ({"url": "https://a.example/", "headers": "x"}, "headers"),
        ({"url": "https://a.example/", "headers": {"x-a": 1}}, "headers.x-a"),
        ({"url": "https://a.example/", "secret_version": 0}, "secret_version"),
    ],
)
def test_an_item_that_is_no_subscription_is_refused_with_its_field(item: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        receiver_of(delivery(), item, START_MS)
    assert caught.value.field == field


def test_a_subscription_that_was_never_rotated_signs_with_its_first_secret() -> None:
    receiver = receiver_of(delivery(), {"url": "https://x.example/"}, START_MS)
    assert receiver.secret_versions == (1,)
