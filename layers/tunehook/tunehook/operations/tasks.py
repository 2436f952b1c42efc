"""Tasks: submit, list and read them, with their deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from tunehook.errors import InvalidInput, NotFound
from tunehook.operations.stack import Stack
from tunehook.operations.task_view import TaskView
from tunehook.operations.text import visible
from tunehook.signatures import derive_secret, notify_hook_subscription_id
from tunehook.tasks import TaskKey, check_request

if TYPE_CHECKING:
    from tunehook.deliveries import Delivery

_TIMES: Final = ("submitted_at_ms", "finished_at_ms", "detected_at_ms", "deadline_ms", "archived_at_ms")
_TROUBLE: Final = ("failure", "last_error", "streaming_since_ms")
_LISTED: Final = ("task_id", "provider", "status", "phase", *_TIMES, *_TROUBLE, "notify_hook", "metadata")


class Submission(BaseModel, frozen=True, defer_build=True):
    """A submitted task: its item, the status of the run that it replaced, and what signs its notify hook."""

    item: dict[str, Any]
    replaced_status: str | None
    signing_secret: str | None


class TaskPage(BaseModel, frozen=True, defer_build=True):
    """The latest tasks, and how many there are in `total`."""

    tasks: list[TaskView]
    total: int


def submit(stack: Stack, item: Mapping[str, Any]) -> Submission:
    """Put a task into the table, so that it is polled; one that is submitted again begins anew.

    Raises `InvalidInput` for the first field that `tunehook.tasks.check_request` does not accept.

    >>> submit(stack, {"task_id": "t-1", "provider": "suno"}).replaced_status is None
    True
    """
    check_request(item, stack.network_policy)
    hook = item.get("notify_hook")
    # Before the task is put: whoever may not read the secret learns that while nothing has happened yet.
    secret = derive_secret(stack.master_secret(), notify_hook_subscription_id(hook), 1) if hook else None
    replaced = stack.tasks.put(item)
    status = None if replaced is None else str(replaced.get("status", "new"))
    return Submission(item=dict(item), replaced_status=status, signing_secret=secret)


def list_tasks(
    stack: Stack, *, status: str | None = None, provider: str | None = None, limit: int = 50
) -> TaskPage:
    """Return tasks without their results, the latest first. This reads the whole table.

    >>> list_tasks(stack, status="pending").total
    0
    """
    items = [
        item
        for item in stack.tasks.scan(_LISTED)
        if status in (None, item.get("status")) and provider in (None, item["provider"])
    ]
    items.sort(key=_submitted, reverse=True)
    return TaskPage(tasks=[TaskView.of(item) for item in items[:limit]], total=len(items))


def _submitted(item: Mapping[str, Any]) -> float:
    """One that intake has not seen yet has no times, and is the latest."""
    submitted = item.get("submitted_at_ms")
    return submitted if isinstance(submitted, int | float) else float("inf")


def get_task(stack: Stack, task_id: str, provider: str | None = None) -> TaskView:
    """Return a task.

    Raises `NotFound` if there is none; `InvalidInput` if several providers have a task of this id, and none is named.

    >>> get_task(stack, "task-1").status
    'completed'
    """
    items = [item for item in stack.tasks.of_id(task_id) if provider in (None, item["provider"])]
    if not items:
        raise NotFound("task_id", no_such_task(task_id, provider))
    if len(items) > 1:
        names = ", ".join(sorted(item["provider"] for item in items))
        raise InvalidInput("provider", f"say which one, as several have a task of this id: {names}")
    return TaskView.of(items[0])


def no_such_task(task_id: str, provider: str | None = None) -> str:
    return f"there is no task {visible(task_id)}" + (f" of {provider}" if provider else "")


def deliveries_of(stack: Stack, task: TaskView) -> list[Delivery]:
    """Return the deliveries about a task, oldest first.

    >>> [each.type for each in deliveries_of(stack, get_task(stack, "task-1"))]
    ['task.completed']
    """
    found = (stack.deliveries.get(each) for each in stack.deliveries.ids_of_task(task.task_id))
    return [each for each in found if each is not None and each.provider == task.provider]


def find_keys(stack: Stack, task_id: str | None = None, provider: str | None = None) -> list[TaskKey]:
    """Return the keys of a task at each provider that has it; without `task_id` those of all pending tasks.

    Raises `NotFound` if the task that is named is not there.

    >>> find_keys(stack, "task-1")
    [TaskKey(task_id='task-1', provider='suno')]
    """
    names = ("task_id", "provider", "status")
    items = stack.tasks.scan(names) if task_id is None else stack.tasks.of_id(task_id)
    keys = [
        TaskKey(task.task_id, task.provider)
        for task in map(TaskView.of, items)
        if provider in (None, task.provider) and (task_id is not None or task.is_pending)
    ]
    if task_id is not None and not keys:
        raise NotFound("task_id", no_such_task(task_id, provider))
    return sorted(keys, key=lambda key: (key.provider, key.task_id))
