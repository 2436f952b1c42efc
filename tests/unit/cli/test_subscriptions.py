import json
import threading
from typing import Any

import pytest
from tests.support.aws import REGION, Faulty, client, fault, items, put, received
from tests.support.endpoints import answer_checks
from tests.support.patience import HANG_S, until

from tunehook.aws.deliveries import DeliveriesTable
from tunehook.deliveries import Attempt, Delivery, DeliveryMessage, DeliveryStatus, new_delivery
from tunehook.signatures import derive_public_key, derive_secret, notify_hook_subscription_id
from tunehook.subscriptions import SUBSCRIBABLE
from tunehook.tasks import Format
from tunehook.times import from_ms, iso, now_ms

NOW_MS = 1_800_000_000_000
URL = "https://receiver.example/inbox"
TABLE = "SubscriptionsTable"
VERSIONS = "SecretVersionsTable"


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
    assert tunehook("subscribe", URL, "--again").exit_code == 0
    assert len(items(TABLE)) == 2


@pytest.mark.parametrize(
    "fields", [{}, {"enabled": False}, {"events": ["task.failed"]}, {"providers": ["suno"]}]
)
def test_a_url_that_would_get_the_same_twice_is_subscribed_again_only_if_that_is_meant(
    tunehook: Any, stack: None, fields: dict[str, Any]
) -> None:
    put(TABLE, {"subscription_id": "known", "url": URL} | fields)
    put(TABLE, {"subscription_id": "unusable", "url": 7})
    result = tunehook("subscribe", URL.replace("https://receiver.example/", "HTTPS://Receiver.Example:443/"))
    assert result.exit_code == 2
    assert result.output.startswith("tunehook: URL: is subscribed already, as known (")
    assert "--again" in result.output
    assert len(items(TABLE)) == 2
    assert tunehook("subscribe", URL, "--again", "--json").exit_code == 0
    assert len(items(TABLE)) == 3


def test_a_url_may_be_subscribed_to_different_things(tunehook: Any, stack: None) -> None:
    for args in (
        ("--event", "task.failed"),
        ("--event", "task.completed", "--provider", "suno"),
        ("--event", "task.completed", "--provider", "musicmint"),
    ):
        assert tunehook("subscribe", URL, *args).exit_code == 0
    assert tunehook("subscribe", f"{URL}/2").exit_code == 0


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
    told = json.loads(result.stdout)
    assert item.items() <= told.items()
    assert told["signing_secret"] == secret_of(item["subscription_id"])


def test_the_list_as_json_has_every_field_of_every_subscription(tunehook: Any, stack: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    put(TABLE, {"subscription_id": "b", "url": URL, "enabled": False, "failing_since_ms": NOW_MS})
    put(TABLE, {"subscription_id": "c", "url": "ftp://x", "events": 7})
    first, second, third = json.loads(tunehook("subscriptions", "list", "--json").stdout)
    assert first.keys() == second.keys() == third.keys()
    assert (first["enabled"], first["format"], first["providers"]) == (True, "standard", [])
    assert first["events"] == ["task.completed", "task.failed"]
    assert (first["state"], second["state"], third["state"]) == ("enabled", "disabled", "unusable")
    assert second["failing_since"] == iso(from_ms(NOW_MS))
    assert (third["events"], third["unreadable"]) == (None, ["events"])
    assert "scheme" in third["error"]


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("receiver.example",), "URL: the scheme must be https or http"),
        (
            (URL, "--event", "webhook.test"),
            f"--event: must be among {', '.join(SUBSCRIBABLE)}",
        ),
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
        ["a", "enabled", "ends", "all", "-", "standard", "v1", "10", URL],
        ["b", "disabled", "task.failed", "all", "-", "standard", "v1", "10", URL],
        [
            "c",
            "unusable",
            "-",
            "-",
            "-",
            "-",
            "-",
            "-",
            *["url:", "the", "scheme", "must", "be", "https", "or", "http"],
        ],
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


@pytest.mark.parametrize(
    "command", ["show", "delete", "secret", "disable", "enable", "rotate-secret", "test"]
)
def test_a_subscription_that_is_not_there_is_an_error(tunehook: Any, stack: None, command: str) -> None:
    result = tunehook("subscriptions", command, "nope")
    complaint = "ID: there is no subscription nope: `tunehook subscriptions list` lists them"
    assert (result.exit_code, result.output) == (2, f"tunehook: {complaint}\n")
    assert items(TABLE) == items("DeliveriesTable") == []


def test_secret_prints_the_secret_of_the_present_version_alone(tunehook: Any, stack: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL, "secret_version": 3})
    assert tunehook("subscriptions", "secret", "a").output == f"{secret_of('a', 3)}\n"


def test_secret_of_a_url_is_that_of_notify_hooks(tunehook: Any, stack: None) -> None:
    expected = secret_of(notify_hook_subscription_id(URL))
    assert tunehook("subscriptions", "secret", URL).output == f"{expected}\n"
    as_json = json.loads(tunehook("subscriptions", "secret", URL, "--json").stdout)
    assert as_json == {
        "subscription_id": notify_hook_subscription_id(URL),
        "signing_secret": expected,
        "signature": "v1",
        "public_key": None,
    }


def test_secret_and_show_say_what_signs_whatever_the_item_says(tunehook: Any, stack: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    tunehook("subscriptions", "rotate-secret", "a")
    for fields in ({}, {"secret_version": 7}, {"secret_version": "2"}):
        put(TABLE, {"subscription_id": "a", "url": URL} | fields)
        assert tunehook("subscriptions", "secret", "a").output == f"{secret_of('a', 2)}\n"
        assert "version 2; " in tunehook("subscriptions", "show", "a").stdout
        assert json.loads(tunehook("subscriptions", "show", "a", "--json").stdout)["secret_version"] == 2


def test_no_screen_shows_the_master_secret(tunehook: Any, stack: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    for args in (("subscribe", URL), ("subscriptions", "secret", "a"), ("subscriptions", "show", "a")):
        assert "mmmm" not in tunehook(*args).output


def test_a_master_secret_that_is_too_short_is_an_error(tunehook: Any, stack: None) -> None:
    client("secretsmanager").put_secret_value(SecretId="master", SecretString="short")
    result = tunehook("subscribe", URL)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert items(TABLE) == []


HEADERS = ("--header", "X-Token: very: secret", "--header", "x-empty:")


def test_subscribe_takes_headers_and_does_not_show_their_values(tunehook: Any, stack: None) -> None:
    result = tunehook("subscribe", URL, *HEADERS, "--json")
    (item,) = items(TABLE)
    assert item["headers"] == {"X-Token": "very: secret", "x-empty": ""}
    assert json.loads(result.stdout)["headers"] == {"X-Token": "****", "x-empty": "****"}


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        (["x-token"], "--header: must be 'NAME: VALUE'"),
        (["x-a: b\r\nx-c: d"], "--header x-a: the value must be at most 2048 printable ASCII characters"),
        (["x-a: b", "x-a: c"], "--header x-a: given twice"),
        (["x-a: b", "X-A: c"], "--header X-A: given twice"),
        (["webhook-id: b"], "--header webhook-id: this header is not yours to set"),
        (["Connection: close"], "--header Connection: this header is not yours to set"),
        (["a b: c"], "--header: a name holds characters that a header's name cannot hold"),
        ([f"x-{n}: y" for n in range(11)], "--header: more than 10"),
    ],
)
def test_a_header_that_is_not_acceptable_is_refused(
    tunehook: Any, stack: None, texts: list[str], complaint: str
) -> None:
    result = tunehook("subscribe", URL, *(part for text in texts for part in ("--header", text)))
    assert (result.exit_code, result.output) == (2, f"tunehook: {complaint}\n")
    assert items(TABLE) == []


@pytest.mark.parametrize(
    "url",
    [
        "https://user:word@receiver.example/",
        f"{URL}#part",
        f"{URL}?{'x' * 3000}",
        "https://receiver.example:0/",
    ],
)
def test_a_url_that_no_policy_lets_through_is_refused_by_its_name(
    tunehook: Any, stack: None, url: str
) -> None:
    result = tunehook("subscribe", url)
    assert (result.exit_code, result.stderr.startswith("tunehook: URL: "), items(TABLE)) == (2, True, [])


def test_disable_says_so_on_the_item(tunehook: Any, stack: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    assert tunehook("subscriptions", "disable", "a").exit_code == 0
    assert items(TABLE) == [
        {"subscription_id": "a", "url": URL, "enabled": False, "disabled_reason": "disabled by hand"}
    ]


def test_disable_leaves_alone_what_is_disabled(tunehook: Any, stack: None) -> None:
    item = {"subscription_id": "a", "url": URL, "enabled": False, "disabled_reason": "gone (410)"}
    put(TABLE, item)
    result = tunehook("subscriptions", "disable", "a")
    assert (result.exit_code, result.output) == (0, "a is disabled already.\n")
    assert items(TABLE) == [item]


def test_enable_forgets_why_it_was_disabled_and_how_it_has_failed(tunehook: Any, stack: None) -> None:
    item = {"subscription_id": "a", "url": URL, "headers": {"x": "y"}}
    put(TABLE, item | {"enabled": False, "disabled_reason": "failed for 5 days", "failing_since_ms": NOW_MS})
    result = tunehook("subscriptions", "enable", "a")
    assert items(TABLE) == [item | {"enabled": True}]
    assert "`tunehook deliveries recover a --since 2h`" in result.stdout


def test_enable_refuses_what_could_not_be_used_and_names_the_field(tunehook: Any, stack: None) -> None:
    item = {"subscription_id": "a", "url": "ftp://x", "enabled": False}
    put(TABLE, item)
    result = tunehook("subscriptions", "enable", "a")
    assert (result.exit_code, result.output) == (2, "tunehook: url: the scheme must be https or http\n")
    assert items(TABLE) == [item]


def test_rotate_secret_prints_the_new_secret_and_until_when_the_old_one_signs(
    tunehook: Any, stack: None
) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    began_ms = now_ms()
    result = tunehook("subscriptions", "rotate-secret", "a")
    assert items(TABLE) == [{"subscription_id": "a", "url": URL}]
    (item,) = items(VERSIONS)
    day_ms = 24 * 3600 * 1000
    assert item["secret_version"] == 2
    assert began_ms + day_ms <= item["previous_secret_until_ms"] <= now_ms() + day_ms
    assert result.output.count(secret_of("a", 2)) == 1
    assert secret_of("a", 1) not in result.output
    assert "The old one signs too until " in result.output
    shown = tunehook("subscriptions", "show", "a").stdout
    assert "version 2; the one before signs too until" in shown


def test_rotate_secret_as_json(tunehook: Any, stack: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL, "secret_version": 4})
    told = json.loads(tunehook("subscriptions", "rotate-secret", "a", "--grace", "0s", "--json").stdout)
    until = told.pop("previous_secret_until")
    assert told == {
        "subscription_id": "a",
        "secret_version": 5,
        "signing_secret": secret_of("a", 5),
        "public_key": None,
    }
    assert until.endswith("Z")
    assert items(VERSIONS)[0]["previous_secret_until_ms"] <= now_ms()


@pytest.mark.parametrize("grace", ["7d", "168h", "90s", "0s"])
def test_a_grace_from_none_to_7_days_is_taken(tunehook: Any, stack: None, grace: str) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    assert tunehook("subscriptions", "rotate-secret", "a", "--grace", grace).exit_code == 0


@pytest.mark.parametrize(
    ("grace", "complaint"),
    [
        ("8d", "must be at most 7d"),
        ("604801s", "must be at most 7d"),
        ("1 day", "must be a whole number and a unit, such as 90s, 30m, 2h or 7d"),
        ("-1h", "must be a whole number and a unit, such as 90s, 30m, 2h or 7d"),
    ],
)
def test_another_grace_is_refused(tunehook: Any, stack: None, grace: str, complaint: str) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    result = tunehook("subscriptions", "rotate-secret", "a", "--grace", grace)
    assert (result.exit_code, result.output) == (2, f"tunehook: --grace: {complaint}\n")
    assert items(TABLE) == [{"subscription_id": "a", "url": URL}]


def test_a_second_rotation_warns_of_the_secret_that_it_cuts_off(tunehook: Any, stack: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    assert "warning" not in tunehook("subscriptions", "rotate-secret", "a").output
    assert "warning: the secret of version 1" in tunehook("subscriptions", "rotate-secret", "a").stderr


def test_a_rotation_that_meets_another_changes_nothing(
    tunehook: Any, stack: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    meeting = Faulty(client("dynamodb"), update_item=[fault("ConditionalCheckFailedException", "UpdateItem")])
    monkeypatch.setattr(
        "tunehook.aws.clients.client",
        lambda service, **_: meeting if service == "dynamodb" else client(service),
    )
    result = tunehook("subscriptions", "rotate-secret", "a")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "try again" in result.stderr


def messages() -> list[dict[str, Any]]:
    url = client("sqs").get_queue_url(QueueName="deliveries")["QueueUrl"]
    return received(url)


@pytest.mark.parametrize("form", ["standard", "provider", "cloudevents"])
def test_a_test_is_a_delivery_of_its_own_that_is_due_now(tunehook: Any, stack: None, form: str) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL, "format": form, "events": ["task.failed"]})
    for _ in range(2):
        assert tunehook("subscriptions", "test", "a", "--wait", "0").exit_code == 0
    first, second = (Delivery.model_validate(item) for item in items("DeliveriesTable"))
    assert first.delivery_id != second.delivery_id
    assert (first.type, first.format, first.subscription_id) == ("webhook.test", form, "a")
    assert first.status is DeliveryStatus.PENDING
    wanted = {each.delivery_id: each.next_attempt_at_ms for each in (first, second)}
    sent = [DeliveryMessage.model_validate(each) for each in messages()]
    assert {each.delivery_id: each.due_at_ms for each in sent} == wanted


def answered(status: DeliveryStatus, code: int) -> threading.Thread:
    """Let the delivery that comes be attempted, as the function would."""

    def attempt() -> None:
        found = until(lambda: items("DeliveriesTable"), "a delivery")
        message = DeliveryMessage(
            delivery_id=found[0]["delivery_id"], subscription_id="a", attempt=1, run=1, due_at_ms=0
        )
        made = Attempt(run=1, attempt=1, at_ms=now_ms(), duration_ms=42, status_code=code)
        DeliveriesTable(client("dynamodb"), "DeliveriesTable").record(
            message,
            status=status,
            attempt=made,
            next_attempt_at_ms=NOW_MS if status is DeliveryStatus.PENDING else None,
        )

    thread = threading.Thread(target=attempt)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("status", "code", "exit_code", "words"),
    [
        (DeliveryStatus.DELIVERED, 204, 0, "HTTP 204 (42 ms)"),
        (DeliveryStatus.PENDING, 503, 1, "HTTP 503; next attempt "),
    ],
)
def test_a_test_tells_what_the_receiver_answered(
    tunehook: Any, stack: None, status: DeliveryStatus, code: int, exit_code: int, words: str
) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    worker = answered(status, code)
    result = tunehook("subscriptions", "test", "a", "--wait", f"{HANG_S:.0f}")
    worker.join()
    assert (result.exit_code, words in result.stdout) == (exit_code, True)


def test_a_test_that_nobody_attempts_in_time_is_not_taken(tunehook: Any, stack: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    result = tunehook("subscriptions", "test", "a", "--wait", "0.1")
    (item,) = items("DeliveriesTable")
    assert result.exit_code == 1
    assert f"no attempt yet; `tunehook deliveries show {item['delivery_id']}`" in result.stdout


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"enabled": False}, "ID: a is disabled: `tunehook subscriptions enable a` first"),
        ({"format": "xml"}, "format: must be one of standard, provider, cloudevents"),
    ],
)
def test_what_gets_no_webhooks_gets_no_test(
    tunehook: Any, stack: None, fields: dict[str, Any], complaint: str
) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL} | fields)
    result = tunehook("subscriptions", "test", "a")
    assert (result.exit_code, result.output) == (2, f"tunehook: {complaint}\n")
    assert items("DeliveriesTable") == messages() == []


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunehook_cli.asking.is_terminal", lambda: True)
    monkeypatch.setattr("tunehook_cli.commands.subscriptions.is_terminal", lambda: True)


def test_delete_asks_on_a_terminal_and_names_what_is_lost(tunehook: Any, stack: None, terminal: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    tunehook("subscriptions", "test", "a", "--wait", "0")
    result = tunehook("subscriptions", "delete", "a", input="n\n")
    assert (result.exit_code, len(items(TABLE))) == (1, 1)
    assert f"Delete a, {URL} (1 pending webhook will be discarded)?" in result.stderr
    assert tunehook("subscriptions", "delete", "a", input="y\n").exit_code == 0
    assert items(TABLE) == []


def test_delete_asks_nothing_with_yes(tunehook: Any, stack: None, terminal: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    result = tunehook("subscriptions", "delete", "a", "--yes", "--json")
    assert (result.exit_code, result.stderr, items(TABLE)) == (0, "", [])


@pytest.mark.parametrize(("answer", "count"), [("n", 1), ("y", 2)])
def test_subscribe_asks_on_a_terminal_before_it_doubles(
    tunehook: Any, stack: None, terminal: None, answer: str, count: int
) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    result = tunehook("subscribe", URL, input=f"{answer}\n")
    assert "is subscribed already, as a (enabled)" in result.stderr
    assert len(items(TABLE)) == count


def test_set_changes_what_is_named_and_nothing_else(tunehook: Any, stack: None) -> None:
    given = {"subscription_id": "a", "url": URL, "providers": ["suno"], "headers": {"x-a": "1"}, "mine": 7}
    put(TABLE, given)
    args = ("--event", "task.failed", "--format", "provider", "--provider", "")
    result = tunehook("subscriptions", "set", "a", *args)
    assert result.stdout == "Changed a. This takes effect within 15 seconds.\n"
    (item,) = items(TABLE)
    assert item == given | {"events": ["task.failed"], "format": "provider", "providers": []}


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ((), "ID: nothing to change"),
        (("--event", "task.done"), "--event: must be among"),
        (("--url", "ftp://x"), "--url: "),
        (("--url", "https://other.example/"), "--url: is subscribed already, as b (enabled)"),
    ],
)
def test_set_refuses_what_would_be_of_no_use(
    tunehook: Any, stack: None, args: tuple[str, ...], complaint: str
) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    put(TABLE, {"subscription_id": "b", "url": "https://other.example/"})
    before = items(TABLE)
    result = tunehook("subscriptions", "set", "a", *args)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"tunehook: {complaint}")
    assert items(TABLE) == before


def public_key_of(subscription_id: str, version: int = 1) -> str:
    return derive_public_key("m" * 64, subscription_id, version)


def test_a_subscription_for_ed25519_gets_its_public_key_and_no_secret(tunehook: Any, stack: None) -> None:
    told = tunehook("subscribe", URL, "--signature", "v1a").output
    (item,) = items(TABLE)
    assert item["signature"] == "v1a"
    assert public_key_of(item["subscription_id"]) in told
    assert "whsec_" not in told
    assert "whsk_" not in told


def test_secret_prints_what_verifies_and_both_while_both_sign(tunehook: Any, stack: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    secret, key = secret_of("a"), public_key_of("a")
    assert tunehook("subscriptions", "secret", "a").output == f"{secret}\n"
    assert tunehook("subscriptions", "secret", "a", "--public").output == f"{key}\n"
    assert tunehook("subscriptions", "set", "a", "--signature", "v1a").exit_code == 0
    assert tunehook("subscriptions", "secret", "a").output == f"{secret}\n{key}\n"
    put(TABLE, {"subscription_id": "a", "url": URL, "signature": "v1a"})
    assert tunehook("subscriptions", "secret", "a").output == f"{key}\n"


def test_during_a_rotation_there_are_two_public_keys_the_newest_first(tunehook: Any, stack: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL, "signature": "both"})
    assert public_key_of("a", 2) in tunehook("subscriptions", "rotate-secret", "a").output
    told = tunehook("subscriptions", "secret", "a", "--public").output
    assert told == f"{public_key_of('a', 2)}\n{public_key_of('a')}\n"


@pytest.mark.parametrize(
    ("before", "after", "grace"),
    [
        (None, "v1a", True),
        ("v1a", "v1", True),
        ("both", "v1", True),
        ("both", "v1a", True),
        ("v1", "both", False),
        (None, "v1", False),
        ("v1a", "v1a", False),
    ],
)
def test_where_a_signature_goes_away_both_sign_for_a_day(
    tunehook: Any, stack: None, before: str | None, after: str, grace: bool
) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL} | ({"signature": before} if before else {}))
    began_ms = now_ms()
    tunehook("subscriptions", "set", "a", "--signature", after)
    until_ms = items(TABLE)[0].get("signature_both_until_ms")
    assert (until_ms is not None) is grace
    if until_ms is not None:
        assert 0 <= until_ms - began_ms - 24 * 3_600_000 < HANG_S * 1000


def test_a_schedule_and_a_timeout_are_set_shown_and_taken_back(tunehook: Any, stack: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    args = ("subscriptions", "set", "a", "--retry-schedule", "5s,5m, 1h", "--timeout", "10s")
    assert tunehook(*args).exit_code == 0
    (item,) = items(TABLE)
    assert (item["retry_schedule"], item["timeout_s"]) == ([5, 300, 3600], 10)
    shown = tunehook("subscriptions", "show", "a").output
    assert "after 5s, 5m, 1h" in shown
    assert "10s" in shown
    row = tunehook("subscriptions", "list").output.splitlines()[1].split()
    assert row[6:8] == ["v1", "4"]
    tunehook("subscriptions", "set", "a", "--retry-schedule", "", "--timeout", "")
    told = json.loads(tunehook("subscriptions", "list", "--json").stdout)[0]
    assert (len(told["retry_schedule"]), told["timeout_s"]) == (9, 15)


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("--retry-schedule", "5"), "--retry-schedule: must be a whole number and a unit"),
        (("--retry-schedule", "25h"), "--retry-schedule: must be a list of 1 to 20 waits"),
        (("--retry-schedule", ",".join(["24h"] * 8)), "--retry-schedule: must be 604800 seconds (7 days)"),
        (("--timeout", "16s"), "--timeout: must be a whole number of seconds from 1 to 15"),
        (("--signature", "rsa"), "--signature: must be one of v1, v1a, both"),
    ],
)
def test_a_bad_schedule_timeout_or_signature_is_refused_by_its_option(
    tunehook: Any, stack: None, args: tuple[str, ...], complaint: str
) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    result = tunehook("subscriptions", "set", "a", *args)
    assert result.exit_code == 2
    assert complaint in result.output
    assert items(TABLE) == [{"subscription_id": "a", "url": URL}]


ORDER = {"metadata": {"order": [{"numeric": [">", 1000]}]}}


def test_a_filter_is_set_shown_and_taken_back(tunehook: Any, stack: None, tmp_path: Any) -> None:
    assert tunehook("subscribe", URL, "--filter", json.dumps(ORDER)).exit_code == 0
    (item,) = items(TABLE)
    assert item["filter"] == ORDER
    name = item["subscription_id"]
    shown = tunehook("subscriptions", "show", name).output
    assert '{"metadata":{"order":[{"numeric":[">",1000]}]}}' in shown
    assert tunehook("subscriptions", "list").output.splitlines()[1].split()[4] == "yes"
    file = tmp_path / "pattern.json"
    file.write_text('{"status": ["failed"]}')
    assert tunehook("subscriptions", "set", name, "--filter", f"@{file}").exit_code == 0
    assert json.loads(tunehook("subscriptions", "show", name, "--json").stdout)["filter"] == {
        "status": ["failed"]
    }
    assert tunehook("subscriptions", "set", name, "--filter", "").exit_code == 0
    assert json.loads(tunehook("subscriptions", "show", name, "--json").stdout)["filter"] is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            '{"metadata": {"order": [{"prefix": 7}]}}',
            "--filter: filter.metadata.order[0].prefix must be a text",
        ),
        ("{", "is no JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
        ("@/nowhere/pattern.json", "/nowhere/pattern.json cannot be read: No such file or directory"),
    ],
)
def test_a_filter_that_is_none_is_refused_by_what_is_wrong_with_it(
    tunehook: Any, stack: None, text: str, complaint: str
) -> None:
    result = tunehook("subscribe", URL, "--filter", text)
    assert result.exit_code == 2
    assert complaint in result.output
    assert items(TABLE) == []


def put_ended(**fields: Any) -> None:
    clips = [{"clip_id": "c1", "title": "City Lights", "tags": ["pop"], "duration_s": 61.5}]
    ended = {
        "task_id": "t1",
        "provider": "suno",
        "status": "completed",
        "event_id": "evt_1",
        "submitted_at_ms": NOW_MS,
        "detected_at_ms": NOW_MS,
        "metadata": {"order": 1017},
        "clips": clips,
    }
    put("TasksTable", ended | fields)
    client("s3").create_bucket(Bucket="results", CreateBucketConfiguration={"LocationConstraint": REGION})


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, []),
        ({"filter": ORDER}, []),
        ({"filter": {"clips": {"tags": ["pop"], "duration_s": [{"numeric": [">", 60]}]}}}, []),
        (
            {"filter": {"metadata": {"order": ["1017"]}}},
            ['filter.metadata.order: there is 1017, and it must be ["1017"]'],
        ),
        (
            {"filter": {"metadata": {"shop": ["x"]}}, "events": ["task.failed"], "enabled": False},
            [
                "enabled: there is false, and it must be [true]",
                'events: there is "task.completed", and it must be ["task.failed"]',
                'filter.metadata.shop: there is nothing, and it must be ["x"]',
            ],
        ),
        (
            {"providers": ["other"], "filter": {"clips": {"tags": ["rock"]}}},
            [
                'providers: there is "suno", and it must be ["other"]',
                'filter.clips.tags: there is "pop", and it must be ["rock"]',
            ],
        ),
    ],
)
def test_a_filter_is_tried_on_a_task(
    tunehook: Any, stack: None, fields: dict[str, Any], told: list[str]
) -> None:
    put_ended()
    put(TABLE, {"subscription_id": "a", "url": URL} | fields)
    result = tunehook("subscriptions", "filter-test", "a", "--task", "t1")
    word = "does not match: it is not told" if told else "matches: it is told"
    assert result.output.splitlines() == [
        f"a {word} of suno/t1 (task.completed).",
        *(f"  {each}" for each in told),
    ]
    assert result.exit_code == (1 if told else 0)
    as_json = json.loads(tunehook("subscriptions", "filter-test", "a", "--task", "t1", "--json").stdout)
    assert (as_json["matches"], len(as_json["mismatches"])) == (not told, len(told))


def test_a_filter_is_tried_on_what_has_ended_so(tunehook: Any, stack: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    put("TasksTable", {"task_id": "t2", "provider": "suno", "status": "pending"})
    args = ("subscriptions", "filter-test", "a", "--task")
    assert "t2 has no event of its end (status pending)" in tunehook(*args, "t2").output
    put_ended()
    assert "must be task.completed or task.archived" in tunehook(*args, "t1", "--event", "task.failed").output
    for event in ("x", "task.progress"):
        assert "must be one of" in tunehook(*args, "t1", "--event", event).output
    assert tunehook(*args, "t1", "--event", "task.archived").exit_code == 1


def test_a_filter_looks_at_the_manifest_of_the_same_run(tunehook: Any, stack: None) -> None:
    put_ended()
    put(TABLE, {"subscription_id": "a", "url": URL, "filter": {"archive": ["complete"]}})
    args = ("subscriptions", "filter-test", "a", "--task", "t1")
    assert tunehook(*args).exit_code == 1
    asset = {"clip_id": "c1", "type": "audio", "status": "archived", "key": "k", "bytes": 9}
    detail = {
        "task_id": "t1",
        "provider": "suno",
        "event_id": "evt_1",
        "status": "completed",
        "submitted_at": iso(from_ms(NOW_MS)),
        "finished_at": None,
        "detected_at": iso(from_ms(NOW_MS)),
        "metadata": {},
        "clips": [],
        "assets": [asset],
    }
    for event_id, code in (("evt_other", 1), ("evt_1", 0)):
        client("s3").put_object(
            Bucket="results",
            Key="results/suno/t1/manifest.json",
            Body=json.dumps(detail | {"event_id": event_id}).encode(),
        )
        assert tunehook(*args).exit_code == code


def test_subscribe_checks_the_endpoint_first_and_enables_it_if_it_answers(
    tunehook: Any, stack: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_checks(monkeypatch, 204)
    result = tunehook("subscribe", "https://x.example/", "--verify")
    assert result.exit_code == 0
    assert result.stdout.endswith("The check passed: it answered 204 after 0.04 s.\n")
    (item,) = items("SubscriptionsTable")
    assert (item["enabled"], "disabled_reason" in item) == (True, False)


def test_subscribe_says_what_is_wrong_and_how_to_go_on(
    tunehook: Any, stack: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_checks(monkeypatch, 301, detail="location: /there/")
    result = tunehook("subscribe", "https://x.example/there", "--verify")
    assert result.exit_code == 1
    assert "whsec_" in result.stdout
    assert "The check failed: it answered 301, a redirect to https://x.example/there/" in result.stdout
    (item,) = items("SubscriptionsTable")
    name = item["subscription_id"]
    assert f"`tunehook subscriptions enable {name} --verify`" in result.stdout
    told = tunehook("subscriptions", "enable", name, "--verify", "--json")
    assert (told.exit_code, json.loads(told.stdout)["enabled"]) == (1, False)
    assert json.loads(told.stdout)["check"]["code"] == "redirect"
    assert items("SubscriptionsTable") == [item]
    answer_checks(monkeypatch, 200)
    assert tunehook("subscriptions", "enable", name, "--verify").exit_code == 0
    assert items("SubscriptionsTable")[0]["enabled"] is True


def test_set_changes_nothing_unless_the_check_passes(
    tunehook: Any, stack: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("SubscriptionsTable", {"subscription_id": "sub", "url": "https://x.example/"})
    answer_checks(monkeypatch, None)
    words = ("subscriptions", "set", "sub", "--url", "https://new.example/", "--verify", "--json")
    result = tunehook(*words)
    told = json.loads(result.stdout)
    assert (result.exit_code, told["url"], told["check"]["code"]) == (
        1,
        "https://x.example/",
        "not_attempted",
    )
    assert items("SubscriptionsTable") == [{"subscription_id": "sub", "url": "https://x.example/"}]
    answer_checks(monkeypatch, 204)
    result = tunehook(*words)
    told = json.loads(result.stdout)
    assert (result.exit_code, told["url"], told["check"]["passed"]) == (0, "https://new.example/", True)


def test_a_limit_is_set_shown_and_taken_back(tunehook: Any, stack: None) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL})
    assert tunehook("subscriptions", "set", "a", "--max-per-second", "2.5").exit_code == 0
    (item,) = items(TABLE)
    assert item["max_per_second"] == 2.5
    assert "2.5 a second" in tunehook("subscriptions", "show", "a").stdout
    tunehook("subscriptions", "set", "a", "--max-per-second", "")
    told = json.loads(tunehook("subscriptions", "show", "a", "--json").stdout)
    assert told["max_per_second"] is None
    created = json.loads(tunehook("subscribe", f"{URL}x", "--max-per-second", "10", "--json").stdout)
    assert created["max_per_second"] == 10


def test_whoever_sets_another_limit_makes_void_what_was_reserved_under_the_former(
    tunehook: Any, stack: None
) -> None:
    put(TABLE, {"subscription_id": "a", "url": URL, "max_per_second": 5})
    tunehook("subscriptions", "set", "a", "--max-per-second", "5")
    assert "max_per_second_since_ms" not in items(TABLE)[0]
    tunehook("subscriptions", "set", "a", "--max-per-second", "6")
    first = items(TABLE)[0]["max_per_second_since_ms"]
    tunehook("subscriptions", "set", "a", "--max-per-second", "")
    tunehook("subscriptions", "set", "a", "--max-per-second", "6")
    assert items(TABLE)[0]["max_per_second_since_ms"] >= first > 0


@pytest.mark.parametrize("text", ["fast", "0", "0.09", "1000.1", "-1", "nan", "inf", "1/s"])
def test_a_limit_that_is_none_is_refused_by_its_option(tunehook: Any, stack: None, text: str) -> None:
    result = tunehook("subscribe", URL, "--max-per-second", text)
    assert result.exit_code == 2
    assert "--max-per-second: must be a number from 0.1 to 1000" in result.stderr
    assert items(TABLE) == []
