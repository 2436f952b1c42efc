"""Users write items by hand: whatever an attribute holds, every command that shows the task goes on."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.aws import REGION, client, put

from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.aws.tasks import TasksTable
from tunehook.http.guard import NetworkPolicy
from tunehook.operations import status
from tunehook.operations.documents import ClipDocument, TaskDocument, subscription_document, task_document
from tunehook.operations.subscriptions import SubscriptionView
from tunehook.operations.task_view import TaskView
from tunehook.secret_versions import FIRST
from tunehook.tasks import TaskKey
from tunehook_cli import output
from tunehook_cli.commands import subscriptions, tasks, watch
from tunehook_cli.rendering import tasks as rendering
from tunehook_cli.watching import TaskState

NOW_MS = 1_800_000_000_000
KEY = {"task_id": "task-1", "provider": "suno"}
ENDED = KEY | {
    "status": "completed",
    "submitted_at_ms": NOW_MS,
    "finished_at_ms": NOW_MS + 1,
    "detected_at_ms": NOW_MS + 2,
    "archived_at_ms": NOW_MS + 3,
    "event_id": "evt_1",
    "notify_hook": "https://x.example/hook",
    "notify_format": "standard",
    "metadata": {"order": 1},
    "clips": [{"clip_id": "c1", "title": "夏", "text": "la la"}],
    "assets": [
        {
            "clip_id": "c1",
            "type": "audio",
            "status": "archived",
            "key": "results/suno/task-1/c1/audio.mp3",
            "bytes": 7,
            "content_type": "audio/mpeg",
            "remark": "unrecognised",
        },
        {"clip_id": "c1", "type": "cover", "status": "unavailable", "reason": "HTTP 403"},
    ],
}
FAILED = KEY | {
    "status": "failed",
    "failure": {"code": "timed_out", "reason": "too late"},
    "event_id": "evt_1",
}
PENDING = KEY | {
    "status": "pending",
    "phase": "processing",
    "queue": "work#0",
    "since_ms": NOW_MS,
    "deadline_ms": NOW_MS,
    "last_error": "no",
    "streaming_since_ms": NOW_MS,
}
MANIFEST = {
    "assets": [
        {"clip_id": "c1", "type": "cover", "status": "unavailable", "reason": "HTTP 403"},
    ]
}
WRONG = [
    None,
    True,
    "",
    "words",
    7,
    -1,
    1.5,
    10**17,
    10**30,
    [],
    ["words", 7, None],
    [{}, {"clip_id": ["a"], "title": 7, "text": {}, "key": 1, "bytes": "x", "status": []}],
    {},
    {"a": {"b": [1]}},
    {"code": ["x"], "reason": {}},
    {"x", "y"},
    b"\x00",
]


def mutants(item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the item with each attribute left out, and with anything in its place; and the parts of its lists too."""
    for name in item.keys() - KEY.keys():
        yield f"no {name}", {key: value for key, value in item.items() if key != name}
        for wrong in WRONG:
            yield f"{name}={wrong!r}", item | {name: wrong}
        if isinstance(item[name], list):
            for part in item[name][0]:
                for wrong in WRONG[::3]:
                    yield (
                        f"{name}.{part}={wrong!r}",
                        item | {name: [item[name][0] | {part: wrong}, *item[name][1:]]},
                    )


ALL = [mutant for item in (ENDED, FAILED, PENDING) for mutant in mutants(item)]


def test_whatever_one_attribute_holds_there_are_words_for_its_task(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for what, item in ALL:
        try:
            task = TaskView.of(item)
            tasks._row(task, NOW_MS)
            for _, value in tasks._fields(task):
                output.cell(value)
            list(rendering.texts(task))
            tasks._print_files(output.Output(as_json=False), task, "bucket")
            state = TaskState(TaskKey("task-1", "suno"), task)
            watch._row(state, NOW_MS)
            json.dumps(watch._document(state))
            assert_every_field(json.dumps(task_document(task).to_json()))
        except Exception as error:
            raise AssertionError(what) from error
        capsys.readouterr()


def test_what_cannot_be_shown_is_named() -> None:
    task = TaskView.of(
        ENDED | {"submitted_at_ms": "yesterday", "clips": [7], "assets": "none", "failure": "x"}
    )
    assert task.unreadable == ("submitted_at_ms", "failure", "clips", "assets")
    assert (
        TaskView.of(ENDED).unreadable == TaskView.of(PENDING).unreadable == TaskView.of(KEY).unreadable == ()
    )


def assert_every_field(text: str) -> None:
    told = json.loads(text)
    assert told.keys() == TaskDocument.model_fields.keys()
    for clip in told["clips"] or []:
        assert clip.keys() == ClipDocument.model_fields.keys()


def test_what_a_document_cannot_tell_is_null_and_named() -> None:
    odd = {"clips": [7, {"clip_id": "c", "title": 7}], "submitted_at_ms": "now", "detected_at_ms": 10**30}
    told = task_document(TaskView.of(ENDED | odd)).to_json()
    assert (told["submitted_at"], told["detected_at"]) == (None, None)
    assert [each["title"] for each in told["clips"]] == [None]
    assert told["unreadable"] == ["submitted_at_ms", "detected_at_ms", "clips", "clips.title"]
    # What is made of other attributes cannot be written by hand.
    by_hand = {"deliveries": [1], "archive": "none", "unreadable": ["x"], "signing_secret": "s"}
    told = task_document(TaskView.of(KEY | by_hand)).to_json()
    assert (told["deliveries"], told["archive"], told["unreadable"]) == ([], None, [])


def test_a_number_that_is_written_as_a_text_is_none() -> None:
    task = TaskView.of(ENDED | {"submitted_at_ms": "1800000000000"})
    assert (task.submitted_at_ms, task.unreadable) == (None, ("submitted_at_ms",))


def interrupt(_: float) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def table(operated: None, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the Tasks table holds, whatever DynamoDB would make of it."""
    held: list[dict[str, Any]] = []
    monkeypatch.setattr(TasksTable, "of_id", lambda *_: list(held))
    monkeypatch.setattr(TasksTable, "get", lambda *_: held[0])
    monkeypatch.setattr(TasksTable, "scan", lambda *_: list(held))
    pages = [([], True), (held, True)]
    monkeypatch.setattr(status, "_first_pages", lambda *_, **scan: pages["IndexName" not in scan])
    monkeypatch.setattr("time.sleep", interrupt)
    s3 = client("s3")
    s3.create_bucket(Bucket="results", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(
        Bucket="results", Key="results/suno/task-1/manifest.json", Body=json.dumps(MANIFEST).encode()
    )
    put("SubscriptionsTable", {"subscription_id": "sub", "url": "https://x.example/"})
    return held


ALL_WRONG = [
    KEY | dict.fromkeys(sorted(ENDED.keys() | FAILED.keys() | PENDING.keys()), wrong) | KEY for wrong in WRONG
]


def run(tunehook: Any, *args: str) -> None:
    result = tunehook(*args)
    assert result.exception is None or isinstance(result.exception, SystemExit), (args, result.exception)
    assert result.exit_code in (0, 1, 2, 130)
    if result.exit_code == 2:
        assert "has not ended" in result.stderr or "is not a valid time" in result.stderr
    elif "--json" in args:
        for document in [result.stdout] if args[0] != "watch" else result.stdout.splitlines():
            json.loads(document)


@pytest.mark.parametrize(
    "command",
    [("tasks", "list"), ("tasks", "list", "--status", "pending"), ("watch",), ("status",)],
    ids=" ".join,
)
def test_whatever_the_items_of_a_table_hold_it_is_listed(
    tunehook: Any, table: list[dict[str, Any]], command: tuple[str, ...]
) -> None:
    table[:] = [KEY, *ALL_WRONG]
    run(tunehook, *command)
    run(tunehook, *command, "--json")


@pytest.mark.parametrize(
    "command",
    [
        ("tasks", "show", "task-1"),
        ("watch", "task-1"),
        ("results", "task-1"),
        ("archive", "task-1", "--no-wait"),
    ],
    ids=" ".join,
)
def test_whatever_all_attributes_hold_the_task_is_shown(
    tunehook: Any, table: list[dict[str, Any]], command: tuple[str, ...]
) -> None:
    for number, item in enumerate(ALL_WRONG):
        table[:] = [item]
        run(tunehook, *command, *(["--json"] if number % 2 else []))


def test_the_list_is_sorted_whatever_says_when_a_task_was_put(tunehook: Any, stack: None) -> None:
    for number, submitted in enumerate([2, "yesterday", 1, None, 3.5]):
        put("TasksTable", {"task_id": f"task-{number}", "provider": "suno", "submitted_at_ms": submitted})
    listed = json.loads(tunehook("tasks", "list", "--json").stdout)
    assert [item["task_id"] for item in listed][2:] == ["task-4", "task-0", "task-2"]


def test_a_manifest_that_is_none_is_one_line(tunehook: Any, table: list[dict[str, Any]]) -> None:
    table[:] = [ENDED]
    for content in (b"[]", b"{}", b"\xff", b'{"assets": [1]}', b'{"assets": 1}'):
        client("s3").put_object(Bucket="results", Key="results/suno/task-1/manifest.json", Body=content)
        result = tunehook("results", "task-1")
        assert result.exit_code == 2
        assert "the manifest of task-1 cannot be read" in result.stderr


SUBSCRIPTION = {
    "subscription_id": "sub",
    "url": "https://x.example/",
    "events": ["task.completed"],
    "providers": ["suno"],
    "format": "standard",
    "headers": {"x-token": "t"},
    "enabled": False,
    "description": "for 夏",
    "secret_version": 2,
    "previous_secret_until_ms": NOW_MS,
    "failing_since_ms": NOW_MS,
    "failing_warned_ms": NOW_MS,
    "disabled_reason": "by hand",
}


def test_whatever_an_attribute_of_a_subscription_holds_it_is_shown(
    tunehook: Any, operated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [
        SUBSCRIPTION | {name: wrong} for name in SUBSCRIPTION.keys() - {"subscription_id"} for wrong in WRONG
    ]
    monkeypatch.setattr(SubscriptionsTable, "all", lambda _: iter(held))
    for command in (("subscriptions", "list"), ("subscriptions", "list", "--json"), ("status",)):
        result = tunehook(*command)
        assert result.exit_code == 0, (command, result.exception)
    policy = NetworkPolicy.PUBLIC
    for item in held:
        try:
            view = SubscriptionView.of(item, policy)
            for _, value in subscriptions._fields(view, FIRST):
                output.cell(value)
            json.dumps(subscription_document(view).to_json())
        except Exception as error:
            raise AssertionError(item) from error
