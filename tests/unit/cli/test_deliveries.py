import json
import re
from typing import Any
from unittest.mock import Mock

import pytest
from tests.support.aws import REGION, client, items, put, received

from tunehook.deliveries import delivery_id, new_delivery
from tunehook.fulfillment_requests import DeliveryRequest
from tunehook.signatures import notify_hook_subscription_id
from tunehook.tasks import Format
from tunehook.times import from_ms, iso, now_ms
from tunehook_cli import output
from tunehook_cli.output import clock_time

HOUR_MS = 3_600_000
HOOK = "https://hook.example/x"
TABLE = "DeliveriesTable"


def attempt(number: int = 1, run: int = 1, **answer: Any) -> dict[str, Any]:
    return {"run": run, "attempt": number, "at_ms": now_ms(), "duration_ms": 42, "status_code": 503} | answer


FAILED = {"status": "failed", "next_attempt": 10, "reason": "all attempts failed", "attempts": [attempt(10)]}
REFUSED = {"status": "aborted", "next_attempt": 1, "reason": "refused", "attempts": [attempt(1)]}
WITHDRAWN = {
    "status": "aborted",
    "next_attempt": 2,
    "reason": "subscription disabled",
    "attempts": [attempt(1)],
}


def put_delivery(delivery_id: str, *, ago_ms: int = 0, **changes: Any) -> None:
    delivery = new_delivery(
        event_id="evt",
        subscription_id="sub",
        task_id="task",
        provider="suno",
        type="task.completed",
        event_at_ms=now_ms() - ago_ms,
        format=Format.STANDARD,
        payload='{"secret": "of the customer"}',
        now_ms=now_ms() - ago_ms,
    )
    item = delivery.model_dump(mode="json", exclude_none=True) | {"delivery_id": delivery_id}
    if changes.get("status", "pending") != "pending":
        del item["next_attempt_at_ms"]
    put(TABLE, item | changes)


def subscribe(**fields: Any) -> None:
    put("SubscriptionsTable", {"subscription_id": "sub", "url": "https://receiver.example/"} | fields)


def delivery(delivery_id: str) -> dict[str, Any]:
    (found,) = [item for item in items(TABLE) if item["delivery_id"] == delivery_id]
    return found


def messages() -> list[dict[str, Any]]:
    return received(client("sqs").get_queue_url(QueueName="deliveries")["QueueUrl"])


def listed(tunehook: Any, *args: str) -> list[str]:
    result = tunehook("deliveries", "list", "--json", *args)
    assert result.exit_code == 0, result.output
    return [each["delivery_id"] for each in json.loads(result.stdout)]


def test_one_about_no_task_is_listed_shown_and_sent_again(tunehook: Any, stack: None) -> None:
    subscribe(events=["dead_letters.found"])
    put_delivery("msg_1", **FAILED)
    item = delivery("msg_1")
    about_none = {name: value for name, value in item.items() if name not in ("task_id", "provider")}
    put(TABLE, about_none | {"type": "dead_letters.found", "payload": '{"queue": "intake"}'})
    assert re.search(r"msg_1 .*dead_letters.found +failed +- +sub", tunehook("deliveries", "list").output)
    (found,) = json.loads(tunehook("deliveries", "list", "--json").stdout)
    assert (found["task_id"], found["provider"]) == (None, None)
    shown = tunehook("deliveries", "show", "msg_1").output
    assert "task " not in shown
    assert '"queue": "intake"' in shown
    assert tunehook("deliveries", "recover", "sub", "--since", "1h").exit_code == 0
    assert delivery("msg_1")["run"] == 2


def test_the_list_says_what_went_where_and_what_came_back(tunehook: Any, stack: None) -> None:
    put_delivery("msg_1", **FAILED)
    put_delivery("msg_2", ago_ms=HOUR_MS, url=HOOK, subscription_id=notify_hook_subscription_id(HOOK))
    header, first, second = tunehook("deliveries", "list", env={"COLUMNS": "300"}).stdout.splitlines()
    names = ["DELIVERY", "MADE", "(UTC)", "EVENT", "STATUS", "TASK", "TO", "TRIES", "RESPONSE"]
    assert header.replace(f"({output.zone()})", "(UTC)").split() == names
    words = first.split()
    assert (words[0], words[2:7]) == ("msg_1", ["task.completed", "failed", "task", "sub", "1"])
    assert "HTTP 503; all attempts failed" in first
    assert HOOK in second
    assert "no attempt yet; attempt due since" in second


def test_nothing_of_the_list_is_lost_on_a_narrow_terminal(tunehook: Any, stack: None) -> None:
    name, task = f"msg_{'0123456789abcdef' * 2}", f"{'t' * 30}the-end"
    put_delivery(name, task_id=task, **FAILED)
    _, *lines = tunehook("deliveries", "list", env={"COLUMNS": "100"}).stdout.splitlines()
    assert name in lines[0]
    together = "".join("".join(line.split()) for line in lines)
    assert "…" not in together
    # In the status, and in the last answer, which a table that is too wide would have cut off.
    assert together.count("failed") == 2


def test_the_list_is_narrowed_by_what_is_asked_for(tunehook: Any, stack: None) -> None:
    put_delivery("msg_1", ago_ms=1_000, task_id="other")
    put_delivery("msg_2", ago_ms=2_000, **FAILED)
    put_delivery("msg_3", ago_ms=3 * HOUR_MS)
    put_delivery("msg_4", ago_ms=4 * HOUR_MS, subscription_id="another")
    put_delivery("msg_5", ago_ms=5 * HOUR_MS, subscription_id=notify_hook_subscription_id(HOOK), url=HOOK)
    assert listed(tunehook) == ["msg_1", "msg_2", "msg_3", "msg_4", "msg_5"]
    assert listed(tunehook, "--task", "task") == ["msg_2", "msg_3", "msg_4", "msg_5"]
    assert listed(tunehook, "--subscription", "another") == ["msg_4"]
    assert listed(tunehook, "--subscription", HOOK) == ["msg_5"]
    assert listed(tunehook, "--status", "failed") == ["msg_2"]
    assert listed(tunehook, "--since", "200m") == ["msg_1", "msg_2", "msg_3"]
    assert listed(
        tunehook, "--task", "task", "--subscription", "sub", "--since", "4h", "--status", "pending"
    ) == ["msg_3"]


def test_the_list_says_when_there_are_more(tunehook: Any, stack: None) -> None:
    for number in range(3):
        put_delivery(f"msg_{number}", ago_ms=number * 1_000)
    assert "--limit shows more" in tunehook("deliveries", "list", "--limit", "2").stderr
    assert "--limit" not in tunehook("deliveries", "list", "--limit", "3").stderr
    assert listed(tunehook, "--limit", "2") == ["msg_0", "msg_1"]


def test_a_list_shows_no_payload(tunehook: Any, stack: None) -> None:
    put_delivery("msg_1")
    for args in ((), ("--json",)):
        assert "customer" not in tunehook("deliveries", "list", *args).output


def test_an_empty_list_says_so_and_is_json_all_the_same(tunehook: Any, stack: None) -> None:
    assert tunehook("deliveries", "list").stderr == "There are no deliveries.\n"
    subscribe()
    result = tunehook("deliveries", "list", "--subscription", "sub")
    assert (result.exit_code, result.stderr) == (0, "No deliveries match.\n")
    put("TasksTable", {"task_id": "task", "provider": "suno"})
    assert listed(tunehook, "--task", "task") == []


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("--task", "nope"), "--task: there is no task nope: `tunehook tasks list` lists them"),
        (
            ("--subscription", "nope"),
            "--subscription: there is no subscription nope: `tunehook subscriptions list` lists them",
        ),
        (("--subscription", HOOK), f"--subscription: nothing was sent to a notify hook {HOOK}"),
        (("--status", "lost"), "--status: must be one of pending, delivered, failed, aborted"),
        (("--since", "yesterday"), "--since: must be a whole number and a unit, such as 90s, 30m, 2h or 7d"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_by_its_name(
    tunehook: Any, stack: None, args: tuple[str, ...], complaint: str
) -> None:
    put_delivery("msg_1")
    result = tunehook("deliveries", "list", *args)
    assert (result.exit_code, result.output) == (2, f"tunehook: {complaint}\n")


def test_what_went_to_a_subscription_that_was_deleted_is_no_error(tunehook: Any, stack: None) -> None:
    put_delivery("msg_1")
    result = tunehook("deliveries", "list", "--subscription", "sub", "--status", "failed")
    assert (result.exit_code, result.stderr) == (0, "No deliveries match.\n")


def test_show_tells_of_every_attempt(tunehook: Any, stack: None) -> None:
    attempts = [
        attempt(1, excerpt="busy\x1b[31m\nsorry"),
        attempt(2, status_code=None, error="TlsFailure") | {},
        attempt(1, run=2, status_code=410),
    ]
    del attempts[1]["status_code"]
    put_delivery(
        "msg_1", status="failed", reason="the receiver asked for no more (410)", run=2, attempts=attempts
    )
    out = tunehook("deliveries", "show", "msg_1").stdout
    assert "the receiver asked for no more (410)" in out
    rows = [line.split() for line in out[out.index("Attempts") :].splitlines()[2:]]
    assert [(row[0], row[1], row[4], row[5], *row[6:8]) for row in rows] == [
        ("1", "1", "42", "ms", "HTTP", "503"),
        ("1", "2", "42", "ms", "TlsFailure", "-"),
        ("2", "1", "42", "ms", "HTTP", "410"),
    ]
    assert r"busy\x1b[31m\nsorry" in out


def test_show_says_what_else_is_known_of_an_attempt(tunehook: Any, stack: None) -> None:
    expired = attempt(2, error="CertificateExpired", detail="the certificate has expired")
    del expired["status_code"]
    put_delivery("msg_1", attempts=[attempt(1, status_code=302, detail="location: /login?..."), expired])
    out = tunehook("deliveries", "show", "msg_1", env={"COLUMNS": "200"}).stdout
    assert "HTTP 302 (location: /login?...)" in out
    assert "CertificateExpired (the certificate has expired)" in out


def test_show_as_json_has_every_field(tunehook: Any, stack: None) -> None:
    put_delivery("msg_1", **FAILED)
    told, held = json.loads(tunehook("deliveries", "show", "msg_1", "--json").stdout), delivery("msg_1")
    assert told["payload"] == json.loads(held["payload"])
    assert told["created_at"] == iso(from_ms(held["created_at_ms"]))
    assert (told["run"], told["next_attempt_at"], told["url"], told["unreadable"]) == (1, None, None, [])
    (tried,) = told["attempts"]
    assert tried["at"] == iso(from_ms(held["attempts"][0]["at_ms"]))
    assert (tried["status_code"], tried["error"]) == (503, None)
    (listed,) = json.loads(tunehook("deliveries", "list", "--json").stdout)
    assert told["held_back_until"] is None
    assert listed == told | {"payload": None, "request": None}


def test_show_has_the_request_as_it_would_be_sent_now(tunehook: Any, stack: None) -> None:
    subscribe(headers={"x-token": "of-the-customer"})
    asset = {"type": "audio", "key": "results/suno/t/c/audio.mp3"}
    put_delivery("msg_1", payload=json.dumps({"clips": [{"title": "城市", "assets": [asset]}]}))
    out = tunehook("deliveries", "show", "msg_1").stdout
    shown = out[out.index("Request, as it would be sent now") :]
    assert "POST https://receiver.example/\n" in shown
    assert "x-token: ****\n" in shown
    assert "webhook-id: msg_1\n" in shown
    assert "webhook-signature: v1,****\n" in shown
    body = json.loads(shown[shown.index("\n{") :])
    assert body["data"]["clips"][0]["title"] == "城市"
    assert body["data"]["clips"][0]["assets"][0]["url"].endswith("/results/suno/t/c/audio.mp3?****")
    told = json.loads(tunehook("deliveries", "show", "msg_1", "--json").stdout)["request"]
    assert (told["method"], told["url"]) == ("POST", "https://receiver.example/")
    assert json.loads(told["body"])["data"].keys() == body["data"].keys()
    assert "of-the-customer" not in out + json.dumps(told)
    whole = tunehook("deliveries", "show", "msg_1", "--json", "--links").stdout
    assert "X-Amz-Signature" in whole or "&Signature=" in whole


def test_show_says_why_there_is_no_request(tunehook: Any, stack: None) -> None:
    put_delivery("msg_1", **FAILED)
    result = tunehook("deliveries", "show", "msg_1")
    assert result.exit_code == 0
    assert "cannot be sent now: there is no subscription sub" in result.stdout
    assert json.loads(tunehook("deliveries", "show", "msg_1", "--json").stdout)["request"] is None


def test_what_is_held_back_says_why_and_until_when(tunehook: Any, stack: None) -> None:
    subscribe()
    put_delivery("msg_1", ago_ms=5_000)
    until_ms = now_ms() + 90_000
    receiver = notify_hook_subscription_id("https://receiver.example/")
    put("ReceiverGatesTable", {"receiver": receiver, "wait_ms": 120_000, "shut_until_ms": until_ms})
    told = f"held back: its receiver hangs; retried about {clock_time(until_ms)[:-3]}"
    for command in (("list",), ("show", "msg_1")):
        result = tunehook("deliveries", *command, env={"COLUMNS": "300"})
        assert told in result.stdout
        assert "next attempt 2" not in result.stdout
    (listed,) = json.loads(tunehook("deliveries", "list", "--json").stdout)
    (of_its_subscription,) = json.loads(tunehook("subscriptions", "show", "sub", "--json").stdout)[
        "deliveries"
    ]
    shown = json.loads(tunehook("deliveries", "show", "msg_1", "--json").stdout)
    for document in (listed, of_its_subscription, shown):
        assert document["held_back_until"] == iso(from_ms(until_ms))


def test_what_is_due_and_not_held_back_says_since_when(tunehook: Any, stack: None) -> None:
    subscribe()
    put_delivery("msg_1", ago_ms=5_000)
    assert "no attempt yet; attempt due since" in tunehook("deliveries", "list").stdout


@pytest.mark.parametrize("command", ["show", "redeliver"])
def test_a_delivery_that_is_not_there_is_an_error(tunehook: Any, stack: None, command: str) -> None:
    result = tunehook("deliveries", command, "msg_nope")
    assert result.exit_code == 2
    assert result.output.startswith("tunehook: ID: there is no delivery msg_nope: `tunehook deliveries list`")


@pytest.mark.parametrize("fields", [FAILED, REFUSED, {"status": "delivered", "attempts": [attempt()]}])
def test_redeliver_begins_a_new_run_with_the_same_id(
    tunehook: Any, stack: None, fields: dict[str, Any]
) -> None:
    subscribe()
    put_delivery("msg_1", **fields)
    result = tunehook("deliveries", "redeliver", "msg_1")
    assert (result.exit_code, result.output) == (0, "Redelivering msg_1: run 2, its first attempt now.\n")
    now = delivery("msg_1")
    assert (now["status"], now["run"], now["next_attempt"]) == ("pending", 2, 1)
    assert [(each["delivery_id"], each["run"], each["attempt"]) for each in messages()] == [("msg_1", 2, 1)]


def test_what_tells_of_progress_is_neither_redelivered_nor_recovered(tunehook: Any, stack: None) -> None:
    subscribe()
    put_delivery("msg_progress_1", type="task.progress", **FAILED)
    result = tunehook("deliveries", "redeliver", "msg_progress_1")
    assert result.exit_code == 2
    assert result.output.startswith("tunehook: ID: msg_progress_1 tells of the progress that a task has made")
    assert tunehook("deliveries", "recover", "sub", "--since", "2h").output.startswith("Nothing to recover")
    assert (delivery("msg_progress_1")["status"], messages()) == ("failed", [])


def test_redeliver_as_json_is_the_new_record(tunehook: Any, stack: None) -> None:
    subscribe()
    put_delivery("msg_1", **FAILED)
    told, held = json.loads(tunehook("deliveries", "redeliver", "msg_1", "--json").stdout), delivery("msg_1")
    assert (told["status"], told["run"], told["next_attempt"]) == ("pending", 2, 1)
    assert told["next_attempt_at"] == iso(from_ms(held["next_attempt_at_ms"]))


def test_what_went_to_a_notify_hook_needs_no_subscription(tunehook: Any, stack: None) -> None:
    put_delivery("msg_1", url=HOOK, subscription_id=notify_hook_subscription_id(HOOK), **FAILED)
    assert tunehook("deliveries", "redeliver", "msg_1").exit_code == 0
    assert len(messages()) == 1


def test_a_pending_delivery_is_not_doubled(tunehook: Any, stack: None) -> None:
    subscribe()
    put_delivery("msg_1", next_attempt=3, next_attempt_at_ms=now_ms() + HOUR_MS)
    result = tunehook("deliveries", "redeliver", "msg_1")
    assert result.exit_code == 2
    assert result.output.startswith("tunehook: ID: msg_1 is still pending")
    assert "its attempt 3 is due at" in result.output
    assert (delivery("msg_1")["run"], messages()) == (1, [])


def test_a_pending_delivery_whose_message_is_lost_is_asked_for_again(tunehook: Any, stack: None) -> None:
    subscribe()
    put_delivery("msg_1", ago_ms=HOUR_MS, next_attempt=3)
    result = tunehook("deliveries", "redeliver", "msg_1")
    assert result.output == "msg_1 was pending and overdue: requested its attempt 3 again.\n"
    assert [(each["run"], each["attempt"]) for each in messages()] == [(1, 3)]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        (
            None,
            "ID: its subscription no longer exists: there is no subscription sub: "
            "`tunehook subscriptions list` lists them",
        ),
        ({"enabled": False}, "ID: sub is disabled: `tunehook subscriptions enable sub` first"),
    ],
)
def test_what_nobody_would_get_is_not_redelivered(
    tunehook: Any, stack: None, fields: dict[str, Any] | None, complaint: str
) -> None:
    if fields is not None:
        subscribe(**fields)
    put_delivery("msg_1", **FAILED)
    result = tunehook("deliveries", "redeliver", "msg_1")
    assert (result.exit_code, result.output) == (2, f"tunehook: {complaint}\n")
    assert (delivery("msg_1")["status"], messages()) == ("failed", [])


def test_recover_takes_what_has_failed_since_then_the_oldest_first(tunehook: Any, stack: None) -> None:
    subscribe()
    put_delivery("msg_new", ago_ms=HOUR_MS, **FAILED)
    put_delivery("msg_older", ago_ms=HOUR_MS + 1000, **FAILED)
    put_delivery("msg_withdrawn", ago_ms=HOUR_MS + 2000, **WITHDRAWN)
    put_delivery("msg_refused", ago_ms=HOUR_MS, **REFUSED)
    put_delivery("msg_delivered", ago_ms=HOUR_MS, status="delivered")
    put_delivery("msg_pending", ago_ms=HOUR_MS)
    put_delivery("msg_too_old", ago_ms=3 * HOUR_MS, **FAILED)
    put_delivery("msg_of_another", ago_ms=HOUR_MS, **FAILED | {"subscription_id": "another"})
    result = tunehook("deliveries", "recover", "sub", "--since", "2h", "--json")
    assert json.loads(result.stdout) == {
        "subscription": "sub",
        "recovered": ["msg_withdrawn", "msg_older", "msg_new"],
        "made": [],
        "filtered": False,
        "dry_run": False,
    }
    runs = {item["delivery_id"]: item["run"] for item in items(TABLE)}
    assert {each for each, run in runs.items() if run == 2} == {"msg_withdrawn", "msg_older", "msg_new"}
    assert {each["delivery_id"] for each in messages()} == {"msg_withdrawn", "msg_older", "msg_new"}


def test_recover_twice_begins_no_second_run(tunehook: Any, stack: None) -> None:
    subscribe()
    put_delivery("msg_1", **FAILED)
    assert tunehook("deliveries", "recover", "sub", "--since", "2h").output == "Redelivering 1 delivery.\n"
    again = tunehook("deliveries", "recover", "sub", "--since", "2h")
    assert (again.exit_code, again.stdout) == (0, "")
    assert again.stderr == "Nothing to recover: no delivery of the last 2h has failed, and none is missing.\n"
    assert len(messages()) == 1


def test_recover_takes_the_url_of_a_notify_hook(tunehook: Any, stack: None) -> None:
    put_delivery("msg_1", **FAILED, url=HOOK, subscription_id=notify_hook_subscription_id(HOOK))
    assert tunehook("deliveries", "recover", HOOK, "--since", "14d").exit_code == 0
    assert len(messages()) == 1


def put_ended(task_id: str, *, ago_ms: int = HOUR_MS, provider: str = "suno", **fields: Any) -> str:
    """Put a task that has ended; return the id of its delivery to the subscription."""
    item = {"task_id": task_id, "provider": provider, "status": "completed", "event_id": f"evt_{task_id}"}
    put("TasksTable", item | {"detected_at_ms": now_ms() - ago_ms, "archived_at_ms": now_ms()} | fields)
    return delivery_id(f"evt_{task_id}", "sub")


def asked() -> list[DeliveryRequest]:
    """Take what fulfillment is asked for."""
    url = client("sqs").get_queue_url(QueueName="fulfillment")["QueueUrl"]
    return [DeliveryRequest.model_validate(each) for each in received(url)]


def test_recover_has_made_what_was_never_made_the_oldest_first(tunehook: Any, operated: None) -> None:
    subscribe()
    new, old = put_ended("new"), put_ended("old", ago_ms=HOUR_MS + 60_000)
    rejected = put_ended("rejected", status="rejected", provider="no such provider!")
    put_ended("too-old", ago_ms=3 * HOUR_MS)
    put_ended("put-again", status="pending")
    put_delivery(put_ended("told"), ago_ms=HOUR_MS, status="delivered")
    put_delivery(put_ended("failed"), ago_ms=HOUR_MS, **FAILED)
    result = tunehook("deliveries", "recover", "sub", "--since", "2h", "--json")
    told = json.loads(result.stdout)
    assert told["recovered"] == [delivery_id("evt_failed", "sub")]
    assert (told["made"][0], set(told["made"])) == (old, {old, new, rejected})
    requests = asked()
    assert {(each.task_id, each.provider, each.event_id) for each in requests} == {
        ("old", "suno", "evt_old"),
        ("new", "suno", "evt_new"),
        ("rejected", "no such provider!", "evt_rejected"),
    }
    assert {each.subscription_id for each in requests} == {"sub"}


def test_recover_makes_what_the_subscription_wants_and_no_more(tunehook: Any, operated: None) -> None:
    subscribe(events=["task.failed"], providers=["suno", "musicmint"])
    put_ended("completed")
    put_ended("other", provider="qhaigc", status="failed")
    wanted = {
        put_ended("failed", status="failed"),
        put_ended("mint", status="rejected", provider="musicmint"),
    }
    result = tunehook("deliveries", "recover", "sub", "--since", "2h", "--json")
    assert set(json.loads(result.stdout)["made"]) == wanted
    assert {each.task_id for each in asked()} == {"failed", "mint"}


def test_recover_is_narrowed_by_time_event_provider_and_filter_and_counts_first(
    tunehook: Any, operated: None
) -> None:
    subscribe()
    client("s3").create_bucket(Bucket="results", CreateBucketConfiguration={"LocationConstraint": REGION})
    put_ended("older", ago_ms=HOUR_MS + 60_000)
    put_ended("other", provider="musicmint")
    failure = {"code": "provider_failed", "reason": "no"}
    wanted = put_ended("wanted", status="failed", submitted_at_ms=1, failure=failure, metadata={"order": 7})
    put_delivery(put_ended("failed"), ago_ms=60_000, **FAILED)
    narrowed = ("--since", "2h", "--only-missing", "--event", "task.failed", "--provider", "suno")
    narrowed += ("--filter", '{"metadata": {"order": [7]}}')
    counted = tunehook("deliveries", "recover", "sub", *narrowed, "--dry-run")
    assert counted.output == "It would be: Creating 1 delivery that was missing.\n"
    assert asked() == []
    told = json.loads(tunehook("deliveries", "recover", "sub", *narrowed, "--json").stdout)
    assert told == {
        "subscription": "sub",
        "recovered": [],
        "made": [wanted],
        "filtered": True,
        "dry_run": False,
    }
    (request,) = asked()
    assert (request.events, request.filter) == (["task.failed"], {"metadata": {"order": [7]}})
    told = json.loads(
        tunehook(
            "deliveries", "recover", "sub", "--since", "2h", "--until", "61m", "--dry-run", "--json"
        ).stdout
    )
    assert told["made"] == [delivery_id("evt_older", "sub")]


def test_a_recovery_that_cannot_be_is_refused_by_its_option(tunehook: Any, operated: None) -> None:
    subscribe()
    for words, complaint in (
        (("--until", "3h"), "--until: must be after since"),
        (("--event", "webhook.test"), "--event: must be among"),
        (("--filter", '{"a": [{"prefix": 7}]}'), "--filter: filter.a[0].prefix"),
    ):
        result = tunehook("deliveries", "recover", "sub", "--since", "2h", *words)
        assert result.exit_code == 2
        assert complaint in result.stderr


def test_what_enable_advises_finds_what_was_missed(tunehook: Any, operated: None) -> None:
    subscribe(enabled=False, disabled_reason="the receiver asked for no more (410)")
    for number in range(12):
        put_ended(f"task-{number}")
    enabled = tunehook("subscriptions", "enable", "sub").stdout
    command = re.search(r"`tunehook (deliveries recover sub --since 2h)`", enabled)
    assert command is not None
    result = tunehook(*command[1].split())
    assert (result.exit_code, result.output) == (0, "Creating 12 deliveries that were missing.\n")
    assert len(asked()) == 12


def test_recover_says_both_what_is_sent_again_and_what_is_made(tunehook: Any, operated: None) -> None:
    subscribe()
    put_ended("missed")
    put_delivery(put_ended("failed"), ago_ms=HOUR_MS, **FAILED)
    result = tunehook("deliveries", "recover", "sub", "--since", "2h")
    assert result.output == "Redelivering 1 delivery.\nCreating 1 delivery that was missing.\n"


def test_nothing_is_missing_of_a_notify_hook(tunehook: Any, operated: None) -> None:
    put_delivery("msg_1", **FAILED, url=HOOK, subscription_id=notify_hook_subscription_id(HOOK))
    put_ended("task", notify_hook=HOOK)
    told = json.loads(tunehook("deliveries", "recover", HOOK, "--since", "2h", "--json").stdout)
    assert (told["recovered"], told["made"]) == (["msg_1"], [])
    assert asked() == []


def test_a_subscription_that_cannot_be_used_is_not_recovered(tunehook: Any, operated: None) -> None:
    subscribe(format="xml")
    put_ended("missed")
    result = tunehook("deliveries", "recover", "sub", "--since", "2h")
    assert result.exit_code == 2
    assert result.output.startswith("tunehook: SUBSCRIPTION: sub cannot be used: format: must be")
    assert asked() == []


def test_what_the_queue_does_not_take_is_said(
    tunehook: Any, operated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe()
    put_ended("missed")
    refusing = Mock(wraps=client("sqs"))
    refusing.send_message_batch = Mock(return_value={"Failed": [{"Id": "0", "Code": "InternalError"}]})
    monkeypatch.setattr(
        "tunehook.aws.clients.client",
        lambda service, **_: refusing if service == "sqs" else client(service),
    )
    result = tunehook("deliveries", "recover", "sub", "--since", "2h")
    assert result.exit_code != 0
    assert "the fulfillment queue does not take 1 messages (InternalError): try again" in result.stderr


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("sub", "--since", "15d"), "--since: must be at most 14d"),
        (("sub", "--since", "337h"), "--since: must be at most 14d"),
        (("sub", "--since", "2"), "--since: must be a whole number and a unit, such as 90s, 30m, 2h or 7d"),
        (
            ("nope", "--since", "2h"),
            "SUBSCRIPTION: there is no subscription nope: `tunehook subscriptions list` lists them",
        ),
        (
            ("https://x.example/", "--since", "2h"),
            "SUBSCRIPTION: nothing was sent to a notify hook https://x.example/",
        ),
        (
            ("sub", "--since", "2h"),
            "SUBSCRIPTION: sub is disabled: `tunehook subscriptions enable sub` first",
        ),
    ],
)
def test_what_cannot_be_recovered_is_refused_by_its_name(
    tunehook: Any, stack: None, args: tuple[str, ...], complaint: str
) -> None:
    subscribe(enabled=False)
    put_delivery("msg_1", **FAILED)
    result = tunehook("deliveries", "recover", *args)
    assert (result.exit_code, result.output) == (2, f"tunehook: {complaint}\n")
    assert (delivery("msg_1")["status"], messages()) == ("failed", [])


def test_recover_asks_since_when(tunehook: Any, stack: None) -> None:
    result = tunehook("deliveries", "recover", "sub")
    assert (result.exit_code, "--since" in result.stderr) == (2, True)


def test_what_waits_for_the_limit_of_its_subscription_says_so_and_until_when(
    tunehook: Any, stack: None
) -> None:
    subscribe()
    until_ms = now_ms() + 90_000
    put_delivery("msg_1", ago_ms=5_000, rate_limit=0.5, next_attempt_at_ms=until_ms)
    told = f"waits for the limit of 0.5 a second: next attempt {clock_time(until_ms)}"
    for command in (("list",), ("show", "msg_1")):
        assert told in tunehook("deliveries", *command, env={"COLUMNS": "300"}).stdout
    (listed,) = json.loads(tunehook("deliveries", "list", "--json").stdout)
    assert (listed["rate_limit"], listed["next_attempt_at"]) == (0.5, iso(from_ms(until_ms)))
