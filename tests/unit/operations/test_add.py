"""A task is put once, however many put it."""

from tests.support.aws import items, put

from tunehook.operations.stack import Stack
from tunehook.operations.tasks import add

NEW = {"task_id": "t-1", "provider": "suno"}


def of_id(task_id: str) -> list[dict[str, object]]:
    return [item for item in items("TasksTable") if item["task_id"] == task_id]


def test_a_new_one_is_put(found: Stack) -> None:
    addition = add(found, NEW)
    assert (addition.is_new, addition.task.status, addition.replaced_status) == (True, "new", None)
    assert of_id("t-1") == [NEW]


def test_one_that_is_there_stays_as_it_is(found: Stack) -> None:
    addition = add(found, {"task_id": "task-1", "provider": "suno", "timeout_s": 60})
    assert (addition.is_new, addition.task.status) == (False, "completed")
    assert "timeout_s" not in of_id("task-1")[0]


def test_a_new_run_replaces_it(found: Stack) -> None:
    item = {"task_id": "task-1", "provider": "suno"}
    addition = add(found, item, rerun=True)
    assert (addition.is_new, addition.replaced_status) == (True, "completed")
    assert of_id("task-1") == [item]


def test_a_new_run_that_may_have_begun_is_not_begun_again_while_it_goes_on(found: Stack) -> None:
    for under_way in (NEW, NEW | {"status": "pending", "phase": "processing"}):
        put("TasksTable", under_way)
        addition = add(found, NEW, rerun=True, unless_pending=True)
        assert (addition.is_new, of_id("t-1")) == (True, [under_way])
    put("TasksTable", NEW | {"status": "completed"})
    assert add(found, NEW, rerun=True, unless_pending=True).replaced_status == "completed"
