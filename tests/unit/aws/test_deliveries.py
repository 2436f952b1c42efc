import asyncio
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from tests.support.aws import Faulty, create_table, fault
from tests.support.aws import client as shared_client

import tunehook.aws.deliveries
from tunehook.aws.deliveries import Claim, DeliveriesQueue, DeliveriesTable
from tunehook.deliveries import (
    KEPT_S,
    Attempt,
    Delivery,
    DeliveryMessage,
    DeliveryStatus,
    Slot,
    message_for,
    new_delivery,
)
from tunehook.events import PROGRESS_EVENT
from tunehook.tasks import Format

# As documented, and not imported: a bound that moves is to be noticed.
CLAIM_MS = 25_000

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000


def made(**changes: Any) -> Delivery:
    values: dict[str, Any] = {
        "event_id": "evt_1",
        "subscription_id": "my sub",
        "task_id": "task",
        "provider": "suno",
        "type": "task.completed",
        "event_at_ms": NOW_MS - 1,
        "format": Format.STANDARD,
        "payload": '{"title": "我的曲目"}',
        "now_ms": NOW_MS,
    }
    return new_delivery(**values | changes)


DELIVERY = made()
MESSAGE = message_for(DELIVERY)
ATTEMPT = Attempt(run=1, attempt=1, at_ms=NOW_MS, duration_ms=5, error="ReadTimeout")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[DeliveriesTable]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        client: Any = shared_client("dynamodb")
        client.create_table(
            TableName="deliveries",
            KeySchema=[{"AttributeName": "delivery_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "delivery_id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield DeliveriesTable(client, "deliveries")


def stored(table: DeliveriesTable) -> list[dict[str, Any]]:
    return list(table.table.scan())


def record(table: DeliveriesTable, **options: Any) -> bool:
    values = {"status": DeliveryStatus.PENDING, "attempt": ATTEMPT, "next_attempt_at_ms": NOW_MS + 5_000}
    return table.record(MESSAGE, **(values | options))  # type: ignore[arg-type]


def claim(table: DeliveriesTable, message: DeliveryMessage, now_ms: int) -> tuple[Claim, Delivery | None]:
    return asyncio.run(table.claim_in_loop(message, now_ms))


def test_a_delivery_is_read_as_it_was_created(table: DeliveriesTable) -> None:
    assert table.create(DELIVERY)
    claimed, delivery = claim(table, MESSAGE, NOW_MS)
    assert delivery is not None
    assert (claimed, delivery.payload) == (Claim.TAKEN, "")
    assert table.with_payload(delivery) == table.get(DELIVERY.delivery_id) == DELIVERY


def test_a_payload_is_not_on_the_record_and_is_kept_longer(table: DeliveriesTable) -> None:
    long = made(payload=json.dumps({"lyrics": "la " * 50_000}))
    table.create(long)
    record, payload = sorted(stored(table), key=lambda item: item["delivery_id"])
    assert len(json.dumps(record)) < 1_000
    assert (record["payload_id"], "payload" in record) == (payload["delivery_id"], False)
    assert payload["expires_at"] > record["expires_at"]
    assert table.get(long.delivery_id) == long


def test_receivers_that_are_told_the_same_share_a_payload(table: DeliveriesTable) -> None:
    other = made(subscription_id="other")
    assert table.create(DELIVERY)
    assert asyncio.run(table.create_in_loop(other, has_payload=True))
    assert len(stored(table)) == 3
    assert table.get(other.delivery_id) == other


def test_a_payload_that_is_known_is_not_read_again(
    table: DeliveriesTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    another = made(payload="{}")
    table.create(DELIVERY)
    monkeypatch.setattr(table, "with_payload", lambda delivery: delivery)
    assert table.get(DELIVERY.delivery_id, DELIVERY) == DELIVERY
    assert table.get(DELIVERY.delivery_id, another) == DELIVERY.model_copy(update={"payload": ""})


def test_a_record_of_an_earlier_version_has_its_payload_itself(table: DeliveriesTable) -> None:
    earlier = DELIVERY.model_copy(update={"payload_id": None})
    table.create(earlier)
    assert [item["payload"] for item in stored(table)] == [DELIVERY.payload]
    assert claim(table, MESSAGE, NOW_MS) == (Claim.TAKEN, earlier)
    assert table.get(DELIVERY.delivery_id) == earlier
    assert message_for(earlier).payload is None


@pytest.mark.parametrize(
    "content", [None, "text", b"no zlib", zlib.compress(b'{"forged": 1}'), zlib.compress(b"\xff")]
)
def test_a_payload_that_is_gone_or_changed_is_empty(table: DeliveriesTable, content: Any) -> None:
    table.create(DELIVERY)
    key = {"delivery_id": DELIVERY.payload_id}
    if content is None:
        table.table.delete(key)
    else:
        table.table.put(key | {"content": content})
    assert table.get(DELIVERY.delivery_id) == DELIVERY.model_copy(update={"payload": ""})


@pytest.mark.parametrize(("length", "is_read"), [(1_000_000, True), (1_000_001, False)])
def test_of_a_payload_a_megabyte_is_read(table: DeliveriesTable, length: int, is_read: bool) -> None:
    table.create(long := made(payload="x" * length))
    read = table.get(long.delivery_id)
    assert read is not None
    assert read.payload == (long.payload if is_read else "")


@pytest.mark.parametrize(("after_ms", "result"), [(CLAIM_MS - 1, Claim.BUSY), (CLAIM_MS, Claim.BEGUN)])
def test_what_tells_of_progress_is_claimed_once_whatever_becomes_of_that(
    table: DeliveriesTable, after_ms: int, result: Claim
) -> None:
    table.create(told := made(event_id=f"{PROGRESS_EVENT}1"))
    assert claim(table, message_for(told), NOW_MS)[0] is Claim.TAKEN
    assert claim(table, message_for(told), NOW_MS + after_ms)[0] is result


def test_what_tells_of_progress_and_was_edited_by_hand_counts_as_begun(table: DeliveriesTable) -> None:
    table.create(told := made(event_id=f"{PROGRESS_EVENT}1"))
    item = next(each for each in stored(table) if each["delivery_id"] == told.delivery_id)
    table.table.put(item | {"next_attempt": "1"})
    assert claim(table, message_for(told), NOW_MS)[0] is Claim.BEGUN


def test_a_redelivered_payload_is_kept_as_long_as_its_record(table: DeliveriesTable) -> None:
    table.create(DELIVERY)
    record(table, status=DeliveryStatus.FAILED, next_attempt_at_ms=None, reason="all attempts failed")
    ended = table.get(DELIVERY.delivery_id)
    assert ended is not None
    begun = table.begin_run(ended, [], NOW_MS + 20 * DAY_MS)
    assert begun is not None
    assert (begun.run, begun.payload) == (2, DELIVERY.payload)
    kept, payload = sorted(stored(table), key=lambda item: item["delivery_id"])
    assert payload["expires_at"] > kept["expires_at"] == (NOW_MS + 20 * DAY_MS) // 1000 + KEPT_S


def test_a_delivery_is_created_once(table: DeliveriesTable) -> None:
    assert table.create(DELIVERY)
    claim(table, MESSAGE, NOW_MS)
    record(table)
    assert not table.create(DELIVERY)
    assert claim(table, MESSAGE, NOW_MS)[0] is Claim.RECORDED


def test_a_claim_holds_until_its_time_is_over(table: DeliveriesTable) -> None:
    table.create(DELIVERY)
    claim(table, MESSAGE, NOW_MS)
    assert claim(table, MESSAGE, NOW_MS + CLAIM_MS - 1)[0] is Claim.BUSY
    assert claim(table, MESSAGE, NOW_MS + CLAIM_MS)[0] is Claim.TAKEN


def test_a_record_lets_go_of_the_claim(table: DeliveriesTable) -> None:
    table.create(DELIVERY)
    claim(table, MESSAGE, NOW_MS)
    record(table)
    following = MESSAGE.model_copy(update={"attempt": 2})
    assert claim(table, following, NOW_MS)[0] is Claim.TAKEN


def test_a_recorded_attempt_is_told_with_what_comes_next(table: DeliveriesTable) -> None:
    table.create(DELIVERY)
    record(table)
    claimed, delivery = claim(table, MESSAGE, NOW_MS)
    assert claimed is Claim.RECORDED
    assert delivery is not None
    assert delivery.attempts == (ATTEMPT,)
    following = {"attempt": 2, "due_at_ms": NOW_MS + 5_000, "payload": None}
    assert message_for(delivery) == MESSAGE.model_copy(update=following)


@pytest.mark.parametrize("status", [DeliveryStatus.DELIVERED, DeliveryStatus.FAILED, DeliveryStatus.ABORTED])
def test_an_ended_delivery_is_over(table: DeliveriesTable, status: DeliveryStatus) -> None:
    table.create(DELIVERY)
    record(table, status=status, next_attempt_at_ms=None, reason="because")
    claimed, delivery = claim(table, MESSAGE, NOW_MS)
    assert claimed is Claim.OVER
    assert delivery is not None
    assert (delivery.status, delivery.reason, delivery.next_attempt_at_ms) == (status, "because", None)


@pytest.mark.parametrize("changes", [{"run": 2}, {"run": 0}, {"attempt": 2}, {"delivery_id": "msg_other"}])
def test_a_message_that_fits_no_attempt_is_over(table: DeliveriesTable, changes: dict[str, Any]) -> None:
    table.create(DELIVERY)
    assert claim(table, MESSAGE.model_copy(update=changes), NOW_MS)[0] is Claim.OVER


def test_a_refused_claim_creates_no_item(table: DeliveriesTable) -> None:
    assert claim(table, MESSAGE, NOW_MS) == (Claim.OVER, None)
    assert claim(table, MESSAGE, NOW_MS) == (Claim.OVER, None)


def test_an_attempt_is_recorded_once(table: DeliveriesTable) -> None:
    table.create(DELIVERY)
    assert record(table)
    assert not record(table, status=DeliveryStatus.DELIVERED, next_attempt_at_ms=None)
    delivery = claim(table, MESSAGE, NOW_MS)[1]
    assert delivery is not None
    assert len(delivery.attempts) == 1


def test_attempts_are_kept_in_their_order(table: DeliveriesTable) -> None:
    table.create(DELIVERY)
    record(table)
    second = MESSAGE.model_copy(update={"attempt": 2})
    made = ATTEMPT.model_copy(update={"attempt": 2, "error": None, "status_code": 200, "excerpt": "ok"})
    table.record(second, status=DeliveryStatus.DELIVERED, attempt=made)
    delivery = claim(table, second, NOW_MS)[1]
    assert delivery is not None
    assert delivery.attempts == (ATTEMPT, made)


@pytest.mark.parametrize(
    ("due_in_ms", "delay_s"),
    [(-5, 0), (0, 0), (1, 1), (5_000, 5), (5_001, 6), (900_000, 900), (86_400_000, 900)],
)
def test_a_message_is_delayed_until_it_is_due_and_at_most_15_minutes(due_in_ms: int, delay_s: int) -> None:
    sent: list[dict[str, Any]] = []

    class Client:
        def send_message(self, **arguments: Any) -> None:
            sent.append(arguments)

    client: Any = Client()
    message = MESSAGE.model_copy(update={"due_at_ms": NOW_MS + due_in_ms})
    DeliveriesQueue(client, "url").send(message, NOW_MS)
    assert sent[0]["DelaySeconds"] == delay_s
    assert DeliveryMessage.model_validate_json(sent[0]["MessageBody"]) == message


@pytest.mark.parametrize(
    ("slot_in_ms", "delay_s"), [(0, 0), (749, 0), (750, 1), (1_749, 1), (1_750, 2), (86_400_000, 900)]
)
def test_one_that_has_a_slot_comes_up_to_750_ms_before_it_and_250_ms_after_its_begin_at_the_latest(
    slot_in_ms: int, delay_s: int
) -> None:
    sent: list[dict[str, Any]] = []

    class Client:
        def send_message(self, **arguments: Any) -> None:
            sent.append(arguments)

    client: Any = Client()
    slot = Slot(at_ms=NOW_MS + slot_in_ms, interval_us=1, since_ms=0)
    message = MESSAGE.model_copy(update={"due_at_ms": slot.at_ms, "slot": slot})
    DeliveriesQueue(client, "url").send(message, NOW_MS)
    DeliveriesQueue(client, "url").send(message.model_copy(update={"due_at_ms": slot.at_ms + 1}), NOW_MS)
    assert [each["DelaySeconds"] for each in sent] == [delay_s, min(slot_in_ms // 1000 + 1, 900)]


def test_messages_are_grouped_by_subscription_whatever_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        client: Any = shared_client("sqs")
        url = client.create_queue(QueueName="deliveries")["QueueUrl"]
        queue = DeliveriesQueue(client, url)
        for name in ("a b", "音乐", "x" * 500):
            queue.send(MESSAGE.model_copy(update={"subscription_id": name}), NOW_MS)
        received = client.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
        )["Messages"]
    groups = {message["Attributes"]["MessageGroupId"] for message in received}
    assert len(groups) == 3
    assert all(group.isalnum() and len(group) <= 128 for group in groups)
    assert json.loads(received[0]["Body"])["attempt"] == 1


def test_a_delivery_is_named_after_event_and_subscription() -> None:
    def named(event_id: str, subscription_id: str) -> Delivery:
        return new_delivery(
            event_id=event_id,
            subscription_id=subscription_id,
            task_id="t",
            provider="p",
            type="webhook.test",
            event_at_ms=0,
            format=Format.STANDARD,
            payload="{}",
            now_ms=NOW_MS,
        )

    names = {named(event, sub).delivery_id for event in ("a", "ab") for sub in ("c", "bc")}
    assert len(names) == 4
    assert all(name.startswith("msg_") and "." not in name for name in names)
    assert named("a", "c").delivery_id == named("a", "c").delivery_id


def test_a_delivery_is_kept_30_days() -> None:
    assert DELIVERY.expires_at == NOW_MS // 1000 + 30 * 24 * 3600


def test_trouble_with_the_table_is_raised() -> None:
    broken = Faulty(shared_client("dynamodb"), put_item=[fault()], update_item=[fault(), fault()])
    table = DeliveriesTable(broken, "deliveries")  # type: ignore[arg-type]
    for call in (
        lambda: table.create(DELIVERY),
        lambda: claim(table, MESSAGE, NOW_MS),
        lambda: record(table),
    ):
        with pytest.raises(ClientError):
            call()


def test_what_another_has_recorded_is_told_as_false(table: DeliveriesTable) -> None:
    table.create(DELIVERY)
    assert record(table) is True
    assert record(table, attempt=ATTEMPT.model_copy(update={"duration_ms": 6})) is False


class TestIndexes:
    @pytest.fixture
    def table(self, aws: None) -> DeliveriesTable:
        create_table("DeliveriesTable")
        table = DeliveriesTable(shared_client("dynamodb"), "DeliveriesTable")
        for number in range(4):
            made = DELIVERY.model_copy(
                update={"delivery_id": f"msg_{number}", "created_at_ms": NOW_MS + number}
            )
            assert table.create(made)
        return table

    def test_those_of_a_subscription_come_newest_first_and_no_more_than_wanted(
        self, table: DeliveriesTable
    ) -> None:
        assert table.ids_of_subscription(DELIVERY.subscription_id, 3) == ["msg_3", "msg_2", "msg_1"]

    def test_those_of_a_task_come_newest_first_and_from_a_moment_on(self, table: DeliveriesTable) -> None:
        assert table.ids_of_task(DELIVERY.task_id) == ["msg_3", "msg_2", "msg_1", "msg_0"]
        assert table.ids_of_task(DELIVERY.task_id, NOW_MS + 2) == ["msg_3", "msg_2"]
        assert table.ids_of_task("another") == []

    def test_one_that_was_delivered_counts_from_its_creation_on(self, table: DeliveriesTable) -> None:
        message = MESSAGE.model_copy(update={"delivery_id": "msg_1"})
        assert not table.delivered_since(DELIVERY.subscription_id, 0)
        assert table.record(message, status=DeliveryStatus.DELIVERED, attempt=ATTEMPT)
        assert table.delivered_since(DELIVERY.subscription_id, NOW_MS + 1)
        assert not table.delivered_since(DELIVERY.subscription_id, NOW_MS + 2)

    @pytest.mark.parametrize(
        ("number", "is_found"), [(0, False), (1, True), (2, True), (3, False), (4, True), (5, True)]
    )
    def test_one_that_was_delivered_is_looked_for_at_both_ends(
        self, aws: None, monkeypatch: pytest.MonkeyPatch, number: int, is_found: bool
    ) -> None:
        """A receiver that fails for days has hundreds of thousands between them."""
        monkeypatch.setattr(tunehook.aws.deliveries, "LOOKED_AT", 2)
        create_table("DeliveriesTable")
        client = shared_client("dynamodb")
        table = DeliveriesTable(client, "DeliveriesTable")
        for each in range(6):
            changed = {"delivery_id": f"msg_{each}", "created_at_ms": NOW_MS + each}
            assert table.create(DELIVERY.model_copy(update=changed))
        message = MESSAGE.model_copy(update={"delivery_id": f"msg_{number}"})
        assert table.record(message, status=DeliveryStatus.DELIVERED, attempt=ATTEMPT)
        asked: list[dict[str, Any]] = []
        event, note = "before-parameter-build.dynamodb.Query", lambda params, **_: asked.append(dict(params))
        client.meta.events.register(event, note)
        try:
            assert table.delivered_since(DELIVERY.subscription_id, NOW_MS + 1) is is_found
        finally:
            client.meta.events.unregister(event, note)
        assert 1 <= len(asked) <= 2
        assert {request["Limit"] for request in asked} == {2}

    def test_one_is_read_as_of_all_writes(self, table: DeliveriesTable) -> None:
        client = Faulty(shared_client("dynamodb"))
        assert DeliveriesTable(client, "DeliveriesTable").get("msg_0") is not None  # type: ignore[arg-type]
        assert [options["ConsistentRead"] for _, options in client.calls] == [True, True]
