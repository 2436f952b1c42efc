"""What the pages show and do."""

import pytest
from starlette.testclient import TestClient
from tests.support.aws import put
from tests.unit.cli.console.conftest import client_of

from tunehook.operations.stack import Stack
from tunehook.operations.tasks import get_task

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def listed(task_id: str, **attributes: object) -> None:
    item = {"task_id": task_id, "provider": "suno", "listed": "tasks#0", "listed_at_ms": 5, **attributes}
    put("TasksTable", item)


def test_the_overview_counts_what_runs_and_leads_to_it(page: TestClient) -> None:
    text = page.get("/").text
    assert "<b>0</b> pending" in text
    assert 'href="/tasks?status=pending"' in text


def test_an_empty_list_of_tasks_names_the_command(page: TestClient) -> None:
    assert "tunehook submit PROVIDER TASK_ID" in page.get("/tasks").text


def test_tasks_are_listed_newest_first_and_filtered(page: TestClient) -> None:
    listed("old", status="completed", submitted_at_ms=1)
    listed("new", status="failed", submitted_at_ms=2, listed_at_ms=9, metadata={"order": "7"})
    text = page.get("/tasks").text
    assert text.index(">new</a>") < text.index(">old</a>")
    assert ">old</a>" not in page.get("/tasks?status=failed").text
    assert ">new</a>" in page.get("/tasks?metadata=order%3D7").text
    assert ">new</a>" not in page.get("/tasks?metadata=order%3D8").text
    assert ">old</a>" in page.get("/tasks?id=ol").text
    assert ">new</a>" not in page.get("/tasks?id=ol").text


def test_a_task_shows_its_player_its_way_and_what_is_stored(page: TestClient, found: Stack) -> None:
    asset = {"clip_id": "c", "type": "audio", "status": "archived", "bytes": 9, "content_type": "audio/mpeg"}
    asset["key"] = "results/suno/task-1/c/audio.mp3"
    found.s3.delete_object(Bucket=found.output("ResultsBucket"), Key="results/suno/task-1/manifest.json")
    clip = {"clip_id": "c", "title": "Morning", "text": "la la", "duration_s": 185}
    listed("task-1", status="completed", event_id="e", detected_at_ms=5, clips=[clip], assets=[asset])
    text = page.get("/task?task_id=task-1").text
    assert (
        '<audio controls preload="metadata" src="/media?key=results%2Fsuno%2Ftask-1%2Fc%2Faudio.mp3"' in text
    )
    assert "3:05" in text
    assert "End detected: completed" in text
    assert "/delivery?id=msg_1" in text


def test_a_file_is_played_in_the_ranges_that_are_asked_for(page: TestClient) -> None:
    place = "/media?key=results/suno/task-1/c/audio.mp3"
    whole, part = page.get(place), page.get(place, headers={"range": "bytes=4-6"})
    assert (whole.status_code, whole.content, whole.headers["accept-ranges"]) == (200, b"the-bytes", "bytes")
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"byt", "bytes 4-6/9")
    assert page.get("/media?key=results/none").status_code == 404


def test_nothing_of_anybody_is_ever_markup(page: TestClient, found: Stack) -> None:
    clip = {"clip_id": HOSTILE, "title": HOSTILE, "text": HOSTILE, "tags": [HOSTILE], "model": HOSTILE}
    listed(
        HOSTILE,
        status=HOSTILE,
        metadata={HOSTILE: HOSTILE},
        last_error=HOSTILE,
        failure={"code": HOSTILE, "reason": HOSTILE},
        clips=[clip],
        assets=[{"clip_id": HOSTILE, "type": HOSTILE, "status": HOSTILE, "reason": HOSTILE}],
        provider_object='{"x": "<script>alert(3)</script>"}',
    )
    put(
        "SubscriptionsTable",
        {"subscription_id": HOSTILE, "url": "javascript:alert(1)", "description": HOSTILE},
    )
    for path, query in [
        ("/tasks", {}),
        ("/task", {"task_id": HOSTILE}),
        ("/tasks", {"provider": HOSTILE, "metadata": f"{HOSTILE}={HOSTILE}", "id": HOSTILE}),
        ("/subscriptions", {}),
        ("/subscription", {"id": HOSTILE}),
        ("/deliveries", {"subscription": HOSTILE, "task": HOSTILE}),
        ("/delivery", {"id": HOSTILE}),
    ]:
        text = page.get(path, params=query).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert 'href="javascript:' not in text


def test_a_task_is_put_again_and_stopped(page: TestClient, found: Stack) -> None:
    again = page.post("/task/rerun?task_id=task-1&provider=suno")
    assert again.headers["location"] == "/task?task_id=task-1&provider=suno&done=rerun"
    assert get_task(found, "task-1").status == "new"
    assert "watched again" in page.get(again.headers["location"]).text
    page.post("/task/cancel?task_id=task-1&provider=suno")
    assert get_task(found, "task-1").status == "cancelled"


def test_a_delivery_shows_its_request_masked_and_is_sent_again(page: TestClient, found: Stack) -> None:
    text = page.get("/delivery?id=msg_1").text
    assert "v1,****" in text
    assert page.post("/delivery/resend?id=msg_1").headers["location"] == "/delivery?id=msg_1&done=resent"
    delivery = found.deliveries.get("msg_1")
    assert delivery is not None
    assert (delivery.status.value, delivery.run) == ("pending", 2)
    again = page.post("/delivery/resend?id=msg_1")
    assert again.status_code == 409
    assert "still pending" in again.text


def test_many_are_sent_again_once_their_number_is_confirmed(page: TestClient, found: Stack) -> None:
    asked = page.post("/deliveries/resend", data={"id": ["msg_1"]})
    assert "1 delivery will be sent again" in asked.text
    before = found.deliveries.get("msg_1")
    assert before is not None
    assert before.run == 1
    done = page.post("/deliveries/resend", data={"id": ["msg_1", "msg_none"], "confirmed": "yes"})
    assert "sent again" in done.text
    assert "there is no delivery msg_none" in done.text
    assert page.post("/deliveries/resend", data={}).status_code == 422


def test_a_subscription_is_made_changed_rotated_and_deleted(page: TestClient, found: Stack) -> None:
    made = page.post("/subscriptions/new", data={"url": "https://y.example/", "events": "task.failed"})
    assert "whsec_" in made.text
    (new,) = [each for each in found.subscriptions.all() if each["url"] == "https://y.example/"]
    place = f"id={new['subscription_id']}"
    assert "whsec_" not in page.get(f"/subscription?{place}").text
    changed = page.post(
        f"/subscription/change?{place}", data={"url": "https://z.example/", "format": "standard"}
    )
    assert changed.status_code == 303
    bad = page.post(f"/subscription/change?{place}", data={"url": "ftp://z.example/", "format": "standard"})
    assert "url:" in bad.text
    assert "whsec_" in page.post(f"/subscription/rotate?{place}").text
    assert page.post(f"/subscription/delete?{place}", data={"name": "other"}).status_code == 422
    assert (
        page.post(f"/subscription/delete?{place}", data={"name": new["subscription_id"]}).status_code == 303
    )
    assert found.subscriptions.get(new["subscription_id"]) is None


def test_a_form_that_is_not_acceptable_keeps_what_was_typed(page: TestClient) -> None:
    answer = page.post("/subscriptions/new", data={"url": "nonsense", "description": "mine"})
    assert answer.status_code == 422
    assert 'value="mine"' in answer.text


def test_a_provider_is_set_and_its_key_is_never_shown(page: TestClient) -> None:
    fields = {
        "name": "new",
        "kind": "suno",
        "base_url": "https://g.example",
        "api_key": "sk-very-secret-key-1234",
    }
    assert page.post("/providers/set", data=fields).status_code == 303
    text = page.get("/providers").text
    assert "https://g.example" in text
    assert "very-secret" not in text
    bad = page.post("/providers/set", data=fields | {"base_url": "nonsense"})
    assert bad.status_code == 422
    assert "very-secret" not in bad.text


def test_a_dead_letter_is_shown_and_dropped(page: TestClient, found: Stack) -> None:
    sqs, url = found.client("sqs"), found.output("DeliveriesDeadLetters")
    sent = sqs.send_message(QueueUrl=url, MessageBody="<b>odd</b>")["MessageId"]
    text = page.get("/dead-letters/messages").text
    assert "&lt;b&gt;odd" in text
    page.post("/dead-letters/drop", data={"queue": "deliveries", "message_id": sent})
    assert "None: nothing has failed for good" in page.get("/dead-letters/messages").text


@pytest.mark.parametrize(
    "path", ["/task?task_id=none", "/delivery?id=none", "/subscription?id=none", "/none"]
)
def test_what_is_not_there_is_said_so(page: TestClient, path: str) -> None:
    answer = page.get(path)
    assert answer.status_code == 404
    assert "tunehook" in answer.text


def test_a_cursor_of_somebody_else_is_refused(page: TestClient) -> None:
    assert page.get("/tasks/rows?cursor=x").status_code == 422


def test_without_aws_the_page_says_why(found: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import EndpointConnectionError

    def fail(*_: object, **__: object) -> None:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    monkeypatch.setattr(type(found.subscriptions), "all", fail)
    answer = client_of(found).get("/subscriptions")
    assert answer.status_code == 503
    assert "127.0.0.1:1" in answer.text
