import json
from typing import Any

import pytest

from tunehook.deliveries import is_progress
from tunehook.errors import InvalidInput
from tunehook.operations.sample_event import sample_delivery, sample_event
from tunehook.subscriptions import OPERATIONAL, SUBSCRIBABLE, Recipient, Subscription
from tunehook.tasks import Format
from tunehook.webhook_body import render

NOW_MS = 1_800_000_000_000


def body(form: Format) -> Any:
    subscription = Subscription(subscription_id="a", url="https://receiver.example/", format=form)
    return json.loads(render(sample_delivery(subscription, NOW_MS), str, NOW_MS).content)


@pytest.mark.parametrize("form", [Format.STANDARD, Format.CLOUDEVENTS])
def test_a_test_has_the_form_of_a_completed_task_and_its_own_type(form: Format) -> None:
    told = body(form)
    assert told["type"] == "webhook.test"
    assert told["timestamp" if form is Format.STANDARD else "time"] == "2027-01-15T08:00:00.000Z"
    assert told["data"] == {
        "task_id": "webhook-test",
        "provider": "test",
        "status": "completed",
        "submitted_at": "2027-01-15T08:00:00.000Z",
        "finished_at": "2027-01-15T08:00:00.000Z",
        "detected_at": "2027-01-15T08:00:00.000Z",
        "metadata": {},
        "clips": [],
        "archive": "empty",
        "failure": None,
        "manifest": None,
        "truncated": False,
    }


def test_a_test_in_a_gateways_form_is_told_by_its_task_id() -> None:
    assert body(Format.PROVIDER) == {
        "task_id": "webhook-test",
        "status": "SUCCESS",
        "fail_reason": "",
        "progress": "100%",
        "data": [],
    }


def test_every_test_is_another_delivery() -> None:
    subscription = Subscription(subscription_id="a", url="https://receiver.example/")
    assert len({sample_delivery(subscription, NOW_MS).delivery_id for _ in range(3)}) == 3


def sample(kind: str, form: Format = Format.STANDARD) -> Any:
    delivery = sample_event(kind, Recipient("a", form), "results", NOW_MS)
    assert (delivery.type, delivery.next_attempt_at_ms) == (kind, NOW_MS)
    return json.loads(render(delivery, "https://results.example/{}?signed".format, NOW_MS).content)


@pytest.mark.parametrize("form", [Format.STANDARD, Format.CLOUDEVENTS])
@pytest.mark.parametrize("kind", ["task.completed", "task.archived"])
def test_a_sample_is_a_song_of_two_clips_with_their_files(kind: str, form: Format) -> None:
    told = sample(kind, form)
    data = told["data"]
    assert (told["type"], data["status"], data["sample"], data["archive"]) == (
        kind,
        "completed",
        True,
        "complete",
    )
    assert data["metadata"]
    assert [clip["title"] for clip in data["clips"]] == ["City Lights", "City Lights (acoustic)"]
    for clip in data["clips"]:
        assert clip["text"]
        assert [asset["type"] for asset in clip["assets"]] == ["audio", "cover", "lyrics"]
        types = {asset["type"]: asset["content_type"] for asset in clip["assets"]}
        assert types == {"audio": "audio/mpeg", "cover": "image/jpeg", "lyrics": "text/plain"}
        for asset in clip["assets"]:
            assert asset["key"].startswith(f"results/sample/{data['task_id']}/{clip['clip_id']}/")
            assert asset["url"] == f"https://results.example/{asset['key']}?signed"


def test_a_sample_of_a_failure_says_why() -> None:
    data = sample("task.failed")["data"]
    assert (data["status"], data["clips"], data["sample"]) == ("failed", [], True)
    assert data["failure"]["code"] == "provider_failed"


@pytest.mark.parametrize(("kind", "status"), [("task.completed", "SUCCESS"), ("task.failed", "FAILURE")])
def test_a_sample_in_a_gateways_form_is_a_task_object(kind: str, status: str) -> None:
    task = sample(kind, Format.PROVIDER)
    assert (task["status"], task["sample"]) == (status, True)
    assert bool(task["fail_reason"]) is (status == "FAILURE")
    assert len(task["data"]) == (2 if status == "SUCCESS" else 0)


def test_a_sample_of_progress_has_a_stream_and_no_files() -> None:
    told = sample("task.progress")
    data = told["data"]
    assert (data["status"], data["phase"], data["progress"], data["sample"]) == (
        "pending",
        "processing",
        60,
        True,
    )
    (clip,) = data["clips"]
    assert clip["stream_url"]
    assert "assets" not in clip
    assert sample("task.progress", Format.PROVIDER)["status"] == "IN_PROGRESS"


def test_a_sample_of_progress_is_attempted_as_any_sample() -> None:
    made = sample_event("task.progress", Recipient("a", Format.STANDARD), "results", NOW_MS)
    assert not is_progress(made.delivery_id)


@pytest.mark.parametrize(
    ("kind", "form"), [("webhook.test", Format.STANDARD), ("task.archived", Format.PROVIDER)]
)
def test_what_no_receiver_gets_there_is_no_sample_of(kind: str, form: Format) -> None:
    with pytest.raises(InvalidInput, match="event"):
        sample(kind, form)


def test_every_sample_is_another_delivery_of_another_task() -> None:
    made = [sample_event(kind, Recipient("a", Format.STANDARD), "r", NOW_MS) for kind in SUBSCRIBABLE * 2]
    assert len({each.delivery_id for each in made}) == len(made)
    about_tasks = [each for each in made if each.type.startswith("task.")]
    assert len({each.task_id for each in about_tasks}) == len(about_tasks)


@pytest.mark.parametrize("kind", OPERATIONAL)
def test_a_sample_of_an_operational_event_is_about_no_task(kind: str) -> None:
    made = sample_event(kind, Recipient("a", Format.STANDARD), "r", NOW_MS)
    assert (made.task_id, json.loads(made.payload)["sample"]) == (None, True)
    with pytest.raises(InvalidInput, match="the format provider has no"):
        sample(kind, Format.PROVIDER)
