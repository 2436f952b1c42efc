import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.aws import BUS, Context, Faulty, Losing, client, create_table, fault, items, put
from tests.support.events import sample, stream_event

from intake import app
from intake.admission import Intake
from tunehook.aws.bus import EventBus
from tunehook.aws.fulfillment_queue import FulfillmentQueue
from tunehook.aws.items import from_stream, to_attributes
from tunehook.aws.leases import Leases
from tunehook.aws.stream_marks import StreamMarks
from tunehook.aws.tasks import TasksTable
from tunehook.http.guard import NetworkPolicy
from tunehook.times import now_ms


class Stack:
    """The handler over moto's tables, with what it starts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.started: list[dict[str, Any]] = []
        self.start_error: Exception | None = None
        self._monkeypatch = monkeypatch
        self.use(client("dynamodb"))

    def invoke(self, **invocation: Any) -> None:
        self.started.append(json.loads(invocation["Payload"]))
        if self.start_error:
            raise self.start_error

    def use(self, dynamodb: Any) -> None:
        intake = Intake(
            TasksTable(dynamodb, "TasksTable"),
            Leases(dynamodb, "PollerLeasesTable"),
            lambda: EventBus(client("events"), BUS),
            StreamMarks(dynamodb, "ProviderStatesTable"),
            self,  # type: ignore[arg-type]
            fulfillment=lambda: FulfillmentQueue(client("sqs"), "none"),
            stream="arn:of-the-stream",
            poller_function="poller",
            shard_count=1,
            policy=NetworkPolicy.PUBLIC,
        )
        self._monkeypatch.setattr(app, "intake", lambda: intake)

    def handle(self, event: dict[str, Any]) -> list[str]:
        """Handle an event; return which records are to come again."""
        answer = app.handler(event, Context())  # type: ignore[arg-type]
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


@pytest.fixture
def stack(aws: None, monkeypatch: pytest.MonkeyPatch) -> Stack:
    create_table("TasksTable")
    create_table("PollerLeasesTable")
    return Stack(monkeypatch)


def put_all(*new: dict[str, Any]) -> dict[str, Any]:
    """Put items and return the stream's event of that."""
    for item in new:
        put("TasksTable", item)
    return stream_event(*new)


def task(number: int, **fields: Any) -> dict[str, Any]:
    return {"task_id": f"task-{number}", "provider": "suno", **fields}


def statuses() -> dict[str, str | None]:
    return {item["task_id"]: item.get("status") for item in items("TasksTable")}


def test_the_sample_event_makes_a_pending_task(stack: Stack) -> None:
    event = sample("task_inserted")
    put("TasksTable", from_stream(event["Records"][0]["dynamodb"]["NewImage"]))
    assert stack.handle(event) == []
    assert statuses() == {"ba46ad15-07ce-41a6-b68d-196321dc00d5": "pending"}
    assert items("TasksTable")[0]["metadata"] == {"order": 7, "customer": "c-42"}


def test_a_bad_item_does_not_disturb_the_others(stack: Stack) -> None:
    event = put_all(task(0), task(1, timeout_s="soon"), task(2, metadata={"x": b"y"}), task(3))
    assert stack.handle(event) == []
    assert statuses() == {
        "task-0": "pending",
        "task-1": "rejected",
        "task-2": "rejected",
        "task-3": "pending",
    }


def test_only_records_that_failed_come_again(stack: Stack) -> None:
    event = put_all(task(0), task(1), task(2))
    stack.use(Faulty(client("dynamodb"), update_item=[None, None, fault()]))
    assert stack.handle(event) == ["seq-1"]
    assert statuses() == {"task-0": "pending", "task-1": None, "task-2": "pending"}


def test_a_batch_in_which_all_fails_comes_again_record_by_record(stack: Stack) -> None:
    event = put_all(task(0), task(1))
    stack.use(Faulty(client("dynamodb"), update_item=[fault(), fault()]))
    assert stack.handle(event) == ["seq-0", "seq-1"]
    assert stack.started == []


def test_a_record_that_failed_is_told_in_the_log(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    event = put_all(task(0))
    stack.use(Faulty(client("dynamodb"), update_item=[fault()]))
    stack.handle(event)
    (record,) = (record for record in caplog.records if record.levelname == "WARNING")
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], type(fault()))


def test_a_poller_is_started_once_for_all_tasks_of_a_shard(stack: Stack) -> None:
    stack.handle(put_all(*(task(number) for number in range(5))))
    assert stack.started == [{"started_by": "intake", "shard": 0}]


def test_no_poller_is_started_again_for_records_that_come_again(stack: Stack) -> None:
    event = put_all(task(0))
    stack.handle(event)
    stack.started.clear()
    assert stack.handle(event) == []
    assert stack.started == []


@pytest.mark.parametrize("gives_up", [False, True], ids=["made again", "given up"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_poller_is_started_although_the_answer_to_a_write_was_lost(
    stack: Stack, number: int, gives_up: bool
) -> None:
    losing = Losing(client("dynamodb"), {number}, gives_up=gives_up)
    stack.use(losing)
    event = put_all(task(0), task(1) | {"timeout_s": 1})
    for _ in range(2):
        if not stack.handle(event):
            break
    assert statuses() == {"task-0": "pending", "task-1": "rejected"}
    assert {"started_by": "intake", "shard": 0} in stack.started
    assert losing.lost == 1


def test_no_poller_is_started_for_records_that_were_overtaken(stack: Stack) -> None:
    event = put_all(task(0))
    stack.handle(event)
    stack.started.clear()
    client("dynamodb").update_item(
        TableName="TasksTable",
        Key=to_attributes({"task_id": "task-0", "provider": "suno"}),
        UpdateExpression="REMOVE queue, since_ms",
    )
    assert stack.handle(event) == []
    assert stack.started == []


def test_records_that_come_again_start_the_poller_that_a_try_before_did_not(stack: Stack) -> None:
    event = put_all(task(0))
    app.intake().take_in(event["Records"][0]["dynamodb"]["NewImage"])  # and the process is gone
    assert stack.handle(event) == []
    assert stack.started == [{"started_by": "intake", "shard": 0}]


def test_no_poller_is_started_while_one_runs(stack: Stack) -> None:
    Leases(client("dynamodb"), "PollerLeasesTable").take_over(0, "someone", now_ms())
    assert stack.handle(put_all(task(0))) == []
    assert stack.started == []


def test_a_poller_that_cannot_be_started_fails_no_record(stack: Stack) -> None:
    stack.start_error = fault("TooManyRequestsException", "Invoke")
    assert stack.handle(put_all(task(0))) == []
    assert statuses() == {"task-0": "pending"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    values = {
        "TASKS_TABLE": "TasksTable",
        "TASKS_STREAM": "arn:of-the-stream",
        "PROVIDER_STATES_TABLE": "ProviderStatesTable",
        "EVENT_BUS": BUS,
        "LEASES_TABLE": "PollerLeasesTable",
        "POLLER_FUNCTION": "poller",
        "FULFILLMENT_QUEUE": "fulfillment",
        "SHARD_COUNT": "1",
        "NETWORK_POLICY": "public",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    app.intake.cache_clear()
    yield
    app.intake.cache_clear()


def test_the_environment_makes_the_intake_once(aws: None, environment: None) -> None:
    create_table("TasksTable")
    create_table("PollerLeasesTable")
    put("TasksTable", task(0))
    app.intake().take_in({"task_id": {"S": "task-0"}, "provider": {"S": "suno"}})
    assert statuses() == {"task-0": "pending"}
    assert app.intake() is app.intake()


def test_an_environment_that_lacks_something_acknowledges_nothing(
    aws: None, environment: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("SHARD_COUNT")
    answer = app.handler(stream_event(task(0)), Context())  # type: ignore[arg-type]
    assert answer == {"batchItemFailures": [{"itemIdentifier": "seq-0"}]}
    assert "environment: SHARD_COUNT (Field required)" in caplog.text
