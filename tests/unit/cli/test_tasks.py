import json
from typing import Any

from tests.support.aws import client, put

from tunehook.aws.deliveries import DeliveriesTable
from tunehook.deliveries import Attempt, DeliveryStatus, message_for, new_delivery
from tunehook.tasks import Format
from tunehook.times import from_ms, iso

NOW_MS = 1_800_000_000_000


def put_task(task_id: str, provider: str = "suno", **fields: Any) -> None:
    put("TasksTable", {"task_id": task_id, "provider": provider} | fields)


def rows(output: str) -> list[list[str]]:
    return [line.split() for line in output.splitlines()[1:]]


def test_the_list_begins_with_the_latest(tunehook: Any, stack: None) -> None:
    put_task("older", status="completed", submitted_at_ms=NOW_MS, detected_at_ms=NOW_MS + 81_000)
    put_task("later", status="completed", submitted_at_ms=NOW_MS + 1, detected_at_ms=NOW_MS + 81_001)
    put_task("unseen")
    listed = rows(tunehook("tasks", "list").stdout)
    assert [row[0] for row in listed] == ["unseen", "later", "older"]
    assert listed[0][2] == "new"
    assert "1 min 21 s" in " ".join(listed[1])


def test_the_list_says_why_a_task_failed_and_what_a_pending_one_waits_for(tunehook: Any, stack: None) -> None:
    put_task("a", status="failed", submitted_at_ms=3, failure={"code": "timed_out", "reason": "too late"})
    put_task("b", status="pending", submitted_at_ms=2, last_error="the provider x is not configured")
    put_task("c", status="pending", submitted_at_ms=1, phase="processing")
    out = tunehook("tasks", "list").stdout.splitlines()[1:]
    assert out[0].rstrip().endswith("timed_out: too late")
    assert out[1].rstrip().endswith("the provider x is not configured")
    assert out[2].rstrip().endswith("processing")


def test_a_task_past_its_deadline_says_that_it_waits_for_an_answer_and_why(
    tunehook: Any, stack: None
) -> None:
    refused = "the provider refuses the key: HTTP 401: Invalid token"
    put_task("a", status="pending", submitted_at_ms=2, deadline_ms=1, last_error=refused)
    put_task("b", status="pending", submitted_at_ms=1, deadline_ms=1, phase="processing")
    out = tunehook("tasks", "list").stdout.splitlines()[1:]
    assert out[0].rstrip().endswith(f"past its deadline; could not be asked: {refused}")
    assert out[1].rstrip().endswith("past its deadline; waits for its question")
    assert "past its deadline; could not be asked" in tunehook("tasks", "show", "a").stdout


def test_the_list_shortens_what_a_provider_says_and_show_does_not(tunehook: Any, stack: None) -> None:
    put_task("a", status="pending", submitted_at_ms=1, last_error="x" * 400)
    (row,) = tunehook("tasks", "list", env={"COLUMNS": "900"}).stdout.splitlines()[1:]
    assert row.split()[-1] == "x" * 159 + "…"
    assert "x" * 400 in tunehook("tasks", "show", "a", env={"COLUMNS": "900"}).stdout


def test_a_task_that_waits_for_a_file_of_a_clip_says_so(tunehook: Any, stack: None) -> None:
    put_task("a", status="pending", submitted_at_ms=1, phase="processing", streaming_since_ms=1)
    assert "completed, but a clip still streams" in tunehook("tasks", "list").stdout
    assert "completed, but a clip still streams" in tunehook("tasks", "show", "a").stdout


def test_the_list_can_be_narrowed(tunehook: Any, stack: None) -> None:
    put_task("a", status="failed", submitted_at_ms=1)
    put_task("b", status="pending", submitted_at_ms=2)
    put_task("c", "qhaigc", status="pending", submitted_at_ms=3)
    narrowed = tunehook("tasks", "list", "--status", "pending", "--provider", "suno", "--json")
    assert [item["task_id"] for item in json.loads(narrowed.stdout)] == ["b"]


def test_a_shortened_list_says_so(tunehook: Any, stack: None) -> None:
    for number in range(3):
        put_task(f"task-{number}", status="pending", submitted_at_ms=number)
    result = tunehook("tasks", "list", "--limit", "2")
    assert [row[0] for row in rows(result.stdout)] == ["task-2", "task-1"]
    assert result.stderr == "The latest 2 of 3 tasks; --limit shows more.\n"


def test_an_empty_list_is_an_empty_json_list(tunehook: Any, stack: None) -> None:
    assert json.loads(tunehook("tasks", "list", "--json").stdout) == []


def test_control_characters_do_not_reach_the_terminal(tunehook: Any, stack: None) -> None:
    put_task("\x1b[2J", status="pending", last_error="\x07[bold]x")
    out = tunehook("tasks", "list").stdout
    assert "\x1b" not in out
    assert "\\x1b[2J" in out
    assert "\\x07[bold]x" in out


def put_ended_task() -> None:
    put_task(
        "task-1",
        status="completed",
        submitted_at_ms=NOW_MS,
        detected_at_ms=NOW_MS + 20_000,
        archived_at_ms=NOW_MS + 21_000,
        event_id="evt_1",
        metadata={"order": 7},
        clips=[{"clip_id": "c1", "title": "我的曲目"}],
        assets=[
            {
                "clip_id": "c1",
                "type": "audio",
                "status": "archived",
                "key": "results/suno/task-1/c1/audio.mp3",
                "bytes": 3_200_000,
                "content_type": "audio/mpeg",
                "source_url": "https://cdn.example/a.mp3",
            },
            {
                "clip_id": "c1",
                "type": "cover",
                "status": "unavailable",
                "source_url": "https://cdn.example/a.jpg",
                "reason": "HTTP 403",
            },
        ],
    )
    table = DeliveriesTable(client("dynamodb"), "DeliveriesTable")
    delivery = new_delivery(
        event_id="evt_1",
        subscription_id="sub_1",
        task_id="task-1",
        provider="suno",
        type="task.completed",
        event_at_ms=NOW_MS,
        format=Format.STANDARD,
        payload="{}",
        now_ms=NOW_MS + 22_000,
    )
    table.create(delivery)
    table.create(
        delivery.model_copy(update={"provider": "qhaigc", "delivery_id": "msg_2", "subscription_id": "sub_2"})
    )
    attempt = Attempt(run=1, attempt=1, at_ms=NOW_MS, duration_ms=5, status_code=503, excerpt="busy")
    table.record(
        message_for(delivery), status=DeliveryStatus.PENDING, attempt=attempt, next_attempt_at_ms=NOW_MS + 99
    )


def test_show_tells_of_the_files_and_the_webhooks_of_a_task(tunehook: Any, stack: None) -> None:
    put_ended_task()
    out = tunehook("tasks", "show", "task-1").stdout
    assert "order=7" in out
    assert "Files in s3://results/results/suno/task-1/c1/" in out
    assert rows(out[out.index("Files in") :])[1] == [
        "我的曲目",
        "audio",
        "3.2",
        "MB",
        "audio/mpeg",
        "audio.mp3",
    ]
    assert "not kept: HTTP 403" in out
    assert "sub_1" in out
    assert "HTTP 503; next attempt" in out
    assert "sub_2" not in out


def put_lyrics(text: str) -> None:
    put_task(
        "task-1",
        status="completed",
        submitted_at_ms=NOW_MS,
        archived_at_ms=NOW_MS,
        clips=[{"clip_id": "text-1", "title": "Rain", "text": text}],
        assets=[
            {
                "clip_id": "text-1",
                "type": "lyrics",
                "status": "archived",
                "key": "results/suno/task-1/text-1/lyrics.txt",
                "bytes": 6,
                "content_type": "text/plain; charset=utf-8",
            }
        ],
    )


def test_a_file_that_may_still_come_is_told_from_one_that_does_not(tunehook: Any, stack: None) -> None:
    put_task(
        "a",
        status="completed",
        submitted_at_ms=1,
        detected_at_ms=2,
        assets=[
            {"clip_id": "c1", "type": "audio", "status": "unavailable", "reason": "HTTP 410"},
            {"clip_id": "c1", "type": "video", "status": "pending", "reason": "HTTP 404"},
            {"clip_id": "c1", "type": "cover", "status": "pending"},
        ],
    )
    out = tunehook("tasks", "show", "a").stdout
    assert "2 of 3 files may still come (cover, video)" in out
    assert "may still come: HTTP 404" in out
    assert "not kept: HTTP 410" in out


def test_show_has_a_text_that_is_a_result_and_its_file(tunehook: Any, stack: None) -> None:
    put_lyrics("[Verse]\nIt rains on 夏\x1b[2J")
    out = tunehook("tasks", "show", "task-1").stdout
    assert "\nRain\n[Verse]\nIt rains on 夏\\x1b[2J\n" in out
    assert "lyrics" in out
    assert "lyrics.txt" in out


def test_show_has_the_beginning_of_a_long_text(tunehook: Any, stack: None) -> None:
    put_lyrics("\n".join(f"line {number}" for number in range(1, 100)))
    out = tunehook("tasks", "show", "task-1").stdout
    assert "line 8\n… and " in out
    assert "line 9\n" not in out
    put_lyrics("x" * 10_000)
    assert f"… and {10_000 - 600} characters" in tunehook("tasks", "show", "task-1").stdout


def test_show_takes_clips_that_a_user_has_made_up(tunehook: Any, stack: None) -> None:
    put_task("task-1", status="completed", clips=["x", {"clip_id": "c", "text": 7}])
    assert tunehook("tasks", "show", "task-1").exit_code == 0


def test_show_says_which_file_is_of_no_known_kind(tunehook: Any, stack: None) -> None:
    asset = {
        "clip_id": "c1",
        "type": "audio",
        "status": "archived",
        "key": "results/suno/task-1/c1/audio.bin",
        "bytes": 6,
        "content_type": "audio/x-new",
        "remark": "unrecognised",
    }
    put_task("task-1", status="completed", submitted_at_ms=NOW_MS, clips=[], assets=[asset])
    out = tunehook("tasks", "show", "task-1").stdout
    assert "audio/x-new, unrecognised" in out
    assert "audio.bin" in out


def test_show_as_json_is_every_field_with_its_deliveries(tunehook: Any, stack: None) -> None:
    put_ended_task()
    shown = json.loads(tunehook("tasks", "show", "task-1", "--json").stdout)
    assert shown["metadata"] == {"order": 7}
    assert (shown["submitted_at"], shown["deadline"]) == (iso(from_ms(NOW_MS)), None)
    assert (shown["archive"], shown["notify_format"], shown["unreadable"]) == ("partial", "standard", [])
    assert [each["title"] for each in shown["assets"]] == ["我的曲目"] * 2
    (listed,) = json.loads(tunehook("tasks", "list", "--json").stdout)
    assert listed.keys() == shown.keys()
    not_read = dict.fromkeys(["archive", "clips", "assets", "provider_object", "deliveries"])
    assert listed == shown | not_read
    assert [each["subscription_id"] for each in shown["deliveries"]] == ["sub_1"]
    assert shown["deliveries"][0]["attempts"][0]["status_code"] == 503


def test_show_as_json_takes_what_a_user_put_there(tunehook: Any, stack: None) -> None:
    put_task("task-1", metadata={"raw": b"\x00", "set": {"b", "a"}})
    shown = json.loads(tunehook("tasks", "show", "task-1", "--json").stdout)
    assert shown["metadata"] == {"raw": "AA==", "set": ["a", "b"]}


def test_show_asks_for_the_provider_where_several_have_the_task(tunehook: Any, stack: None) -> None:
    put_task("task-1", "suno")
    put_task("task-1", "qhaigc")
    result = tunehook("tasks", "show", "task-1")
    assert result.stderr == (
        "tunehook: --provider: say which one, as several have a task of this id: qhaigc, suno\n"
    )
    assert tunehook("tasks", "show", "task-1", "--provider", "suno").exit_code == 0


def test_a_task_that_is_not_there_is_an_error(tunehook: Any, stack: None) -> None:
    put_task("task-1", "suno")
    for args, of in ((("nope",), ""), (("task-1", "--provider", "x"), " of x")):
        result = tunehook("tasks", "show", *args)
        assert (result.exit_code, result.stderr) == (
            2,
            f"tunehook: TASK_ID: there is no task {args[0]}{of}\n",
        )
