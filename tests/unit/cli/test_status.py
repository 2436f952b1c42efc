import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.aws import Faulty, client, fault, put
from tests.unit.cli.conftest import OUTPUTS

from tunehook.aws.leases import Leases
from tunehook.operations import status
from tunehook.times import now_ms
from tunehook_cli.stack import find_stack

HOUR_MS = 3_600_000


@pytest.fixture
def now(operated: None) -> int:
    return now_ms()


def put_task(task_id: str, **attributes: Any) -> None:
    put("TasksTable", {"task_id": task_id, "provider": "my-gw", **attributes})


def put_pending(task_id: str, since_ms: int, shard: int = 0, **attributes: Any) -> None:
    fields = {"status": "pending", "submitted_at_ms": since_ms, "deadline_ms": since_ms + HOUR_MS}
    put_task(task_id, queue=f"work#{shard}", since_ms=since_ms, **fields | attributes)


def put_delivery(delivery_id: str, status: str, created_at_ms: int, **attributes: Any) -> None:
    fields = {"delivery_id": delivery_id, "subscription_id": "sub", "task_id": "t", "status": status}
    put("DeliveriesTable", {**fields, "created_at_ms": created_at_ms, **attributes})


def shown(tunehook: Any, *options: str) -> dict[str, list[str]]:
    """Return the lines of each part of the page."""
    result = tunehook("status", *options)
    assert result.exit_code == 0, result.output
    parts: dict[str, list[str]] = {}
    for line in result.stdout.splitlines():
        name, words = line[:16].strip(), line[16:].strip()
        if name:
            part = parts.setdefault(name, [])
        part.append(words)
    return parts


def told(tunehook: Any, *options: str) -> dict[str, Any]:
    parts: dict[str, Any] = json.loads(tunehook("status", "--json", *options).stdout)
    return parts


def test_an_idle_stack_is_told_of_in_a_line_a_part(tunehook: Any, operated: None) -> None:
    assert shown(tunehook) == {
        "stack": ["tunehook in eu-west-1"],
        "tasks": ["none pending"],
        "ended": ["none, in the last 24h"],
        "files": ["none"],
        "deliveries": ["none, in the last 24h"],
        "subscriptions": ["none"],
        "queues": ["fulfillment: empty", "deliveries: empty"],
        "dead letters": ["none"],
        "poller": ["shard 0: no work yet"],
        "providers": ["none configured: add one with `tunehook providers set`"],
    }


def test_pending_tasks_of_all_shards_are_counted_and_the_oldest_is_named(tunehook: Any, now: int) -> None:
    Leases(client("dynamodb"), "PollerLeasesTable").register(3, now)
    put_pending("new", now - 1_000)
    put_pending("old", now - 125_000, shard=3, last_error="no provider my-gw is configured")
    put_pending("middle", now - 5_000, last_error="no provider my-gw is configured")
    first, *others = shown(tunehook)["tasks"]
    assert first.startswith("3 pending, the oldest for 2 min ")
    assert first.endswith(": my-gw old")
    assert others == ["2 pending with errors: no provider my-gw is configured"]


def test_tasks_with_one_trouble_are_counted_together_whatever_else_its_words_hold(
    tunehook: Any, now: int
) -> None:
    for number in range(3):
        trouble = {"kind": "unauthorised key", "count": 3, "since_ms": now, "told": "unauthorised key"}
        words = f"the provider refuses the key: HTTP 401: Invalid token (request id: {number})"
        put_pending(f"task-{number}", now - 1_000 + number, last_error=words, trouble=trouble, empty_count=0)
    _, trouble_line = shown(tunehook)["tasks"]
    assert trouble_line.startswith("3 pending with errors: the provider refuses the key: HTTP 401: Invalid")


def test_troubles_are_told_apart_by_what_was_told_of_them_or_else_by_their_kind(
    tunehook: Any, now: int
) -> None:
    for number, (kind, said) in enumerate([("k", "a"), ("k", "a"), ("k", "b"), ("k", ""), ("l", "")]):
        trouble = {"kind": kind, "count": 3, "since_ms": now, "told": said}
        put_pending(f"t-{number}", now - 1_000, last_error=f"{kind}{said}", trouble=trouble, empty_count=0)
    troubles = told(tunehook)["tasks"]["troubles"]
    assert [each["count"] for each in troubles] == [2, 1, 1]
    assert troubles[0]["last_error"] == "ka"


def test_tasks_past_their_deadline_are_counted(tunehook: Any, now: int) -> None:
    put_pending("late", now - 100_000, deadline_ms=now - 1)
    put_pending("early", now - 100_000, deadline_ms=now + 60_000)
    assert told(tunehook)["tasks"]["overdue"] == 1
    assert "1 past the deadline, waiting for a response" in shown(tunehook)["tasks"]


@pytest.fixture
def reads(now: int) -> Iterator[list[tuple[str, str, str | None]]]:
    """The reads of tables, as they come: operation, table, index."""
    made: list[tuple[str, str, str | None]] = []

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        made.append((model.name, params["TableName"], params.get("IndexName")))

    events = client("dynamodb").meta.events
    events.register("provide-client-params.dynamodb", note)
    yield made
    events.unregister("provide-client-params.dynamodb", note)


def test_pending_tasks_are_counted_in_the_work_index(
    tunehook: Any, reads: list[tuple[str, str, str | None]], now: int
) -> None:
    assert status.tasks(find_stack(None), now).pending == 0
    assert reads == [("Scan", "PollerLeasesTable", None), ("Query", "TasksTable", "work")]


def test_deliveries_are_counted_in_an_index_without_their_payloads(
    tunehook: Any, reads: list[tuple[str, str, str | None]], now: int
) -> None:
    assert status.deliveries(find_stack(None), now, 0).pending == 0
    assert reads == [("Scan", "DeliveriesTable", "by_subscription")]


def test_ended_tasks_whose_event_is_not_out_are_told_of(tunehook: Any, now: int) -> None:
    put_pending("t", now, status="completed")
    assert shown(tunehook)["tasks"] == ["none pending", "1 ended, event pending"]


def test_items_that_nothing_can_be_done_about_are_told_of(tunehook: Any, now: int) -> None:
    put_pending("t", now, deadline_ms="soon")
    assert shown(tunehook)["tasks"][1].startswith("1 unreadable")


def test_what_ended_lately_is_counted_by_status_and_files(tunehook: Any, now: int) -> None:
    kept = {"status": "archived", "bytes": 1}
    put_task("a", status="completed", detected_at_ms=now, archived_at_ms=now, assets=[kept])
    put_task(
        "b",
        status="completed",
        detected_at_ms=now,
        archived_at_ms=now,
        assets=[kept, {"status": "unavailable"}],
    )
    put_task("c", status="completed", detected_at_ms=now)
    put_task("d", status="failed", detected_at_ms=now, archived_at_ms=now, assets=[])
    put_task("e", status="rejected", detected_at_ms=now - 2 * HOUR_MS)
    put_task("f", status="cancelled", detected_at_ms=now)
    put_task("new")
    parts = shown(tunehook, "--since", "1h")
    assert parts["ended"] == ["3 completed, 1 failed, 1 cancelled, in the last 1h"]
    assert parts["files"] == ["1 complete, 1 incomplete, 1 in progress"]
    assert told(tunehook)["ended"]["rejected"] == 1


def test_a_glance_reads_a_bounded_piece_and_says_so(
    tunehook: Any, now: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A page of moto's, as of DynamoDB's, is 1 MB.
    monkeypatch.setattr(status, "PAGES_MAX", 2)
    for number in range(12):
        put_task(f"t-{number}", status="failed", detected_at_ms=now, provider_object="x" * 300_000)
    part = told(tunehook)["ended"]
    assert (0 < part["failed"] < 12, part["complete"]) == (True, False)
    words = shown(tunehook)
    assert words["ended"][0].startswith("at least (only part of the table was read): ")
    assert words["files"][0].startswith("at least")


def test_deliveries_are_counted_by_status_with_the_next_attempts(tunehook: Any, now: int) -> None:
    put_delivery("late", "pending", now - 48 * HOUR_MS, next_attempt_at_ms=now - 61_000)
    put_delivery("just due", "pending", now, next_attempt_at_ms=now - 1_000)
    for number in (4, 1, 3, 2):
        put_delivery(f"in {number} h", "pending", now, next_attempt_at_ms=now + number * HOUR_MS + 30_000)
    put_delivery("done", "delivered", now)
    put_delivery("gone", "failed", now - HOUR_MS)
    put_delivery("long ago", "failed", now - 48 * HOUR_MS)
    assert shown(tunehook)["deliveries"] == [
        "6 pending, 1 delivered, 1 failed, in the last 24h",
        "1 overdue",
        "next attempt in 1 h: in 1 h to sub",
        "next attempt in 2 h: in 2 h to sub",
        "next attempt in 3 h: in 3 h to sub",
    ]


def test_subscriptions_are_counted_by_what_they_are(tunehook: Any, now: int) -> None:
    url = "https://example.com/hook"
    put("SubscriptionsTable", {"subscription_id": "1", "url": url})
    put("SubscriptionsTable", {"subscription_id": "2", "url": url, "failing_since_ms": now})
    put("SubscriptionsTable", {"subscription_id": "3", "url": url, "failing_since_ms": now, "enabled": False})
    put("SubscriptionsTable", {"subscription_id": "4", "url": "nope"})
    assert shown(tunehook)["subscriptions"] == ["1 enabled, 1 failing, 1 disabled, 1 unusable"]


def test_queues_and_dead_letters_are_counted(tunehook: Any, operated: None) -> None:
    def send(output: str, **options: Any) -> None:
        client("sqs").send_message(QueueUrl=OUTPUTS[output], MessageBody="{}", **options)

    for _ in range(3):
        send("DeliveriesQueue")
    send("DeliveriesQueue", DelaySeconds=900)
    client("sqs").receive_message(QueueUrl=OUTPUTS["DeliveriesQueue"], VisibilityTimeout=600)
    send("IntakeDeadLetters")
    parts = shown(tunehook)
    assert parts["queues"] == ["fulfillment: empty", "deliveries: 2 waiting, 1 in progress, 1 delayed"]
    assert parts["dead letters"] == ["intake: 1; `tunehook dlq list intake` shows them"]


def test_of_each_shard_it_is_said_whether_it_is_watched(tunehook: Any, now: int) -> None:
    leases = Leases(client("dynamodb"), "PollerLeasesTable")
    leases.take_over(0, "a poller", now)
    leases.take_over(1, "another", now - 80_000)
    leases.give_up(1, "another", now - 60_000)
    leases.register(2, now)
    first, second, third = shown(tunehook)["poller"]
    assert first == "shard 0: poller is running"
    assert second.startswith("shard 1: idle, last work 1 min ")
    assert third == "shard 2: no work yet"


def test_providers_are_named_without_their_keys(tunehook: Any, operated: None, providers: Any) -> None:
    entry = {"kind": "suno", "base_url": "https://gw.example", "api_key": "sk-a-key-that-nobody-may-see"}
    providers(json.dumps({"my-gw": entry, "broken": entry | {"kind": "nope"}}))
    usable, broken = shown(tunehook)["providers"]
    assert usable == "my-gw: suno"
    assert broken.startswith("broken: unusable: providers.broken.kind: ")
    assert "nobody-may-see" not in tunehook("status", "--json").output


def test_a_part_that_cannot_be_read_does_not_hide_the_others(
    tunehook: Any, operated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Faulty(
        client("secretsmanager"), get_secret_value=[fault("AccessDeniedException", "GetSecretValue")] * 2
    )
    monkeypatch.setattr(
        "tunehook.aws.clients.client",
        lambda service, **_: refused if service == "secretsmanager" else client(service),
    )
    result = tunehook("status")
    assert result.exit_code == 1
    assert "unknown: AWS denies GetSecretValue" in result.stdout
    assert "none pending" in result.stdout
    result = tunehook("status", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["providers"]["error"].startswith("AWS denies GetSecretValue")


def test_an_output_that_the_stack_lacks_is_named_at_its_parts(
    tunehook: Any, operated: None, deploy: Any
) -> None:
    deploy("older", outputs={name: OUTPUTS[name] for name in OUTPUTS if name != "PollerDeadLetters"})
    result = tunehook("status", "--stack", "older")
    assert result.exit_code == 1
    assert (
        "dead letters    unknown: the stack older in eu-west-1 has no output PollerDeadLetters"
        in result.stdout
    )


def test_a_span_that_is_none_is_refused(tunehook: Any, operated: None) -> None:
    result = tunehook("status", "--since", "yesterday")
    assert (result.exit_code, result.stderr.startswith("tunehook: --since: ")) == (2, True)
