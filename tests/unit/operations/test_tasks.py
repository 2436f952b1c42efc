"""A task that was taken in from a callback gets what its user asks for; what is refused, and how that is said."""

import json
from typing import Any

import pytest
from tests.support.aws import client, put, received

from tunehook.errors import Conflict, InvalidInput, NotFound
from tunehook.operations.stack import Stack
from tunehook.operations.tasks import (
    add,
    adopt,
    cancel,
    check_provider,
    find_keys,
    get_task,
    has_metadata,
    list_tasks,
    submit,
    submit_all,
)
from tunehook.signatures import notify_hook_subscription_id
from tunehook.tasks import TaskKey

HOOK = "https://x.example/late"
WANTED: dict[str, Any] = {
    "task_id": "task-1",
    "provider": "suno",
    "notify_hook": HOOK,
    "metadata": {"order": 7},
}


def taken_in(**fields: Any) -> None:
    put("TasksTable", {"task_id": "task-1", "provider": "suno", "taken_in": True} | fields)


def requests(found: Stack) -> list[dict[str, Any]]:
    return received(found.output("FulfillmentQueue"))


def test_one_that_has_ended_has_its_hook_told(found: Stack) -> None:
    taken_in(status="completed", event_id="evt_1", detected_at_ms=1)
    adopted = adopt(found, WANTED)
    assert adopted is not None
    assert (adopted["status"], adopted["metadata"], adopted["notify_hook"]) == (
        "completed",
        {"order": 7},
        HOOK,
    )
    (asked,) = requests(found)
    assert asked == {
        "request": "deliver",
        "task_id": "task-1",
        "provider": "suno",
        "event_id": "evt_1",
        "subscription_id": notify_hook_subscription_id(HOOK),
        "events": None,
        "filter": None,
    }


@pytest.mark.parametrize("hook", [HOOK, None])
def test_while_it_is_pending_its_end_tells_the_hook(found: Stack, hook: str | None) -> None:
    taken_in(status="pending", since_ms=1, submitted_at_ms=1, deadline_ms=2)
    adopted = adopt(found, WANTED | {"notify_hook": hook})
    assert adopted is not None
    assert adopted.get("notify_hook") == hook
    assert adopted["deadline_ms"] > 3_600_000
    assert requests(found) == []


def test_one_that_its_user_has_put_is_left_alone(found: Stack) -> None:
    key = TaskKey("task-1", "suno")
    before = found.tasks.get(key)
    assert adopt(found, WANTED) is None
    assert found.tasks.get(key) == before
    assert requests(found) == []


def test_what_is_not_acceptable_changes_nothing(found: Stack) -> None:
    taken_in(status="pending", since_ms=1)
    with pytest.raises(InvalidInput) as caught:
        adopt(found, WANTED | {"timeout_s": 1})
    assert caught.value.field == "timeout_s"
    item = client("dynamodb").get_item(
        TableName="TasksTable", Key={"task_id": {"S": "task-1"}, "provider": {"S": "suno"}}
    )["Item"]
    assert item["taken_in"] == {"BOOL": True}


@pytest.mark.parametrize("times", [1, 2])
def test_putting_it_once_adopts_it(found: Stack, times: int) -> None:
    taken_in(status="completed", event_id="evt_1", detected_at_ms=1)
    for _ in range(times):
        addition = add(found, WANTED)
        assert not addition.is_new
        assert addition.task.metadata == {"order": 7}
        assert addition.task.event_id == "evt_1"
    assert len(requests(found)) == 1


def test_one_that_a_user_has_put_keeps_what_that_user_wants(found: Stack) -> None:
    addition = add(found, WANTED)
    assert not addition.is_new
    assert addition.task.notify_hook is None


@pytest.mark.parametrize(
    ("task_id", "shown"),
    [("b\n", "b\\n"), ("b" * 38 + "\n", "b" * 38 + "\\n"), ("b\n" * 20, "b\\n" * 13 + "b...")],
)
def test_of_many_tasks_the_one_whose_id_is_not_acceptable_is_named(
    found: Stack, task_id: str, shown: str
) -> None:
    wrong = {"task_id": task_id, "provider": "suno"}
    with pytest.raises(InvalidInput) as alone:
        submit_all(found, [wrong])
    assert not alone.value.reason.startswith("'")
    with pytest.raises(InvalidInput) as raised:
        submit_all(found, [{"task_id": "a", "provider": "suno"}, wrong])
    assert (raised.value.field, raised.value.reason) == ("task_id", f"'{shown}' {alone.value.reason}")
    assert found.tasks.of_id("a") == []


def configure(*names: str) -> None:
    entry = {"kind": "suno", "base_url": "https://x.example", "api_key": "sk-0123456789abcdef0123"}
    secret = json.dumps(dict.fromkeys(names, entry))
    client("secretsmanager").put_secret_value(SecretId="providers", SecretString=secret)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), "there is no provider sunu: none is configured"),
        (("piapi",), "there is no provider sunu. Configured: piapi"),
        (("Suno", "piapi"), "there is no provider sunu: did you mean Suno? Configured: Suno, piapi"),
        (
            tuple(f"gw-{number:02}" for number in range(20)),
            f"there is no provider sunu. Configured: {', '.join(f'gw-{n:02}' for n in range(20))}",
        ),
        (
            tuple(f"gw-{number:02}" for number in range(22)),
            f"there is no provider sunu. Configured: {', '.join(f'gw-{n:02}' for n in range(20))} and 2 more",
        ),
    ],
)
def test_a_provider_that_is_not_configured_is_refused_with_those_that_are(
    found: Stack, names: tuple[str, ...], words: str
) -> None:
    configure(*names)
    with pytest.raises(NotFound) as raised:
        check_provider(found, "sunu")
    assert (raised.value.field, raised.value.reason) == ("provider", words)


def test_a_task_that_is_not_there_has_no_key(found: Stack) -> None:
    for wanted, words in {("t",): "there is no task t", ("t", "suno"): "there is no task t of suno"}.items():
        for read in (find_keys, get_task, cancel):
            with pytest.raises(NotFound) as raised:
                read(found, *wanted)  # type: ignore[operator]
            assert raised.value.reason == words


def test_one_that_is_deleted_while_it_is_cancelled_is_not_there(
    found: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(found, {"task_id": "t", "provider": "suno"})
    items = found.tasks.of_id("t")
    found.tasks.table.delete({"task_id": "t", "provider": "suno"})
    monkeypatch.setattr(type(found.tasks), "of_id", lambda *_: items)
    with pytest.raises(NotFound, match="there is no task t of suno"):
        cancel(found, "t", "suno")


def test_one_that_has_ended_is_not_cancelled(found: Stack) -> None:
    with pytest.raises(Conflict, match=r"task-1 has ended \(its status is completed\)"):
        cancel(found, "task-1")
    submit(found, {"task_id": "t", "provider": "suno"})
    assert [cancel(found, "t").was_cancelled for _ in range(2)] == [False, True]


def test_where_several_providers_have_a_task_one_is_to_be_named(found: Stack) -> None:
    put("TasksTable", {"task_id": "task-1", "provider": "piapi"})
    with pytest.raises(InvalidInput, match="several have a task with this id: piapi, suno") as raised:
        get_task(found, "task-1")
    assert raised.value.field == "provider"
    assert get_task(found, "task-1", "piapi").status == "new"
    assert find_keys(found, "task-1") == [TaskKey("task-1", "piapi"), TaskKey("task-1", "suno")]
    assert find_keys(found, "task-1", "suno") == [TaskKey("task-1", "suno")]


def test_without_an_id_the_keys_are_those_of_pending_tasks(found: Stack) -> None:
    for name, provider in (("b", "suno"), ("a", "suno"), ("c", "piapi")):
        put("TasksTable", {"task_id": name, "provider": provider})
    assert find_keys(found) == [TaskKey("c", "piapi"), TaskKey("a", "suno"), TaskKey("b", "suno")]
    assert find_keys(found, provider="piapi") == [TaskKey("c", "piapi")]


def test_a_listing_has_what_is_asked_for_latest_first(found: Stack) -> None:
    for number in range(3):
        item = {"task_id": f"t-{number}", "provider": "piapi", "status": "pending"}
        put("TasksTable", item | {"submitted_at_ms": number, "metadata": {"order": number}})
    put("TasksTable", {"task_id": "new", "provider": "piapi"})

    def ids(**wanted: Any) -> list[str]:
        return [task.task_id for task in list_tasks(found, provider="piapi", **wanted).tasks]

    assert ids() == ["new", "t-2", "t-1", "t-0"]
    assert ids(since_ms=1) == ["new", "t-2", "t-1"]
    assert ids(status="pending") == ["t-2", "t-1", "t-0"]
    assert ids(metadata={"order": "1"}) == ["t-1"]
    page = list_tasks(found, provider="piapi", limit=1)
    assert ([task.task_id for task in page.tasks], page.total) == (["new"], 4)


@pytest.mark.parametrize(
    ("metadata", "wanted", "has"),
    [
        ({"order": 7}, {"order": "7"}, True),
        ({"order": "7"}, {"order": "7"}, True),
        ({"song": {"title": "雨"}}, {"song": '{"title": "雨"}'}, True),
        ({"order": 7, "name": "x"}, {"order": "7", "name": "y"}, False),
        ({}, {"order": "7"}, False),
        ({"order": None}, {"order": "null"}, True),
        ("by hand", {"order": "7"}, False),
        ("by hand", {}, True),
        ({"bytes": b"x"}, {"bytes": "\"b'x'\""}, True),
    ],
)
def test_metadata_is_compared_as_text(metadata: Any, wanted: dict[str, str], has: bool) -> None:
    assert has_metadata({"metadata": metadata}, wanted) is has
