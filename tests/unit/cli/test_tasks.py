import json
from typing import Any

import pytest
from tests.support.aws import client, items, put

from tunehook.aws.deliveries import DeliveriesTable
from tunehook.deliveries import Attempt, DeliveryStatus, message_for, new_delivery
from tunehook.tasks import Format
from tunehook.times import from_ms, iso, now_ms

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
    assert out[0].rstrip().endswith(f"past its deadline; cannot be polled: {refused}")
    assert out[1].rstrip().endswith("past its deadline; waiting to be polled")
    assert "past its deadline; cannot be polled" in tunehook("tasks", "show", "a").stdout


def test_the_list_shortens_what_a_provider_says_and_show_does_not(tunehook: Any, stack: None) -> None:
    put_task("a", status="pending", submitted_at_ms=1, last_error="x" * 400)
    (row,) = tunehook("tasks", "list", env={"COLUMNS": "900"}).stdout.splitlines()[1:]
    assert row.split()[-1] == "x" * 159 + "…"
    assert "x" * 400 in tunehook("tasks", "show", "a", env={"COLUMNS": "900"}).stdout


def test_a_task_that_waits_for_a_file_of_a_clip_says_so(tunehook: Any, stack: None) -> None:
    put_task("a", status="pending", submitted_at_ms=1, phase="processing", streaming_since_ms=1)
    assert "completed, but a clip is still streaming" in tunehook("tasks", "list").stdout
    assert "completed, but a clip is still streaming" in tunehook("tasks", "show", "a").stdout


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
    assert "unavailable: HTTP 403" in out
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
    assert "2 of 3 files pending (cover, video)" in out
    assert "pending: HTTP 404" in out
    assert "unavailable: HTTP 410" in out


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
        "tunehook: --provider: name the provider, because several have a task with this id: qhaigc, suno\n"
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


PENDING = {"status": "pending", "queue": "work#0", "since_ms": 1, "submitted_at_ms": 1, "phase": "queued"}


@pytest.mark.parametrize("fields", [PENDING, {}], ids=["pending", "new"])
def test_a_task_is_cancelled_and_its_item_stays(tunehook: Any, stack: None, fields: dict[str, Any]) -> None:
    put_task("task-1", **fields)
    result = tunehook("tasks", "cancel", "task-1")
    assert (result.exit_code, result.output) == (0, "task-1 of suno is cancelled.\n")
    (item,) = items("TasksTable")
    assert item["status"] == "cancelled"
    assert "queue" not in item


def test_cancelling_again_says_so_and_is_no_error(tunehook: Any, stack: None) -> None:
    put_task("task-1", **PENDING)
    tunehook("tasks", "cancel", "task-1")
    before = items("TasksTable")
    result = tunehook("tasks", "cancel", "task-1")
    assert (result.exit_code, result.output) == (0, "task-1 of suno was already cancelled.\n")
    assert items("TasksTable") == before


@pytest.mark.parametrize("status", ["completed", "failed", "rejected"])
def test_an_ended_task_cannot_be_cancelled(tunehook: Any, stack: None, status: str) -> None:
    put_task("task-1", status=status, queue="work#0", since_ms=1)
    result = tunehook("tasks", "cancel", "task-1", "--yes")
    assert (result.exit_code, result.stdout, result.stderr) == (
        2,
        "",
        f"tunehook: TASK_ID: task-1 has ended (its status is {status}); only a pending task can be cancelled\n",
    )
    assert items("TasksTable")[0]["status"] == status


def test_of_several_tasks_of_an_id_the_named_one_is_cancelled(tunehook: Any, stack: None) -> None:
    put_task("task-1", "suno", **PENDING)
    put_task("task-1", "qhaigc", **PENDING)
    result = tunehook("tasks", "cancel", "task-1")
    assert (result.exit_code, result.stderr.startswith("tunehook: --provider: name the provider")) == (
        2,
        True,
    )
    assert tunehook("tasks", "cancel", "task-1", "--provider", "suno").exit_code == 0
    assert {item["provider"]: item["status"] for item in items("TasksTable")} == {
        "suno": "cancelled",
        "qhaigc": "pending",
    }


def test_a_task_that_is_not_there_cannot_be_cancelled(tunehook: Any, stack: None) -> None:
    result = tunehook("tasks", "cancel", "nope")
    assert (result.exit_code, result.stderr) == (2, "tunehook: TASK_ID: there is no task nope\n")
    assert items("TasksTable") == []


def test_cancelling_as_json_is_the_task(tunehook: Any, stack: None) -> None:
    put_task("task-1", **PENDING)
    result = tunehook("tasks", "cancel", "task-1", "--json")
    shown = json.loads(result.stdout)
    assert (shown["task_id"], shown["provider"], shown["status"]) == ("task-1", "suno", "cancelled")


@pytest.mark.parametrize(
    ("answer", "options"), [("y", ()), ("n", ()), ("", ("--yes",))], ids=["yes", "no", "--yes"]
)
def test_on_a_terminal_it_asks_first(
    tunehook: Any, stack: None, monkeypatch: pytest.MonkeyPatch, answer: str, options: tuple[str, ...]
) -> None:
    put_task("task-1", **PENDING)
    monkeypatch.setattr("tunehook_cli.asking.is_terminal", lambda: True)
    result = tunehook("tasks", "cancel", "task-1", *options, input=f"{answer}\n")
    cancelled = answer != "n"
    assert items("TasksTable")[0]["status"] == ("cancelled" if cancelled else "pending")
    assert result.exit_code == (0 if cancelled else 1)
    assert ("Cancel task-1 of suno?" in result.stderr) is (not options)


def test_a_cancelled_task_is_listed_and_shown_as_one(tunehook: Any, stack: None) -> None:
    put_task("task-1", **PENDING)
    put_task("task-2", **PENDING)
    tunehook("tasks", "cancel", "task-1")
    listed = tunehook("tasks", "list", "--status", "cancelled")
    assert [row[:3] for row in rows(listed.stdout)] == [["task-1", "suno", "cancelled"]]
    shown = tunehook("tasks", "show", "task-1").stdout
    assert "being copied" not in shown
    assert "noticed" not in shown


def test_a_cancelled_task_has_nothing_to_archive(tunehook: Any, stack: None) -> None:
    put_task("task-1", status="cancelled")
    result = tunehook("archive", "task-1")
    assert (result.exit_code, result.stderr) == (
        2,
        "tunehook: TASK_ID: task-1 was cancelled, so it has no files\n",
    )


def test_the_list_can_be_narrowed_to_what_was_submitted_lately(tunehook: Any, stack: None) -> None:
    put_task("old", status="pending", submitted_at_ms=now_ms() - 7_300_000)
    put_task("late", status="pending", submitted_at_ms=now_ms() - 7_100_000)
    put_task("new")
    listed = json.loads(tunehook("tasks", "list", "--since", "2h", "--json").stdout)
    assert [item["task_id"] for item in listed] == ["new", "late"]
    assert tunehook("tasks", "list", "--since", "2").stderr.startswith("tunehook: --since: must be")


def test_the_list_can_be_narrowed_by_metadata(tunehook: Any, stack: None) -> None:
    put_task("a", metadata={"order": 7, "who": "我"})
    put_task("b", metadata={"order": "7", "gift": True})
    put_task("c", metadata={"order": 70})
    put_task("d", metadata="order=7")
    put_task("e")

    def listed(*wanted: str) -> list[str]:
        options = [part for each in wanted for part in ("--metadata", each)]
        found = json.loads(tunehook("tasks", "list", *options, "--json").stdout)
        return sorted(item["task_id"] for item in found)

    assert listed("order=7") == ["a", "b"]
    assert listed("order=7", "who=我") == ["a"]
    assert listed("gift=true") == ["b"]
    assert listed("order=") == []
    assert tunehook("tasks", "list", "--metadata", "x").stderr == "tunehook: --metadata: must be KEY=VALUE\n"
    assert tunehook("tasks", "list", "--metadata", "x=1").stderr == "No tasks match.\n"
