import json
from typing import Any

import pytest
from tests.support.aws import client, items, put

from tunehook.aws.deliveries import DeliveriesTable
from tunehook.deliveries import new_delivery
from tunehook.signatures import derive_secret, notify_hook_subscription_id
from tunehook.tasks import Format

NOW_MS = 1_800_000_000_000
URL = "https://receiver.example/inbox"
TABLE = "SubscriptionsTable"


def secret_of(subscription_id: str, version: int = 1) -> str:
    return derive_secret("m" * 64, subscription_id, version)


def test_subscribe_puts_the_item_and_prints_its_secret_once(tunehook: Any, stack: None) -> None:
    result = tunehook("subscribe", URL)
    (item,) = items(TABLE)
    assert item == {"subscription_id": item["subscription_id"], "url": URL}
    assert item["subscription_id"].startswith("sub_")
    assert result.output == (
        f"Subscribed {URL} as {item['subscription_id']}.\nSigning secret: {secret_of(item['subscription_id'])}\n"
    )


def test_each_subscription_has_an_id_of_its_own(tunehook: Any, stack: None) -> None:
    tunehook("subscribe", URL)
    tunehook("subscribe", URL)
    assert len(items(TABLE)) == 2


def test_subscribe_keeps_what_was_asked_for(tunehook: Any, stack: None) -> None:
    result = tunehook(
        "subscribe", URL, "--event", "task.completed", "--event", "task.failed", "--provider", "suno",
        "--format", "provider", "--description", "the shop", "--json",
    )  # fmt: skip
    (item,) = items(TABLE)
    assert item == {
        "subscription_id": item["subscription_id"],
        "url": URL,
        "events": ["task.completed", "task.failed"],
        "providers": ["suno"],
        "format": "provider",
        "description": "the shop",
    }
    assert json.loads(result.stdout) == item | {"signing_secret": secret_of(item["subscription_id"])}


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("receiver.example",), "URL: the scheme must be https or http"),
        ((URL, "--event", "webhook.test"), "--event: must be among task.completed, task.failed"),
        ((URL, "--format", "xml"), "--format: must be one of standard, provider, cloudevents"),
    ],
)
def test_a_bad_option_is_refused_by_its_name(
    tunehook: Any, stack: None, args: tuple[str, ...], complaint: str
) -> None:
    result = tunehook("subscribe", *args)
    assert (result.exit_code, result.output) == (2, f"tunehook: {complaint}\n")
    assert items(TABLE) == []


def test_the_list_says_which_subscriptions_are_of_no_use(tunehook: Any, stack: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    put(TABLE, {"subscription_id": "b", "url": URL, "enabled": False, "events": ["task.failed"]})
    put(TABLE, {"subscription_id": "c", "url": "ftp://x"})
    rows = [line.split() for line in tunehook("subscriptions", "list").stdout.splitlines()[1:]]
    assert rows == [
        ["a", "enabled", "all", "all", "standard", URL],
        ["b", "disabled", "task.failed", "all", "standard", URL],
        ["c", "unusable", "-", "-", "-", *["url:", "the", "scheme", "must", "be", "https", "or", "http"]],
    ]


@pytest.mark.parametrize("args", [("list",), ("list", "--json"), ("show", "a"), ("show", "a", "--json")])
def test_the_values_of_a_receivers_headers_are_not_shown(
    tunehook: Any, stack: None, args: tuple[str, ...]
) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL, "headers": {"x-token": "very-secret"}})
    result = tunehook("subscriptions", *args)
    assert result.exit_code == 0
    assert "very-secret" not in result.output


def test_show_says_why_a_subscription_is_disabled(tunehook: Any, stack: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL, "enabled": False, "disabled_reason": "gone (410)"})
    out = tunehook("subscriptions", "show", "a").stdout
    assert "disabled" in out
    assert "gone (410)" in out


def test_show_tells_of_the_latest_ten_webhooks(tunehook: Any, stack: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    for number in range(12):
        put_delivery(f"task-{number}", subscription_id="a", created_at_ms=NOW_MS + number)
    put_delivery("other", subscription_id="b", created_at_ms=NOW_MS + 99)
    shown = json.loads(tunehook("subscriptions", "show", "a", "--json").stdout)
    assert [each["task_id"] for each in shown["deliveries"]] == [f"task-{n}" for n in range(11, 1, -1)]


def put_delivery(task_id: str, *, subscription_id: str, created_at_ms: int) -> None:
    delivery = new_delivery(
        event_id=task_id,
        subscription_id=subscription_id,
        task_id=task_id,
        provider="suno",
        type="task.completed",
        event_at_ms=created_at_ms,
        format=Format.STANDARD,
        payload="{}",
        now_ms=created_at_ms,
    )
    DeliveriesTable(client("dynamodb"), "DeliveriesTable").create(delivery)


def test_delete_takes_the_item_away(tunehook: Any, stack: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    assert tunehook("subscriptions", "delete", "a").stdout == "Deleted a.\n"
    assert items(TABLE) == []


@pytest.mark.parametrize("command", ["show", "delete", "secret"])
def test_a_subscription_that_is_not_there_is_an_error(tunehook: Any, stack: None, command: str) -> None:
    result = tunehook("subscriptions", command, "nope")
    assert (result.exit_code, result.output) == (2, "tunehook: ID: there is no subscription nope\n")


def test_secret_prints_the_secret_of_the_present_version_alone(tunehook: Any, stack: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL, "secret_version": 3})
    assert tunehook("subscriptions", "secret", "a").output == f"{secret_of('a', 3)}\n"


def test_secret_of_a_url_is_that_of_notify_hooks(tunehook: Any, stack: None) -> None:
    expected = secret_of(notify_hook_subscription_id(URL))
    assert tunehook("subscriptions", "secret", URL).output == f"{expected}\n"
    as_json = json.loads(tunehook("subscriptions", "secret", URL, "--json").stdout)
    assert as_json == {"subscription_id": notify_hook_subscription_id(URL), "signing_secret": expected}


@pytest.mark.parametrize("version", ["2", 0, 1.5])
def test_an_absurd_secret_version_is_an_error(tunehook: Any, stack: None, version: object) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL, "secret_version": version})
    result = tunehook("subscriptions", "secret", "a")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_no_screen_shows_the_master_secret(tunehook: Any, stack: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    for args in (("subscribe", URL), ("subscriptions", "secret", "a"), ("subscriptions", "show", "a")):
        assert "mmmm" not in tunehook(*args).output


def test_a_master_secret_that_is_too_short_is_an_error(tunehook: Any, stack: None) -> None:
    client("secretsmanager").put_secret_value(SecretId="master", SecretString="short")
    result = tunehook("subscribe", URL)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert items(TABLE) == []
