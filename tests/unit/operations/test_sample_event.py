import json
import re
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


LYRICS = (
    "[Verse]\nThe city lights are calling me home\n\n[Chorus]\nHome, home again",
    "[Verse]\nThe city lights are calling me home\n\n[Outro]\nHome",
)
TITLES = ("City Lights", "City Lights (acoustic)")
SONG = {"tags": ["pop", "piano"], "model": "v4.5"}
METADATA = {"user_id": "user-42", "order": 1001}
REFUSED = "the lyrics were refused by the content filter"


def payload(kind: str, form: Format = Format.STANDARD) -> tuple[str, Any]:
    """The payload of a sample, and the id of what it is about, which is made up."""
    made = sample_event(kind, Recipient("a", form), "results", NOW_MS)
    told = json.loads(made.payload)
    name = made.task_id or told.get("subscription_id", "")
    assert re.fullmatch("sample-[0-9a-f]{16}", name) or kind in OPERATIONAL
    assert re.fullmatch("evt_[0-9a-f]{32}", made.event_id)
    return name, told


def ended_sample(task_id: str, status: str) -> dict[str, Any]:
    return {
        "task_id": task_id,
        "provider": "sample",
        "status": status,
        "submitted_at": "2027-01-15T07:58:25.000Z",
        "finished_at": "2027-01-15T07:59:48.000Z",
        "detected_at": "2027-01-15T08:00:00.000Z",
        "metadata": METADATA,
        "failure": None,
        "manifest": {"bucket": "results", "key": f"results/sample/{task_id}/manifest.json"},
        "truncated": False,
        "sample": True,
    }


def test_what_a_sample_of_files_says_fits_together() -> None:
    task_id, told = payload("task.archived")
    assets = [clip.pop("assets") for clip in told["clips"]]
    assert told == ended_sample(task_id, "completed") | {
        "archive": "complete",
        "clips": [
            {
                "clip_id": clip_id,
                "title": title,
                "prompt": lyrics,
                "text": lyrics,
                "duration_s": duration_s,
                "created_at": "2027-01-15T07:58:30.000Z",
                **SONG,
            }
            for clip_id, title, lyrics, duration_s in zip(
                ("clip-1", "clip-2"), TITLES, LYRICS, (187.4, 171.9), strict=True
            )
        ],
    }
    for clip_id, lyrics, files in zip(("clip-1", "clip-2"), LYRICS, assets, strict=True):
        digests = [each.pop("sha256") for each in files]
        assert len({digest for digest in digests if re.fullmatch("[0-9a-f]{64}", digest)}) == 3
        folder = f"results/sample/{task_id}/{clip_id}"
        assert files == [
            {
                "type": kind,
                "status": "archived",
                "key": f"{folder}/{name}",
                "content_type": mime,
                "bytes": size,
            }
            for kind, name, mime, size in (
                ("audio", "audio.mp3", "audio/mpeg", 3_000_000),
                ("cover", "cover.jpg", "image/jpeg", 3_000_000),
                ("lyrics", "lyrics.txt", "text/plain", len(lyrics)),
            )
        ]


def test_a_sample_of_a_failure_has_all_that_a_failure_has() -> None:
    task_id, told = payload("task.failed")
    failure = {"code": "provider_failed", "reason": REFUSED}
    assert told == ended_sample(task_id, "failed") | {"failure": failure, "archive": "empty", "clips": []}


def test_a_sample_of_progress_has_all_that_progress_has() -> None:
    task_id, told = payload("task.progress")
    assert told == {
        "task_id": task_id,
        "provider": "sample",
        "status": "pending",
        "phase": "processing",
        "progress": 60,
        "submitted_at": "2027-01-15T07:59:15.000Z",
        "metadata": METADATA,
        "clips": [
            {
                "clip_id": "clip-1",
                "title": TITLES[0],
                "duration_s": 187.4,
                "prompt": LYRICS[0],
                "created_at": "2027-01-15T07:59:20.000Z",
                "stream_url": "https://cdn.example.com/clip-1/stream",
                "source_url": None,
                **SONG,
            }
        ],
        "truncated": False,
        "sample": True,
    }


def test_samples_in_a_gateways_form_have_its_fields() -> None:
    clips = [
        {
            "id": f"clip-{number}",
            "title": title,
            "tags": "pop, piano",
            "prompt": lyrics,
            "duration": duration_s,
            "audio_url": f"https://cdn.example.com/clip-{number}.mp3",
            "image_url": f"https://cdn.example.com/clip-{number}.jpeg",
            "video_url": f"https://cdn.example.com/clip-{number}.mp4",
        }
        for number, title, lyrics, duration_s in zip((1, 2), TITLES, LYRICS, (187.4, 171.9), strict=True)
    ]
    over = {"start_time": 1_799_999_906, "finish_time": 1_799_999_988, "progress": "100%"}
    for kind, content in {
        "task.progress": {"status": "IN_PROGRESS", "fail_reason": "", "progress": "60%", "data": []},
        "task.completed": {"status": "SUCCESS", "fail_reason": "", "data": clips, **over},
        "task.failed": {"status": "FAILURE", "fail_reason": REFUSED, "data": [], **over},
    }.items():
        task_id, told = payload(kind, Format.PROVIDER)
        task = {"task_id": task_id, "action": "MUSIC", "submit_time": 1_799_999_905, "sample": True}
        assert told == task | content


def test_the_moments_of_an_operational_sample_fit_together() -> None:
    name, told = payload("subscription.failing")
    assert told == {
        "subscription_id": name,
        "failing_since": "2027-01-12T20:00:00.000Z",
        "percent": 50,
        "disabled_at": "2027-01-17T20:00:00.000Z",
        "sample": True,
    }
    name, told = payload("subscription.disabled")
    assert told == {
        "subscription_id": name,
        "disabled_at": "2027-01-15T08:00:00.000Z",
        "failing_since": "2027-01-10T08:00:00.000Z",
        "reason": "every attempt has failed for 5 days",
        "sample": True,
    }
    assert payload("provider.unauthorised")[1] == {
        "provider": "sample",
        "reason": "key",
        "message": "HTTP 401: Invalid token",
        "was_accepted": True,
        "since": "2027-01-15T08:00:00.000Z",
        "tasks_waiting": 3,
        "sample": True,
    }
    assert payload("dead_letters.found")[1] == {
        "queue": "deliveries",
        "messages": 1,
        "since": "2027-01-15T08:00:00.000Z",
        "found_at": "2027-01-15T08:00:00.000Z",
        "sample": True,
    }
