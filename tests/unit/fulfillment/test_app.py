import asyncio
import contextlib
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.aws import (
    BUCKET,
    BUS,
    Context,
    client,
    create_table,
    fault,
    items,
    put,
    received,
    watched_bus,
)
from tests.support.events import queue_event, sample
from tests.support.tasks import NOW_MS, ended, pending

from fulfillment import app, worker
from fulfillment.messages import content_of, event_of_item
from fulfillment.settings import FulfillmentSettings
from fulfillment.worker import report
from tunehook.aws.clients import client as true_client
from tunehook.aws.task_items import end_to_items, with_details
from tunehook.errors import InvalidInput, Unavailable
from tunehook.events import TaskCompleted, TaskFailed, task_ended
from tunehook.fulfillment_requests import ArchiveRequest, DeliveryRequest
from tunehook.http.connections import trusted_authorities
from tunehook.settings import load_settings
from tunehook.times import from_ms, iso, now_ms

# As documented, and not imported: a bound that moves is to be noticed.
VISIBILITY_S = 30

POISON = "{not json"


def body(task_id: str = "task-1", **fields: Any) -> str:
    """The message of a failed task, which has no file to be fetched."""
    envelope = json.loads(sample("task_failed")["Records"][0]["body"])
    envelope["detail"] |= {"task_id": task_id, "event_id": f"evt_{task_id}"} | fields
    return json.dumps(envelope)


@pytest.fixture
def queue(aws: None, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for table in ("TasksTable", "SubscriptionsTable", "SecretVersionsTable", "DeliveriesTable"):
        create_table(table)
    watched_bus()
    queue = client("sqs").create_queue(QueueName="deliveries")["QueueUrl"]
    values = {
        "TASKS_TABLE": "TasksTable",
        "SUBSCRIPTIONS_TABLE": "SubscriptionsTable",
        "SECRET_VERSIONS_TABLE": "SecretVersionsTable",
        "DELIVERIES_TABLE": "DeliveriesTable",
        "DELIVERIES_QUEUE": queue,
        "FULFILLMENT_QUEUE": client("sqs").create_queue(QueueName="fulfillment")["QueueUrl"],
        "MAX_ASSET_BYTES": "1000000",
        "MEMORY_MB": "512",
        "ARCHIVE_PATIENCE_S": "60",
        "DEAD_LETTERS": client("sqs").create_queue(QueueName="dead")["QueueUrl"],
        "RESULTS_BUCKET": BUCKET,
        "EVENT_BUS": BUS,
        "NETWORK_POLICY": "any",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    put("SubscriptionsTable", {"subscription_id": "sub", "url": "https://hook.example.com/"})
    app._worker.cache_clear()
    yield queue
    if app._worker.cache_info().currsize:
        app._worker().close()
    app._worker.cache_clear()


def handle(event: dict[str, Any], context: Context | None = None) -> list[str]:
    """Handle an event; return which messages are to come again."""
    answer = app.handler(event, context or Context())  # type: ignore[arg-type]
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def told() -> list[str]:
    return sorted(item["task_id"] for item in items("DeliveriesTable"))


def test_an_empty_batch_warms_up(queue: str, capsys: pytest.CaptureFixture[str]) -> None:
    trusted_authorities.cache_clear()
    assert handle({"Records": []}) == []
    assert (app._worker.cache_info().currsize, trusted_authorities.cache_info().currsize) == (1, 1)
    assert (capsys.readouterr().out, received(queue)) == ("", [])
    # Who is told is known then: the table is not read again for the next task.
    client("dynamodb").delete_item(TableName="SubscriptionsTable", Key={"subscription_id": {"S": "sub"}})
    assert handle(sample("task_failed")) == []
    assert [delivery["subscription_id"] for delivery in items("DeliveriesTable")] == ["sub"]


def test_a_table_that_cannot_be_read_when_it_warms_up_is_read_for_the_next_task(queue: str) -> None:
    client("dynamodb").delete_table(TableName="SubscriptionsTable")
    assert handle({"Records": []}) == []
    create_table("SubscriptionsTable")
    put("SubscriptionsTable", {"subscription_id": "sub", "url": "https://hook.example.com/"})
    assert handle(sample("task_failed")) == []
    assert [delivery["subscription_id"] for delivery in items("DeliveriesTable")] == ["sub"]


def test_what_is_called_in_the_loop_is_closed_with_the_worker(
    queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[str, Any] = {}
    closed: list[Any] = []

    def make(service: str, **settings: Any) -> Any:
        return made.setdefault(service, true_client(service, **settings))

    async def close(each: Any) -> None:
        closed.append(each)

    monkeypatch.setattr(worker, "client", make)
    monkeypatch.setattr(worker, "close_in_loop", close)
    worker.Worker(load_settings(FulfillmentSettings)).close()
    assert {name for name, each in made.items() if each in closed} == {"dynamodb", "events", "sqs"}


def test_the_sample_event_of_a_failed_task_makes_a_delivery(queue: str) -> None:
    assert handle(sample("task_failed")) == []
    (delivery,) = items("DeliveriesTable")
    assert delivery["type"] == "task.failed"
    assert [message["delivery_id"] for message in received(queue)] == [delivery["delivery_id"]]


def test_a_request_to_tell_one_subscription_makes_its_delivery(queue: str) -> None:
    client("dynamodb").delete_item(TableName="SubscriptionsTable", Key={"subscription_id": {"S": "sub"}})
    ended = {"status": "rejected", "event_id": "evt_1", "submitted_at_ms": 1, "detected_at_ms": 2}
    failure = {"failure": {"code": "invalid", "reason": "by the test"}, "archived_at_ms": 3}
    put("TasksTable", {"task_id": "task", "provider": "suno"} | ended | failure)
    put("SubscriptionsTable", {"subscription_id": "late", "url": "https://hook.example.com/"})
    request = DeliveryRequest(task_id="task", provider="suno", event_id="evt_1", subscription_id="late")
    assert handle(queue_event(request.model_dump_json())) == []
    (delivery,) = items("DeliveriesTable")
    assert (delivery["subscription_id"], delivery["type"]) == ("late", "task.failed")


def dead() -> dict[str, str]:
    """What lies in the dead letters, and why."""
    url = client("sqs").get_queue_url(QueueName="dead")["QueueUrl"]
    messages = client("sqs").receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )
    return {
        each["Body"]: each["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]
        for each in messages.get("Messages", [])
    }


def test_one_poison_message_leaves_the_nine_others_done(queue: str) -> None:
    bodies = [body(f"task-{number}") for number in range(10)]
    bodies[4] = POISON
    assert handle(queue_event(*bodies)) == []
    assert told() == [f"task-{number}" for number in range(10) if number != 4]


def test_what_nothing_can_come_of_lies_in_the_dead_letters_at_once_with_its_reason(
    queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    put("TasksTable", {"task_id": "task-1", "provider": "suno", "status": "pending"})
    request = ArchiveRequest(task_id="task-1", provider="suno", requested_at_ms=1).model_dump_json()
    assert handle(queue_event(POISON, "{}", request)) == []
    assert dead() == {
        POISON: "message: Invalid JSON: key must be a string at line 1 column 2",
        "{}": "task_id: Field required",
        request: "task_id: the task has not ended",
    }
    errors = [each for each in caplog.records if each.levelname == "ERROR"]
    assert [each.message for each in errors] == ["message_given_up"] * 3
    assert not any(each.exc_info for each in errors)


def test_what_cannot_be_put_aside_comes_again(queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEAD_LETTERS", f"{queue}-that-are-not-there")
    assert handle(queue_event(POISON, body())) == ["message-0"]
    assert told() == ["task-1"]


@pytest.mark.parametrize(
    ("error", "level", "reason"),
    [
        (fault("ThrottlingException"), "WARNING", "ThrottlingException"),
        (ExceptionGroup("", [fault("SlowDown"), Unavailable("no")]), "WARNING", "SlowDown, no"),
        (TimeoutError(), "WARNING", "not done in time"),
        (ExceptionGroup("", [fault(), KeyError("x")]), "ERROR", None),
    ],
)
def test_a_fault_that_may_pass_is_a_line_without_a_traceback(
    caplog: pytest.LogCaptureFixture, error: Exception, level: str, reason: str | None
) -> None:
    assert report(error)
    (line,) = caplog.records
    assert (line.levelname, bool(line.exc_info)) == (level, reason is None)
    assert getattr(line, "reason", None) == reason


class Host:
    """A host of files on loopback that answers with a status, or hangs; stopped by itself."""

    def __init__(self, status: int | None) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._status = status
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                self._open.append(connection)
                if self._status is not None:
                    connection.recv(65_536)
                    connection.sendall(f"HTTP/1.1 {self._status} x\r\nContent-Length: 0\r\n\r\n".encode())

    def close(self) -> None:
        for each in (self._server, *self._open):
            each.close()


@pytest.fixture
def host() -> Iterator[Callable[[int | None], str]]:
    hosts: list[Host] = []

    def begin(status: int | None) -> str:
        hosts.append(Host(status))
        return hosts[-1].url

    yield begin
    for each in hosts:
        each.close()


def completed_body(url: str, task_id: str = "task-1") -> str:
    envelope = json.loads(sample("task_completed")["Records"][0]["body"])
    (one, _) = envelope["detail"]["clips"]
    links = dict.fromkeys((name for name in one if name.endswith("_url")), None)
    clips = [one | links | {"audio_url": url}]
    envelope["detail"] |= {"task_id": task_id, "event_id": f"evt_{task_id}", "clips": clips}
    return json.dumps(envelope)


def first_received_now(event: dict[str, Any]) -> dict[str, Any]:
    first_ms = str(now_ms())
    records = [
        record | {"attributes": record["attributes"] | {"ApproximateFirstReceiveTimestamp": first_ms}}
        for record in event["Records"]
    ]
    return {"Records": records}


class Soon(Context):
    """An invocation that has little time left."""

    def get_remaining_time_in_millis(self) -> int:
        return 31_500


def test_a_task_whose_host_hangs_comes_again_alone(
    queue: str, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [body(f"task-{number}") for number in range(9)]
    envelope = json.loads(completed_body(host(None), "hanging"))
    envelope["detail"]["detected_at"] = iso(from_ms(now_ms()))
    event = first_received_now(queue_event(*bodies, json.dumps(envelope)))
    log = io.StringIO()
    monkeypatch.setattr(app.logger.registered_handler, "stream", log)
    assert handle(event, Soon()) == ["message-9"]
    assert "message_comes_again" in log.getvalue()
    assert "message_failed" not in log.getvalue()
    assert told() == sorted(f"task-{number}" for number in range(9))


class Hiding:
    """Stands where the client of SQS hides messages: keeps the seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: list[int] = []
        monkeypatch.setattr(
            app._worker()._visibility, "change_message_visibility_batch", self._hide, raising=False
        )

    def _hide(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert QueueUrl.endswith("/fulfillment")
        self.seconds += [each["VisibilityTimeout"] for each in Entries]
        return {}


def test_a_message_that_comes_again_is_hidden_until_then(
    queue: str, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHIVE_PATIENCE_S", "0")
    hiding = Hiding(monkeypatch)
    handle(first_received_now(queue_event(completed_body(host(None)))), Soon())
    monkeypatch.setattr(app._worker()._settings, "dead_letters", f"{queue}-that-are-not-there")
    handle(queue_event(POISON))
    assert [each for each in hiding.seconds if each != VISIBILITY_S] == [10, 10]


def test_a_message_is_hidden_for_a_short_time_before_anything_else_is_done(
    queue: str, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hiding = Hiding(monkeypatch)

    class Dies(Exception):
        """The process is gone."""

    async def die(*_: Any, **__: Any) -> None:
        while not hiding.seconds:
            await asyncio.sleep(0.01)
        assert hiding.seconds == [VISIBILITY_S]
        raise Dies

    monkeypatch.setattr(app._worker(), "_fulfill", die)
    assert handle(queue_event(body()), Soon()) == ["message-0"]
    assert hiding.seconds == [VISIBILITY_S, 10]


def test_after_ten_minutes_nothing_comes_again(queue: str, host: Any) -> None:
    assert handle(queue_event(completed_body(host(410)))) == []
    told = {each["type"] for each in items("DeliveriesTable")}
    assert told == {"task.completed", "task.archived"}


def test_a_request_to_archive_again_is_done(queue: str, host: Any) -> None:
    detail = json.loads(completed_body(host(410)))["detail"]
    clips = [{"clip_id": "clip-1", "audio_url": detail["clips"][0]["audio_url"]}]
    item = {"task_id": "task-1", "provider": "suno", "status": "completed", "event_id": "evt_1"}
    put("TasksTable", item | {"submitted_at_ms": 1, "detected_at_ms": 2, "clips": clips})
    request = ArchiveRequest(task_id="task-1", provider="suno", requested_at_ms=NOW_MS)
    assert handle(queue_event(request.model_dump_json())) == []
    (after,) = items("TasksTable")
    assert [asset["reason"] for asset in after["assets"]] == ["HTTP 410"]


def test_a_request_about_a_task_that_is_gone_asks_for_nothing(queue: str) -> None:
    request = ArchiveRequest(task_id="gone", provider="suno", requested_at_ms=1)
    assert handle(queue_event(request.model_dump_json())) == []


def test_the_handler_can_be_used_for_batch_after_batch(queue: str) -> None:
    assert handle(queue_event(body("task-1"))) == []
    assert handle(queue_event(body("task-2"))) == []
    assert told() == ["task-1", "task-2"]


class TestContentOf:
    def test_the_sample_events_are_understood(self) -> None:
        completed = content_of(sample("task_completed")["Records"][0]["body"])
        failed = content_of(sample("task_failed")["Records"][0]["body"])
        assert isinstance(completed, TaskCompleted)
        assert isinstance(failed, TaskFailed)
        assert len(completed.clips) == 2
        assert failed.failure.code == "provider_failed"

    def test_an_envelope_may_lack_what_is_not_needed_and_hold_what_is_not_known(self) -> None:
        envelope = json.loads(body())
        for name in ("account", "version", "id", "time", "region", "resources"):
            del envelope[name]
        envelope["detail"]["new_field"] = 1
        assert content_of(json.dumps(envelope)) == content_of(body())

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
            body(task_id="\ud800"),
            "\ud800",
            "[" * 1_000 + "]" * 1_000,
            body(metadata={"text": "x" * 256 * 1024}),
        ],
    )
    def test_what_is_no_event_of_an_ended_task_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidInput):
            content_of(text)

    @pytest.mark.parametrize(
        ("text", "field"),
        [
            (POISON, "message"),
            ("[]", "message"),
            ("{}", "task_id"),
            (json.dumps({"detail-type": "TaskArchived"}), "detail-type"),
            (body(status="pondering"), "detail.status"),
            (body(failure={"code": 7, "reason": "none"}), "detail.failure.code"),
        ],
    )
    def test_the_refusal_names_the_field(self, text: str, field: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            content_of(text)
        assert caught.value.field == field

    def test_the_refusal_does_not_quote_the_message(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            content_of(body(detected_at=f"secret-{NOW_MS}"))
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None


class TestEventOfItem:
    def test_it_is_the_event_that_told_of_the_end(self) -> None:
        task = ended()
        item = with_details(*end_to_items(pending(), task.end)) | {"task_id": "task-1", "provider": "suno"}
        assert event_of_item(item | {"metadata": {"order": 7}}) == task_ended(task)

    def test_a_task_that_has_not_ended_has_none(self) -> None:
        with pytest.raises(InvalidInput, match="not ended"):
            event_of_item({"task_id": "task-1", "provider": "suno", "status": "pending"})
