"""An end that nobody was told of yet, and whose item its user puts again or deletes, is told of all the same."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.aws import (
    BUS,
    Context,
    Faulty,
    client,
    fault,
    items,
    stream_attributes,
    stream_image,
)
from tests.unit.poller.world import COMPLETED, FAILED, PROCESSING, World

from intake import app
from intake.admission import Intake
from poller.outbox import Outbox
from tunehook.aws.bus import EventBus
from tunehook.aws.fulfillment_queue import FulfillmentQueue
from tunehook.aws.items import to_attributes
from tunehook.aws.stream_marks import StreamMarks
from tunehook.aws.task_items import PARKED
from tunehook.aws.tasks import TasksTable
from tunehook.http.guard import NetworkPolicy
from tunehook.tasks import TaskKey

# As documented, and not imported: a bound that moves is to be noticed.
OWNERS_MS = 10_000

ID = "task-1"
NEW = {"task_id": ID, "provider": "gw"}
REFUSED = fault("InternalException", "PutEvents")


class Stack(World):
    """A shard with its table, bus and poller, and the intake function, which is handed what the stream would tell."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.says: dict[str, Any] = {ID: COMPLETED}
        super().__init__(gw=lambda task_id: self.says[task_id])
        self.dynamodb = Faulty(client("dynamodb"))
        self.fulfillment_url = "none"
        self._monkeypatch = monkeypatch
        self.tasks = TasksTable(self.dynamodb, "TasksTable")
        self._refusals: list[Exception | None] = []
        self.refuse(0)

    def refuse(self, calls: int) -> None:
        """Let the bus refuse so many calls, whoever makes them, and then take what comes."""
        self._refusals = [REFUSED] * calls
        self.bus = EventBus(Faulty(client("events"), put_events=self._refusals), BUS)
        intake = Intake(
            self.tasks,
            self.leases,
            lambda: self.bus,
            StreamMarks(self.dynamodb, "ProviderStatesTable"),
            self,  # type: ignore[arg-type]
            fulfillment=lambda: FulfillmentQueue(client("sqs"), self.fulfillment_url),
            stream="arn:of-the-stream",
            poller_function="poller",
            shard_count=1,
            policy=NetworkPolicy.PUBLIC,
            clock=self.clock,
        )
        self._monkeypatch.setattr(app, "intake", lambda: intake)

    def invoke(self, **_: Any) -> None:
        """Start no poller: the test does."""

    def poll(self, lasts_s: float = 2 * OWNERS_MS / 1000) -> None:
        self.run(lasts_s=lasts_s, outbox=Outbox(self.tasks, self.bus, clock=self.clock))

    def end_untold(self) -> dict[str, Any]:
        """Let the task end while the bus refuses everything; return its item."""
        self.add(ID)
        self.refuse(10_000)
        self.poll()
        item = self.item()
        assert (item["status"], item["queue"]) == ("completed", "work#0")
        assert self.emitted() == []
        self.refuse(0)
        return item

    def put_again(self, before: dict[str, Any], new: dict[str, Any] = NEW) -> list[str]:
        """Put the task again; return which of the stream's records are to come again."""
        before_now = self.dynamodb.get_item(
            TableName="TasksTable", Key=to_attributes({"task_id": ID, "provider": "gw"})
        ).get("Item", to_attributes(before))
        self.dynamodb.put_item(TableName="TasksTable", Item=to_attributes(new))
        return self.tell("MODIFY", before_now, to_attributes(new))

    def delete(self, before: dict[str, Any]) -> list[str]:
        self.dynamodb.delete_item(
            TableName="TasksTable", Key=to_attributes({"task_id": ID, "provider": before["provider"]})
        )
        return self.tell("REMOVE", to_attributes(before), None)

    def tell(self, name: str, old: dict[str, Any], new: dict[str, Any] | None) -> list[str]:
        images = {"OldImage": stream_attributes(old)}
        images |= {} if new is None else {"NewImage": stream_attributes(new)}
        record = {
            "eventID": "1",
            "eventName": name,
            "eventSource": "aws:dynamodb",
            "dynamodb": {"SequenceNumber": "1", **images},
        }
        answer = app.handler({"Records": [record]}, Context())  # type: ignore[arg-type]
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def told(self) -> list[tuple[str, str]]:
        """Which event of which run has come out since the last call: kind and id."""
        return [(event["detail-type"], event["detail"]["event_id"]) for event in self.all_emitted()]

    def parked(self) -> list[dict[str, Any]]:
        return [item for item in items("TasksTable") if PARKED in item]


@pytest.fixture
def stack(aws: None, monkeypatch: pytest.MonkeyPatch) -> Stack:
    return Stack(monkeypatch)


def test_both_runs_are_told_of_and_the_earlier_first(stack: Stack) -> None:
    first = stack.end_untold()
    stack.says[ID] = FAILED
    assert stack.put_again(first) == []
    assert stack.told() == [("TaskCompleted", first["event_id"])]
    stack.poll()
    second = stack.item()
    assert stack.told() == [("TaskFailed", second["event_id"])]
    assert second["event_id"] != first["event_id"]
    assert stack.parked() == []


def test_where_the_bus_refuses_intake_too_the_poller_tells_of_both_and_of_the_earlier_first(
    stack: Stack,
) -> None:
    first = stack.end_untold()
    stack.says[ID] = FAILED
    stack.refuse(10_000)
    assert stack.put_again(first) == []
    stack.poll()
    assert stack.told() == []
    stack.refuse(0)
    stack.poll()
    assert stack.told() == [("TaskCompleted", first["event_id"]), ("TaskFailed", stack.item()["event_id"])]
    assert not any("queue" in item for item in items("TasksTable"))
    stack.poll()
    assert stack.told() == []


def test_while_the_bus_takes_nothing_of_the_earlier_run_the_later_one_waits(stack: Stack) -> None:
    """The poller that knows of both: one call refuses the first event, and the next would have taken the second."""
    first = stack.end_untold()
    stack.says[ID] = FAILED
    stack.refuse(3)
    stack.put_again(first)
    stack.poll(lasts_s=10)
    assert stack.told() == [("TaskCompleted", first["event_id"]), ("TaskFailed", stack.item()["event_id"])]


def test_a_task_that_is_put_again_and_again_is_told_of_as_often(stack: Stack) -> None:
    runs = [stack.end_untold()]
    for _ in range(3):
        stack.refuse(10_000)
        stack.put_again(runs[-1])
        stack.poll()
        runs.append(next(item for item in items("TasksTable") if PARKED not in item))
    stack.refuse(0)
    stack.poll(lasts_s=10)
    assert stack.told() == [("TaskCompleted", run["event_id"]) for run in runs]
    assert len({run["event_id"] for run in runs}) == 4


def test_the_event_of_a_parked_run_says_what_it_would_have_said(stack: Stack) -> None:
    stack.add(ID, metadata={"order": 7, "price": 1.5})
    stack.refuse(10_000)
    stack.poll()
    first = stack.item()
    stack.put_again(first)
    stack.refuse(0)
    stack.tell("REMOVE", to_attributes(first), None)
    at_once, parked = stack.all_emitted(), stack.parked()
    stack.poll()
    afterwards = stack.all_emitted()
    assert [each["detail"] for each in at_once] == [afterwards[0]["detail"]]
    assert at_once[0]["detail"]["metadata"] == {"order": 7, "price": 1.5}
    assert [item["task_id"] for item in parked] == [ID]


def test_a_task_that_is_deleted_before_its_end_was_told_of_is_told_of(stack: Stack) -> None:
    item = stack.end_untold()
    assert stack.delete(item) == []
    assert stack.told() == [("TaskCompleted", item["event_id"])]
    assert items("TasksTable") == []


def test_a_status_that_its_user_removes_is_an_item_put_again(stack: Stack) -> None:
    item = stack.end_untold()
    without = {name: value for name, value in item.items() if name != "status"}
    stack.dynamodb.put_item(TableName="TasksTable", Item=to_attributes(without))
    assert stack.tell("MODIFY", to_attributes(item), to_attributes(without)) == []
    assert stack.told() == [("TaskCompleted", item["event_id"])]
    assert stack.item()["status"] == "pending"


def test_a_rejected_task_that_is_put_again_is_told_of(stack: Stack) -> None:
    bad = NEW | {"timeout_s": 1}
    stack.dynamodb.put_item(TableName="TasksTable", Item=to_attributes(bad))
    stack.tell("INSERT", {}, to_attributes(bad))
    rejected = stack.item()
    assert rejected["status"] == "rejected"
    stack.put_again(rejected)
    assert stack.told() == [("TaskFailed", rejected["event_id"])]


def test_an_end_that_was_told_of_is_told_of_once(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    stack.add(ID)
    stack.poll()
    item = stack.item()
    assert "queue" not in item
    assert stack.told() == [("TaskCompleted", item["event_id"])]
    assert stack.put_again(item) == []
    assert stack.told() == []
    assert "item_unreadable" not in [record.message for record in caplog.records]


def test_a_new_run_that_is_cancelled_takes_nothing_from_the_end_of_the_one_before(stack: Stack) -> None:
    """Its item is cancelled before intake has seen that it was put again."""
    first = stack.end_untold()
    stack.dynamodb.put_item(TableName="TasksTable", Item=to_attributes(NEW))
    assert stack.tasks.cancel(TaskKey(ID, "gw"), stack.clock()).done
    assert stack.tell("MODIFY", to_attributes(first), to_attributes(NEW)) == []
    assert stack.told() == [("TaskCompleted", first["event_id"])]
    stack.poll()
    assert (stack.item()["status"], stack.told()) == ("cancelled", [])


def test_a_parked_end_is_told_although_the_run_after_it_is_cancelled(stack: Stack) -> None:
    first = stack.end_untold()
    stack.says[ID] = PROCESSING
    stack.refuse(10_000)
    stack.put_again(first)
    assert stack.tasks.cancel(TaskKey(ID, "gw"), stack.clock()).done
    stack.refuse(0)
    stack.poll()
    assert stack.told() == [("TaskCompleted", first["event_id"])]
    assert stack.tasks.of_id(ID)[0]["status"] == "cancelled"


def test_a_task_that_has_not_ended_has_nothing_to_tell(stack: Stack) -> None:
    stack.says[ID] = PROCESSING
    stack.add(ID)
    stack.poll()
    item = stack.item()
    stack.put_again(item)
    stack.delete(item)
    assert stack.told() == []


def test_an_attribute_of_a_new_item_that_a_user_calls_queue_is_no_end(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    assert stack.put_again(NEW | {"queue": "mine"}) == []
    assert stack.told() == []
    assert "item_unreadable" not in [record.message for record in caplog.records]


def test_a_run_that_a_pass_is_just_telling_of_is_known_to_it(stack: Stack) -> None:
    """Its own pass has it in memory: it tells of it once, and takes it out of the index where it is parked."""
    stack.add(ID)
    stack.refuse(10_000)
    outbox = Outbox(stack.tasks, stack.bus, clock=stack.clock)

    async def put_again() -> None:
        stack.says[ID] = PROCESSING
        stack.put_again(stack.item())
        stack.refuse(0)
        outbox.bus = stack.bus

    stack.run_together(
        stack.shard_pass(lasts_s=12, outbox=outbox).run(take_over=True), stack.later(5, put_again)
    )
    (told,) = stack.told()
    assert told[0] == "TaskCompleted"
    assert [("queue" in item, "since_ms" in item) for item in stack.parked()] == [(False, False)]


@pytest.mark.parametrize(
    "spoilt",
    [
        {"detected_at_ms": "soon"},
        {"clips": 7},
        {"since_ms": -1},
        {"status": "done"},
        {"queue": 5},
        {"failure": "x"},
    ],
    ids=str,
)
def test_an_end_that_was_spoilt_by_hand_holds_nothing_up(stack: Stack, spoilt: dict[str, Any]) -> None:
    item = stack.end_untold() | spoilt
    assert stack.tell("MODIFY", to_attributes(item), to_attributes(NEW)) == []


def test_a_run_is_parked_by_what_intakes_role_may_do(stack: Stack) -> None:
    first = stack.end_untold()
    stack.refuse(10_000)
    before = len(stack.dynamodb.calls)
    stack.tell("MODIFY", to_attributes(first), to_attributes(NEW))
    made = {name for name, call in stack.dynamodb.calls[before:] if call.get("TableName") == "TasksTable"}
    assert len(stack.parked()) == 1
    assert made <= {"update_item", "scan"}


def test_a_run_is_parked_once_however_often_its_record_comes(stack: Stack) -> None:
    first = stack.end_untold()
    stack.refuse(10_000)
    stack.put_again(first)
    stack.tell("MODIFY", to_attributes(first), to_attributes(NEW))
    assert len(stack.parked()) == 1
    stack.refuse(0)
    stack.poll()
    stack.told()
    stack.refuse(10_000)
    stack.tell("MODIFY", to_attributes(first), to_attributes(NEW))
    stack.refuse(0)
    stack.poll()
    assert stack.told() == []


def test_a_run_that_can_neither_be_told_of_nor_parked_comes_again_and_so_does_the_new_one(
    stack: Stack,
) -> None:
    first = stack.end_untold()
    stack.refuse(10_000)
    stack.dynamodb = Faulty(client("dynamodb"), update_item=[fault()])
    stack.tasks = TasksTable(stack.dynamodb, "TasksTable")
    stack.refuse(10_000)
    assert stack.put_again(first) == ["1"]
    assert "status" not in stack.item()
    assert stack.tell("MODIFY", to_attributes(first), to_attributes(NEW)) == []
    assert (len(stack.parked()), stack.tasks.of_id(ID)[0]["status"]) == (1, "pending")


def test_a_parked_run_that_is_deleted_by_hand_does_not_come_back(stack: Stack) -> None:
    first = stack.end_untold()
    stack.refuse(10_000)
    stack.put_again(first)
    (parked,) = stack.parked()
    stack.delete(parked)
    assert stack.parked() == []


def test_commands_list_tasks_and_no_parked_runs(stack: Stack) -> None:
    first = stack.end_untold()
    stack.refuse(10_000)
    stack.put_again(first)
    assert len(items("TasksTable")) == 2
    assert [item["provider"] for item in stack.tasks.scan(("task_id", "provider"))] == ["gw"]
    assert [item["provider"] for item in stack.tasks.of_id(ID)] == ["gw"]
    (unsent,) = stack.tasks.work(0).event_pending
    assert (unsent.key.provider, unsent.since_ms) == ("gw", first["since_ms"])


def test_a_parked_run_is_gone_soon_after_it_was_told_of(stack: Stack) -> None:
    first = stack.end_untold()
    stack.refuse(10_000)
    stack.put_again(first)
    stack.refuse(0)
    stack.poll()
    (parked,) = stack.parked()
    assert parked["expires_at"] * 1000 <= stack.clock()


def test_the_records_of_a_stream_that_shows_new_images_alone_are_taken_in(stack: Stack) -> None:
    """Those of the stream before an upgrade, which are on their way while it goes on."""
    stack.dynamodb.put_item(TableName="TasksTable", Item=to_attributes(NEW))
    record = {
        "eventID": "1",
        "eventName": "INSERT",
        "eventSource": "aws:dynamodb",
        "dynamodb": {"SequenceNumber": "1", "NewImage": stream_image(NEW)},
    }
    assert app.handler({"Records": [record]}, Context()) == {"batchItemFailures": []}  # type: ignore[arg-type]
    assert stack.item()["status"] == "pending"
