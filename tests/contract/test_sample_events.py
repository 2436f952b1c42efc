"""The sample events for `sam local invoke` are what the functions understand."""

import json

from tests.support.events import sample
from tests.support.template import ROOT, resources

from fulfillment.messages import content_of
from poller.service import PollerStart
from tunehook.aws.items import from_stream
from tunehook.deliveries import DeliveryMessage, delivery_id
from tunehook.events import TaskCompleted, TaskFailed
from tunehook.http.guard import NetworkPolicy
from tunehook.tasks import check_request


def test_these_are_all() -> None:
    names = {path.stem for path in (ROOT / "events").glob("*.json")}
    assert names == {"task_inserted", "schedule", "task_completed", "task_failed", "delivery"}


def test_the_inserted_task_is_acceptable() -> None:
    (record,) = sample("task_inserted")["Records"]
    item = from_stream(record["dynamodb"]["NewImage"])
    assert check_request(item, NetworkPolicy.PUBLIC).metadata == {"order": 7, "customer": "c-42"}


def test_the_schedules_event_is_the_templates() -> None:
    schedule = resources("AWS::Serverless::Function")["PollerFunction"]["Events"]["EveryMinute"]
    assert json.loads(schedule["Properties"]["Input"]) == sample("schedule")
    assert PollerStart.model_validate(sample("schedule")).started_by == "schedule"


def test_the_ended_tasks_are_events_of_ended_tasks() -> None:
    bodies = [sample(name)["Records"][0]["body"] for name in ("task_completed", "task_failed")]
    assert [type(content_of(body)) for body in bodies] == [TaskCompleted, TaskFailed]


def test_the_delivery_tells_of_the_completed_task() -> None:
    message = DeliveryMessage.model_validate_json(sample("delivery")["Records"][0]["body"])
    event = content_of(sample("task_completed")["Records"][0]["body"])
    assert message.delivery_id == delivery_id(event.event_id, message.subscription_id)
    assert (message.attempt, message.run) == (1, 1)
