from typing import Any

import pytest
from tests.support.aws import BUCKET, Faulty, client, create_table, items, put, received
from tests.support.tasks import NOW_MS, ended
from tests.unit.fulfillment.world import subscribe

from fulfillment.fan_out import DeliveryFanOut, News
from fulfillment.notices import Notices
from fulfillment.recipients import Recipients
from fulfillment.results import Results
from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable
from tunehook.aws.secret_versions import SecretVersionsTable
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.deliveries import DeliveryMessage
from tunehook.errors import Unavailable
from tunehook.events import ManifestLocation, task_ended
from tunehook.http.guard import NetworkPolicy

EVENT = task_ended(ended())
MANIFEST = ManifestLocation(bucket="results", key="manifest.json")


@pytest.fixture
def queue(bucket: str) -> str:
    for table in ("SubscriptionsTable", "DeliveriesTable"):
        create_table(table)
    url: str = client("sqs").create_queue(QueueName="deliveries")["QueueUrl"]
    return url


async def tell(queue: str, sqs: Any = None) -> int:
    dynamodb = client("dynamodb")
    fan_out = DeliveryFanOut(
        Recipients(
            SubscriptionsTable(dynamodb, "SubscriptionsTable"),
            NetworkPolicy.PUBLIC,
            versions=SecretVersionsTable(dynamodb, "SecretVersionsTable"),
        ).of,
        DeliveriesTable(dynamodb, "DeliveriesTable"),
        DeliveriesQueue(sqs or client("sqs"), queue),
        Notices(Results(client("s3"), BUCKET)),
        lambda: NOW_MS,
    )
    return await fan_out.create_deliveries(
        News(EVENT, None, None, (), MANIFEST), NOW_MS, may_have_been_told=True
    )


async def test_each_receiver_has_one_record_and_one_message_in_as_few_calls_as_sqs_allows(queue: str) -> None:
    subscribe(*(f"sub-{number:02}" for number in range(23)))
    sqs = Faulty(client("sqs"))
    assert await tell(queue, sqs) == 23
    records = {item["delivery_id"] for item in items("DeliveriesTable")}
    messages = [message["delivery_id"] for message in received(queue)]
    assert (len(records), len(messages), set(messages)) == (23, 23, records)
    assert sorted(len(options["Entries"]) for _, options in sqs.calls) == [3, 10, 10]


async def test_who_wants_the_end_and_the_files_has_a_delivery_of_each_and_both_count(queue: str) -> None:
    subscribe("both", events={"task.completed", "task.archived"})
    subscribe("files", events={"task.archived"})
    assert await tell(queue) == 3
    records = [(item["subscription_id"], item["type"]) for item in items("DeliveriesTable")]
    assert sorted(records) == [
        ("both", "task.archived"),
        ("both", "task.completed"),
        ("files", "task.archived"),
    ]


async def test_a_delivery_that_is_under_way_does_not_begin_anew(queue: str) -> None:
    subscribe("sub")
    await tell(queue)
    (before,) = items("DeliveriesTable")
    client("dynamodb").update_item(
        TableName="DeliveriesTable",
        Key={"delivery_id": {"S": before["delivery_id"]}},
        UpdateExpression="SET next_attempt = :next",
        ExpressionAttributeValues={":next": {"N": "2"}},
    )
    await tell(queue)
    (after,) = items("DeliveriesTable")
    assert after == before | {"next_attempt": 2}


async def test_of_those_who_were_told_before_only_who_waits_for_a_first_attempt_gets_another_message(
    queue: str,
) -> None:
    """They are no recipients any more; the messages of their deliveries may never have been sent."""
    names = ("waiting", "ended", "attempted")
    subscribe(*names)
    await tell(queue)
    received(queue)
    attempt = {"run": 1, "attempt": 1, "at_ms": NOW_MS, "duration_ms": 1}
    changes: dict[str, dict[str, Any]] = {
        "ended": {"status": "aborted"},
        "attempted": {"attempts": [attempt]},
    }
    for item in items("DeliveriesTable"):
        put("DeliveriesTable", item | changes.get(item["subscription_id"], {}))
    for name in names:
        client("dynamodb").delete_item(TableName="SubscriptionsTable", Key={"subscription_id": {"S": name}})
    notices = Notices(Results(client("s3"), BUCKET))
    await notices.add(EVENT.event_id, receivers=names)
    await tell(queue)
    assert [each["subscription_id"] for each in received(queue)] == ["waiting"]


class Refusing:
    """An SQS that refuses some entries of a batch, as often as it is told to."""

    def __init__(self, times: int) -> None:
        self._times = times

    def send_message_batch(self, QueueUrl: str, Entries: list[Any]) -> Any:  # noqa: N803 - boto3's names
        if not self._times:
            return client("sqs").send_message_batch(QueueUrl=QueueUrl, Entries=Entries)
        self._times -= 1
        taken = [entry for entry in Entries if entry["Id"] != "1"]
        if taken:
            client("sqs").send_message_batch(QueueUrl=QueueUrl, Entries=taken)
        return {"Failed": [{"Id": "1", "SenderFault": False, "Code": "InternalError"}]}


def message(number: int) -> DeliveryMessage:
    return DeliveryMessage(
        delivery_id=f"msg_{number}", subscription_id="sub", attempt=1, run=1, due_at_ms=NOW_MS
    )


async def test_the_messages_that_sqs_refuses_are_sent_again_alone(queue: str) -> None:
    refusing: Any = Refusing(2)
    await DeliveriesQueue(refusing, queue).send_batch([message(0), message(1), message(2)], NOW_MS)
    assert sorted(each["delivery_id"] for each in received(queue)) == ["msg_0", "msg_1", "msg_2"]


async def test_messages_that_sqs_refuses_each_time_are_an_error(queue: str) -> None:
    refusing: Any = Refusing(9)
    with pytest.raises(Unavailable, match="1 messages"):
        await DeliveriesQueue(refusing, queue).send_batch([message(0), message(1)], NOW_MS)
