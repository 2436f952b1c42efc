"""What the messages of the fulfillment queue ask for."""

import json

import pytest
from tests.support.tasks import NOW_MS, ended

from fulfillment.messages import content_of, event_of_item, since_ms
from tunehook.aws.visibility import Message
from tunehook.errors import InvalidInput
from tunehook.events import TaskCompleted, TaskFailed, task_ended
from tunehook.fulfillment_requests import ArchiveRequest, DeliveryRequest
from tunehook.tasks import Failure, FailureCode, Status, TaskEnd

EVENT = task_ended(ended())
FAILED = task_ended(
    ended(
        end=TaskEnd(
            status=Status.FAILED,
            detected_at_ms=NOW_MS,
            submitted_at_ms=NOW_MS,
            failure=Failure(FailureCode.TIMED_OUT, "late"),
        )
    )
)
BODY = json.dumps({"detail-type": "TaskCompleted", "detail": json.loads(EVENT.model_dump_json())})


def test_an_event_is_read_by_its_detail_type_and_a_request_by_its_own() -> None:
    assert content_of(BODY) == EVENT
    failed = json.dumps({"detail-type": "TaskFailed", "detail": json.loads(FAILED.model_dump_json())})
    assert content_of(failed) == FAILED
    assert isinstance(EVENT, TaskCompleted)
    assert isinstance(FAILED, TaskFailed)
    archive = {"request": "archive", "task_id": "t", "provider": "p", "requested_at_ms": 1}
    assert isinstance(content_of(json.dumps(archive)), ArchiveRequest)
    deliver = {"request": "deliver", "task_id": "t", "provider": "p", "event_id": "e", "subscription_id": "s"}
    assert isinstance(content_of(json.dumps(deliver)), DeliveryRequest)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("{", "message"),
        ("[]", "message"),
        ('{"detail-type": "Other"}', "detail-type"),
        ('{"detail-type": "TaskFailed", "detail": {}}', "detail.event_id"),
        ("{}", "task_id"),
    ],
)
def test_what_is_none_of_them_is_refused_by_its_first_field(body: str, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        content_of(body)
    assert refused.value.field == field


def test_a_message_has_256_kib_at_most() -> None:
    body = BODY.ljust(256 * 1024 - len(BODY.encode()) + len(BODY))
    assert len(body.encode()) == 262_144
    assert content_of(body) == EVENT
    with pytest.raises(InvalidInput, match="is longer than 262144 bytes"):
        content_of(body + " ")


def test_a_task_is_tried_since_its_message_was_first_received_or_its_end_was_detected() -> None:
    message = Message("", "receipt")
    assert since_ms(message, EVENT) == NOW_MS + 60_000
    assert since_ms(Message("", "receipt", 2, 7), EVENT) == 7
    assert since_ms(Message("", "receipt", 2, 0), EVENT) == 0


def test_a_task_that_has_not_ended_has_no_event() -> None:
    with pytest.raises(InvalidInput) as refused:
        event_of_item({"task_id": "t", "provider": "p", "status": "pending"})
    assert refused.value.field == "task_id"
