import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.aws import BUCKET, BUS, Context, client, create_table, items, put, received, watched_bus
from tests.support.events import queue_event, sample
from tests.support.tasks import NOW_MS

from fulfillment import app
from fulfillment.worker import event_of
from tunehook.errors import InvalidInput
from tunehook.events import TaskCompleted, TaskFailed

POISON = "{not json"


def body(task_id: str = "task-1", **fields: Any) -> str:
    """The message of a failed task, which has no file to be fetched."""
    envelope = json.loads(sample("task_failed")["Records"][0]["body"])
    envelope["detail"] |= {"task_id": task_id, "event_id": f"evt_{task_id}"} | fields
    return json.dumps(envelope)


@pytest.fixture
def queue(aws: None, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for table in ("TasksTable", "SubscriptionsTable", "DeliveriesTable"):
        create_table(table)
    watched_bus()
    queue = client("sqs").create_queue(QueueName="deliveries")["QueueUrl"]
    values = {
        "TASKS_TABLE": "TasksTable",
        "SUBSCRIPTIONS_TABLE": "SubscriptionsTable",
        "DELIVERIES_TABLE": "DeliveriesTable",
        "DELIVERIES_QUEUE": queue,
        "RESULTS_BUCKET": BUCKET,
        "EVENT_BUS": BUS,
        "NETWORK_POLICY": "public",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    put("SubscriptionsTable", {"subscription_id": "sub", "url": "https://hook.example.com/"})
    app._worker.cache_clear()
    yield queue
    app._worker.cache_clear()


def handle(event: dict[str, Any]) -> list[str]:
    """Handle an event; return which messages are to come again."""
    answer = app.handler(event, Context())  # type: ignore[arg-type]
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def told() -> list[str]:
    return sorted(item["task_id"] for item in items("DeliveriesTable"))


def test_the_sample_event_of_a_failed_task_makes_a_delivery(queue: str) -> None:
    assert handle(sample("task_failed")) == []
    (delivery,) = items("DeliveriesTable")
    assert delivery["type"] == "task.failed"
    assert [message["delivery_id"] for message in received(queue)] == [delivery["delivery_id"]]


def test_one_poison_message_leaves_the_nine_others_done(queue: str) -> None:
    bodies = [body(f"task-{number}") for number in range(10)]
    bodies[4] = POISON
    assert handle(queue_event(*bodies)) == ["message-4"]
    assert told() == [f"task-{number}" for number in range(10) if number != 4]


def test_a_batch_of_poison_alone_comes_again_message_by_message(queue: str) -> None:
    assert handle(queue_event(POISON, "{}")) == ["message-0", "message-1"]


def test_a_message_that_failed_is_told_in_the_log(queue: str, caplog: pytest.LogCaptureFixture) -> None:
    handle(queue_event(POISON))
    assert "message_failed" in caplog.text


def test_the_handler_can_be_used_for_batch_after_batch(queue: str) -> None:
    assert handle(queue_event(body("task-1"))) == []
    assert handle(queue_event(body("task-2"))) == []
    assert told() == ["task-1", "task-2"]


class TestEventOf:
    def test_the_sample_events_are_understood(self) -> None:
        completed = event_of(sample("task_completed")["Records"][0]["body"])
        failed = event_of(sample("task_failed")["Records"][0]["body"])
        assert isinstance(completed, TaskCompleted)
        assert isinstance(failed, TaskFailed)
        assert len(completed.clips) == 2
        assert failed.failure.code == "provider_failed"

    def test_an_envelope_may_lack_what_is_not_needed_and_hold_what_is_not_known(self) -> None:
        envelope = json.loads(body())
        for name in ("account", "version", "id", "time", "region", "resources"):
            del envelope[name]
        envelope["detail"]["new_field"] = 1
        assert event_of(json.dumps(envelope)) == event_of(body())

    @pytest.mark.parametrize(
        "text",
        [
            POISON,
            "",
            "[]",
            "{}",
            body(status="pondering"),
            body(failure=None),
            body(detected_at="yesterday"),
            json.dumps({"detail-type": "TaskArchived", "detail": {}}),
        ],
    )
    def test_what_is_no_event_of_an_ended_task_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidInput):
            event_of(text)

    def test_the_refusal_does_not_quote_the_message(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            event_of(body(detected_at=f"secret-{NOW_MS}"))
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None
