"""What the pages show and do."""

import json
import shlex
from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient
from tests.support.aws import items, put
from tests.support.endpoints import answer_checks
from tests.unit.cli.console.conftest import client_of, fill
from tests.unit.cli.console.html import Element, parse
from tests.unit.cli.console.test_safety import PAGES

from tunehook.aws.tasks import listed_attributes
from tunehook.deliveries import Attempt, Delivery
from tunehook.errors import Unavailable
from tunehook.operations import subscriptions
from tunehook.operations.callbacks import callback_url
from tunehook.operations.stack import Stack
from tunehook.operations.tasks import get_task
from tunehook.operations.text import visible
from tunehook.signatures import derive_secret
from tunehook.times import now_ms

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def listed(task_id: str, ago_ms: int = 0, **attributes: object) -> None:
    """Put a task that was accepted so long ago."""
    place = listed_attributes(task_id, now_ms() - ago_ms)
    put("TasksTable", {"task_id": task_id, "provider": "suno", **place, **attributes})


def test_the_overview_counts_what_runs_and_leads_to_it(page: TestClient) -> None:
    text = page.get("/").text
    assert "<b>0</b> pending" in text
    assert 'href="/tasks?status=pending"' in text


def test_an_empty_list_of_tasks_names_the_command(page: TestClient) -> None:
    assert "tunehook submit PROVIDER TASK_ID" in page.get("/tasks").text


def test_tasks_are_listed_newest_first_and_filtered(page: TestClient) -> None:
    listed("old", 60_000, status="completed", submitted_at_ms=1)
    listed("new", status="failed", submitted_at_ms=2, metadata={"order": "7"})
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


def test_an_output_is_shown_played_or_a_link(page: TestClient, found: Stack) -> None:
    found.s3.delete_object(Bucket=found.output("ResultsBucket"), Key="results/suno/task-1/manifest.json")
    kinds = [
        ("image", "image/png", "png"),
        ("image", "image/svg+xml", "svg"),
        ("file", "image/webp", "webp"),
        ("video", "video/mp4", "mp4"),
        ("file", "application/zip", "zip"),
        ("file", "text/plain; charset=utf-8", "txt"),
    ]
    assets = [
        {"clip_id": ending, "type": kind, "status": "archived", "bytes": 9, "content_type": content_type}
        | {"key": f"results/suno/task-1/{ending}/{kind}.{ending}"}
        for kind, content_type, ending in kinds
    ]
    clips = [{"clip_id": each["clip_id"], "is_output": True, "prompt": "a cat"} for each in assets]
    listed("task-1", status="completed", event_id="e", detected_at_ms=5, clips=clips, assets=assets)
    text = page.get("/task?task_id=task-1").text
    places = {each["clip_id"]: f"/media?key={quote(str(each['key']), safe='')}" for each in assets}
    shown = [ending for ending, place in places.items() if f'<img class="picture" src="{place}"' in text]
    played = [ending for ending, place in places.items() if f'preload="metadata" src="{place}"' in text]
    linked = [ending for ending, place in places.items() if f'<a href="{place}" download>' in text]
    assert (shown, played, linked) == (["png", "webp"], ["mp4"], ["svg", "zip", "txt"])
    assert "<summary>Prompt</summary>" in text


def test_a_file_is_played_in_the_ranges_that_are_asked_for(page: TestClient) -> None:
    place = "/media?key=results/suno/task-1/c/audio.mp3"
    whole, part = page.get(place), page.get(place, headers={"range": "bytes=4-6"})
    assert (whole.status_code, whole.content, whole.headers["accept-ranges"]) == (200, b"the-bytes", "bytes")
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"byt", "bytes 4-6/9")
    assert page.get("/media?key=results/none").status_code == 404


@pytest.mark.parametrize(
    "said", [HOSTILE, "javascript:alert(1)", "\N{RIGHT-TO-LEFT OVERRIDE}&lt;b&gt;${7*7}{{7*7}}"]
)
def test_nothing_of_anybody_is_ever_markup(page: TestClient, found: Stack, said: str) -> None:
    fill(found, said)
    shown = 0
    for path, query in [
        *((path, {}) for path in PAGES),
        ("/task", {"task_id": "full"}),
        ("/task", {"task_id": "waits"}),
        ("/task", {"task_id": said}),
        ("/tasks", {"provider": said, "metadata": f"{said}={said}", "id": said}),
        ("/tasks", {"status": said, "since": said}),
        ("/tasks/live", {"status": said}),
        ("/delivery", {"id": "msg_full_1"}),
        ("/delivery", {"id": said}),
        ("/deliveries", {"subscription": said, "task": said, "since": said, "status": said}),
        ("/subscription", {"id": said}),
        ("/subscription/health", {"id": said}),
        ("/subscription/keys", {"id": said}),
        ("/media", {"key": said}),
    ]:
        text = page.get(path, params=query).text
        root = parse(text)
        shown += said in root.text or visible(said) in root.text
        for each in root.all():
            check_element(each)
    assert shown > 10


def check_element(element: Element) -> None:
    """Everything that a page does or loads is one of the console's own."""
    assert not [name for name in element.attributes if name.startswith("on") or name == "style"]
    if element.name == "script":
        assert element.attributes["src"].startswith("/static/")
        assert not element.text
    for name in ("href", "src", "action", "formaction", "data-hx-get", "data-hx-sse:connect"):
        place = element.attributes.get(name, "/")
        assert place.startswith(("/", "#")), (element.name, place)
        assert not place.startswith("//")


def test_what_a_form_says_back_is_no_markup(page: TestClient, found: Stack) -> None:
    answers = [
        page.post("/providers/set", data={"name": HOSTILE, "kind": HOSTILE, "base_url": HOSTILE}),
        page.post("/providers/check", data={"name": HOSTILE, "task_id": HOSTILE}),
        page.post("/providers/callback-url", data={"name": HOSTILE}),
        page.post("/subscriptions/new", data={"url": HOSTILE, "description": HOSTILE}),
        page.post("/subscription/change?id=sub-1", data={"url": HOSTILE, "format": HOSTILE}),
        page.post("/subscription/recover?id=sub-1", data={"since": HOSTILE}),
        page.post("/subscription/delete?id=sub-1", data={"name": HOSTILE}),
        page.post("/dead-letters/drop", data={"queue": HOSTILE}),
        page.post("/deliveries/resend", data={"id": [HOSTILE]}),
        page.post("/deliveries/resend", data={"id": [HOSTILE], "confirmed": "yes"}),
    ]
    for answer in answers:
        assert answer.status_code in (200, 404, 422)
        for each in parse(answer.text).all():
            check_element(each)


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


def test_a_delivery_about_no_task_leads_to_none(page: TestClient) -> None:
    (item,) = [each for each in items("DeliveriesTable") if each["delivery_id"] == "msg_1"]
    about_none = {name: value for name, value in item.items() if name not in ("task_id", "provider")}
    put("DeliveriesTable", about_none | {"type": "dead_letters.found"})
    of_it = page.get(f"/deliveries?subscription={item['subscription_id']}").text
    (listing,) = [each for each in of_it.split("<tr>") if "msg_1" in each]
    assert "/task?" not in listing
    shown = page.get("/delivery?id=msg_1")
    assert (shown.status_code, "/task?" in shown.text) == (200, False)
    assert "<dt>Task</dt>" not in shown.text


def test_the_command_that_sends_a_delivery_has_what_is_sent_and_no_secret(
    page: TestClient, found: Stack
) -> None:
    own = {"x-own": "a-value-of-mine", "authorization": "Bearer of-mine"}
    put(
        "SubscriptionsTable",
        {"subscription_id": "sub-1", "url": "https://x.example/hook?a=1&b='", "headers": own},
    )
    text = page.get("/delivery?id=msg_1").text
    secret = derive_secret(found.master_secret(), "sub-1", 1)
    for hidden in (*own.values(), secret, secret.removeprefix("whsec_")):
        assert hidden not in text
    (command,) = (each.text for each in parse(text).all("pre") if each.text.startswith("curl"))
    words = shlex.split(command)
    assert words[:4] == ["curl", "--request", "POST", "https://x.example/hook?a=1&b='"]
    headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "--header")
    assert headers["webhook-id"] == "msg_1"
    assert {headers["x-own"], headers["authorization"], headers["webhook-signature"]} == {"****", "v1,****"}
    assert words[-2] == "--data-binary"
    assert json.loads(words[-1])["type"] == "task.completed"


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


def test_each_number_of_the_overview_leads_to_the_rows_behind_it(page: TestClient, found: Stack) -> None:
    fill(found, "odd")
    root = parse(page.get("/").text)
    (numbers,) = (each for each in root.all("section") if each.attributes["aria-label"] == "Now")
    places = {each.text: each.attributes["href"] for each in numbers.all("a")}
    assert places == {
        "pending 1": "/tasks?status=pending",
        "past their deadline 1": "/tasks?status=overdue",
        "subscriptions failing or off 1": "/subscriptions?state=failing",
        "dead letters 1": "/dead-letters",
        "providers paused or refusing their key 2": "/providers?state=trouble",
        "Webhooks that failed today": "/deliveries?status=failed&since=24h",
    }
    assert ">waits</a>" in page.get("/tasks?status=overdue").text
    failing = page.get("/subscriptions?state=failing").text
    assert "id=odd" in failing
    assert "id=sub-2" not in failing
    assert "suno" in page.get("/providers?state=trouble").text
    assert "msg_full_1" in page.get("/deliveries?status=failed&since=24h").text


def test_a_part_of_the_overview_that_cannot_be_read_says_so_and_the_others_are_there(
    page: TestClient, found: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise Unavailable("the table is busy")

    monkeypatch.setattr(type(found.subscriptions), "all", fail)
    text = page.get("/").text
    assert "The subscriptions cannot be read: the table is busy" in text
    assert "dead letters" in text


def test_the_last_tasks_are_read_bit_by_bit_and_plotted(page: TestClient, found: Stack) -> None:
    fill(found, "odd")
    texts = [page.get("/overview/timings").text for _ in range(3)]
    assert "more are being read" in texts[0]
    assert 'data-hx-get="/overview/timings"' in texts[0]
    assert "more are being read" not in texts[-1]
    assert 'href="/tasks?status=completed&amp;since=24h"><b>1</b> completed' in texts[-1]
    assert texts[-1].count("<svg") == 3
    assert "1 completed, 1 did not, 2 in an hour at most" in texts[-1]
    assert "1.0 s" in texts[-1]


def test_a_filter_says_how_far_it_looked_and_goes_on_by_itself_to_a_thousand(page: TestClient) -> None:
    for number in range(450):
        listed(f"t-{number:03}", number * 60_000, metadata={"order": str(number)})
    first = page.get("/tasks?metadata=order%3D449").text
    assert "Looked through the newest 200 tasks, and looking on …" in first
    assert 'data-hx-trigger="load, click"' in first
    assert "No task meets" not in first
    second = page.get(next_of(first)).text
    assert "Looked through the newest 400 tasks" in second
    third = page.get(next_of(second)).text
    assert ">t-449</a>" in third
    assert "Looked through all 450 tasks." in third
    farther = page.get(next_of(first).replace("looked=200", "looked=1000")).text
    assert "Look further" in farther
    assert 'data-hx-trigger="load' not in farther


def next_of(text: str) -> str:
    (button,) = (each for each in parse(text).all("button") if "data-hx-get" in each.attributes)
    return button.attributes["data-hx-get"]


def test_a_list_without_filters_reads_no_more_items_than_its_page(
    page: TestClient, found: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(80):
        listed(f"t-{number:02}", number * 60_000)
    read: list[int] = []
    whole = type(found.tasks).get_many
    monkeypatch.setattr(
        type(found.tasks),
        "get_many",
        lambda self, keys, *rest: read.append(len(keys)) or whole(self, keys, *rest),
    )
    text = page.get("/tasks").text
    assert (read, text.count('<td class="id">')) == ([30], 30)
    assert "Show more" in text
    page.get(next_of(text))
    assert read == [30, 30]


def test_a_filter_that_is_none_is_said_and_stays_in_its_field(page: TestClient) -> None:
    answer = page.get("/tasks?since=soon&provider=suno")
    assert answer.status_code == 422
    assert "since: must be a whole number and a unit" in answer.text
    assert 'value="soon"' in answer.text
    assert 'value="suno"' in answer.text
    answer = page.get("/deliveries?since=soon&task=t")
    assert answer.status_code == 422
    assert 'value="soon"' in answer.text
    assert page.get("/tasks?metadata=odd").status_code == 422


def test_the_way_of_a_task_has_every_step(page: TestClient, found: Stack) -> None:
    fill(found, "odd")
    put_file = {"Bucket": found.output("ResultsBucket"), "Body": b"x"}
    found.s3.put_object(Key="results/suno/full/c/audio", **put_file)
    root = parse(page.get("/task?task_id=full").text)
    (way,) = (each for each in root.all("ol") if each.attributes.get("class") == "way")
    steps = [next(each.all("b")).text for each in way.children]
    assert steps == [
        "Submitted",
        "Finished at the provider",
        "End detected: completed",
        "Event TaskCompleted on the bus",
        "File not to be had: odd of odd",
        "Files settled",
        *["Webhook task.completed made"] * 2,
        *["Attempt 1: odd"] * 2,
        *["Attempt 2: HTTP 204"] * 2,
        "File stored: audio of odd",
    ]
    assert "/delivery?id=msg_full_0" in {each.attributes["href"] for each in way.all("a")}


def test_a_task_shows_its_event_as_it_was_put_on_the_bus(page: TestClient, found: Stack) -> None:
    fill(found, "odd")
    root = parse(page.get("/task?task_id=full").text)
    (event,) = (each for each in root.all("details") if next(each.all("summary")).text == "Event")
    told = json.loads(next(event.all("pre")).text)
    assert (told["event_id"], told["status"], told["metadata"]) == ("evt_2", "completed", {"odd": "odd"})
    assert "Event</summary>" not in page.get("/task?task_id=waits").text


def test_everything_of_a_task_is_there_as_it_is_stored_folded(page: TestClient, found: Stack) -> None:
    fill(found, "odd")
    bucket = found.output("ResultsBucket")
    manifest = {"assets": [], "of_a_later_version": {"deep": ["<b>"]}}
    place = {"Bucket": bucket, "Key": "results/suno/full/manifest.json"}
    found.s3.put_object(Body=json.dumps(manifest).encode(), **place)
    told = folded(page.get("/task?task_id=full").text)
    assert list(told) == ["Item", "Document", "Event", "Manifest", "The provider's object"]
    assert told["Manifest"] == manifest
    assert told["Item"]["listed_at_ms"] > 0
    assert told["The provider's object"] == ["odd"]
    found.s3.put_object(Body=b'{"assets": [7], "odd": true}', **place)
    text = page.get("/task?task_id=full").text
    assert "creates it again" in text
    assert folded(text)["Manifest"] == {"assets": [7], "odd": True}


def folded(text: str) -> dict[str, Any]:
    """What the page of a task has folded, by its title: JSON, but for the lyrics."""
    return {
        next(each.all("summary")).text: json.loads(next(each.all("pre")).text)
        for each in parse(text).all("details")
        if next(each.all("pre"), None) is not None
    }


def test_an_attempt_says_its_error_in_the_words_of_the_command(page: TestClient, found: Stack) -> None:
    fill(found, "ConnectTimeout")
    text = page.get("/delivery?id=msg_full_1").text
    assert "ConnectTimeout" in text
    assert "(ConnectTimeout)" in text
    assert "HTTP 204" in text


def test_the_health_of_a_subscription_is_counted_by_day(page: TestClient, found: Stack) -> None:
    fill(found, "odd")
    rows = [
        [each.text for each in row.all("td")]
        for row in parse(page.get("/subscription/health?id=sub-1").text).all("tr")
    ]
    assert rows == [[], *[["0"] * 4] * 4, ["1", "0", "1", "0"]]


def test_a_subscription_that_is_not_changed_keeps_what_was_typed(page: TestClient, found: Stack) -> None:
    typed = {"url": "ftp://x.example/", "description": "mine", "providers": "a, b", "format": "provider"}
    answer = page.post("/subscription/change?id=sub-1", data=typed)
    assert answer.status_code == 422
    assert 'value="ftp://x.example/"' in answer.text
    assert 'value="mine"' in answer.text
    assert 'value="a, b"' in answer.text
    assert "<option selected>provider" in answer.text
    assert 'value="soon"' in page.post("/subscription/recover?id=sub-1", data={"since": "soon"}).text
    assert 'value="sub-"' in page.post("/subscription/delete?id=sub-1", data={"name": "sub-"}).text


def test_a_filter_is_set_shown_and_tried_and_a_bad_one_keeps_what_was_typed(
    page: TestClient, found: Stack
) -> None:
    fields = {"url": "https://x.example/hook", "format": "standard"}
    bad = page.post("/subscription/change?id=sub-1", data=fields | {"filter": '{"a": 1}'})
    assert bad.status_code == 422
    assert "filter.a: must be a list" in bad.text
    assert "{&#34;a&#34;: 1}" in bad.text
    good = page.post(
        "/subscription/change?id=sub-1", data=fields | {"filter": '{"metadata": {"order": ["8"]}}'}
    )
    assert good.status_code == 303
    assert "{&#34;metadata&#34;: {&#34;order&#34;: [&#34;8&#34;]}}" in page.get("/subscription?id=sub-1").text
    listed(
        "t9",
        status="completed",
        event_id="evt_9",
        submitted_at_ms=1,
        detected_at_ms=1,
        metadata={"order": "7"},
    )
    tried = page.get("/subscription?id=sub-1&task=t9").text
    assert "It does not match" in tried
    assert "filter.metadata.order" in tried
    assert "there is no task" in page.get("/subscription?id=sub-1&task=none").text
    assert page.post("/subscription/change?id=sub-1", data=fields | {"filter": ""}).status_code == 303
    assert "It matches" in page.get("/subscription?id=sub-1&task=t9&provider=suno").text


def test_a_test_shows_what_the_receiver_answered(
    page: TestClient, found: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answered(_: object, delivery: Delivery, wait_s: float) -> Delivery:
        attempt = Attempt(run=1, attempt=1, at_ms=1, duration_ms=12, status_code=500, excerpt="<b>no</b>")
        return delivery.model_copy(update={"attempts": (attempt,)})

    monkeypatch.setattr(subscriptions, "await_attempt", answered)
    text = page.post("/subscription/test?id=sub-1").text
    assert "HTTP 500 after 12 ms" in text
    assert "&lt;b&gt;no" in text
    monkeypatch.setattr(subscriptions, "await_attempt", lambda _, delivery, __: delivery)
    assert "No attempt within 10 s" in page.post("/subscription/test?id=sub-1").text


def test_an_endpoint_is_checked_when_it_is_subscribed_changed_and_enabled(
    page: TestClient, found: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_checks(monkeypatch, 404)
    made = page.post("/subscriptions/new", data={"url": "https://y.example/", "verify": "yes"}).text
    assert "The check of the endpoint failed: it answered 404; there is nothing at this path" in made
    assert "whsec_" in made
    name = next(each["subscription_id"] for each in items("SubscriptionsTable") if "y.example" in each["url"])
    text = page.post(f"/subscription/enable?id={name}", data={"verify": "yes"}).text
    assert "failed: it answered 404" in text
    assert "Check it and enable" in text
    changed = page.post(
        f"/subscription/change?id={name}",
        data={"url": "https://z.example/", "format": "standard", "verify": "yes"},
    ).text
    assert "failed: it answered 404" in changed
    assert 'value="https://z.example/"' in changed
    assert subscriptions.get_subscription(found, name).item["url"] == "https://y.example/"
    answer_checks(monkeypatch, 204)
    text = page.post(f"/subscription/enable?id={name}", data={"verify": "yes"}).text
    assert "The check of the endpoint passed" in text
    assert subscriptions.get_subscription(found, name).state == "enabled"


def test_what_a_subscription_missed_is_sent_and_counted(page: TestClient, found: Stack) -> None:
    fill(found, "odd")
    text = page.post("/subscription/recover?id=sub-1", data={"since": "1d"}).text
    assert "1 sent again, " in text
    delivery = found.deliveries.get("msg_full_1")
    assert delivery is not None
    assert delivery.run == 2


def test_a_replay_is_counted_first_narrowed_and_keeps_what_was_typed(page: TestClient, found: Stack) -> None:
    fill(found, "odd")
    typed: dict[str, Any] = {"since": "1d", "until": "1s", "matching": '{"metadata": {"no": ["x"]}}'}
    text = page.post("/subscription/recover?id=sub-1", data=typed | {"missing": "yes", "count": "yes"}).text
    assert "0 would be sent again, 0 would be made" in text
    assert 'value="1s"' in text
    assert "&#34;no&#34;" in text
    text = page.post("/subscription/recover?id=sub-1", data=typed | {"matching": "{"}).text
    assert 'role="alert"' in text
    assert 'name="until" value="1s"' in text
    assert "0 sent again" in page.post("/subscription/recover?id=sub-1", data=typed).text


@pytest.mark.parametrize(
    ("narrowed", "sent"),
    [
        ({"of_events": ["task.completed"]}, 1),
        ({"of_events": ["task.failed", "task.archived"]}, 0),
        ({"of_providers": "newapi, suno"}, 1),
        ({"of_providers": "newapi, musicmint"}, 0),
    ],
)
def test_a_replay_is_narrowed_to_events_and_to_several_providers(
    page: TestClient, found: Stack, narrowed: dict[str, Any], sent: int
) -> None:
    fill(found, "odd")
    text = page.post("/subscription/recover?id=sub-1", data={"since": "1d", "count": "yes"} | narrowed).text
    assert f"{sent} would be sent again" in text
    for each in narrowed.get("of_events", ()):
        assert f'name="of_events" value="{each}" checked' in text
    if "of_providers" in narrowed:
        assert f'name="of_providers" value="{narrowed["of_providers"]}"' in text


def test_a_replay_of_an_event_that_there_is_not_is_refused(page: TestClient) -> None:
    answer = page.post("/subscription/recover?id=sub-1", data={"since": "1d", "of_events": "task.exploded"})
    assert answer.status_code == 422
    assert "events: must be among" in answer.text


def test_a_provider_that_is_not_set_keeps_what_was_typed_but_for_the_key(page: TestClient) -> None:
    typed = {"name": "new", "kind": "suno", "base_url": "nonsense", "api_key": "sk-secret-secret-1"}
    answer = page.post("/providers/set", data=typed | {"max_concurrency": "7", "requests_per_second": "2"})
    assert answer.status_code == 422
    for kept in ("new", "nonsense", "7", "2"):
        assert f'value="{kept}"' in answer.text
    assert "sk-secret" not in answer.text
    assert (
        "requests_per_second: is no number"
        in page.post("/providers/set", data=typed | {"requests_per_second": "many"}).text
    )


def test_a_provider_is_added_by_a_bundled_recipe_and_shown_with_it(page: TestClient) -> None:
    form = parse(page.get("/providers").text)
    (select,) = (each for each in form.all("select") if each.attributes.get("name") == "recipe")
    assert {"replicate", "fal"} <= {each.attributes.get("value") for each in select.all("option")}
    typed = {"name": "pictures", "recipe": "replicate", "api_key": "sk-secret-secret-1"}
    assert page.post("/providers/set", data=typed).status_code == 303
    assert "described (replicate) at https://api.replicate.com" in page.get("/providers").text
    refused = page.post("/providers/set", data=typed | {"kind": "suno"})
    assert refused.status_code == 422
    assert "recipe: is for the kind described" in refused.text


def test_a_check_says_in_words_what_came_back(page: TestClient) -> None:
    text = page.post("/providers/check", data={"name": "suno", "task_id": "mine"}).text
    assert "not known: there was no usable response" in text
    assert "no usable response:" in text
    assert 'value="mine"' in text
    assert page.post("/providers/check", data={"name": "none"}).status_code == 422


def test_the_callback_url_is_in_no_page_until_it_is_asked_for(page: TestClient, found: Stack) -> None:
    url = callback_url(found, "suno")
    assert url not in page.get("/providers").text
    assert url in page.post("/providers/callback-url", data={"name": "suno"}).text
    answer = client_of(found, read_only=True).post("/providers/callback-url", data={"name": "suno"})
    assert answer.status_code == 403


def test_more_than_a_page_of_deliveries_is_not_sent_again_at_once(page: TestClient) -> None:
    answer = page.post("/deliveries/resend", data={"id": [f"m-{number}" for number in range(201)]})
    assert answer.status_code == 422
    assert "choose at most 200" in answer.text


def test_the_work_of_a_dead_letter_is_done_once_more(page: TestClient, found: Stack) -> None:
    found.client("sqs").send_message(QueueUrl=found.output("DeliveriesDeadLetters"), MessageBody="odd")
    answer = page.post("/dead-letters/redrive", data={"queue": "deliveries"})
    assert "1 message back on the queue deliveries" in answer.text
    assert page.post("/dead-letters/redrive", data={"queue": "none"}).status_code == 422
