"""Tasks: submit, list and read them, with their deliveries."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from tunehook.adoption import late_hook
from tunehook.aws.pages import LOOKED_AT, Position, page_of
from tunehook.aws.task_items import TAKEN_IN, ended_task, pending_task
from tunehook.errors import Conflict, InvalidInput, NotFound
from tunehook.events import TaskEnded, task_ended
from tunehook.http.guard import NetworkPolicy
from tunehook.operations.stack import Stack
from tunehook.operations.task_view import TaskView
from tunehook.operations.text import visible
from tunehook.signatures import derive_secret, notify_hook_subscription_id
from tunehook.tasks import Status, TaskKey, check_request, check_storable
from tunehook.times import now_ms

if TYPE_CHECKING:
    from tunehook.deliveries import Delivery

_TIMES: Final = ("submitted_at_ms", "finished_at_ms", "detected_at_ms", "deadline_ms", "archived_at_ms")
_TROUBLE: Final = ("failure", "error", "last_error", "streaming_since_ms")
_OTHERS: Final = (
    "notify_hook",
    "notify_format",
    "metadata",
    "timeout_s",
    "event_id",
    "expires_at",
    "truncated",
    "taken_in",
    "queue",
)
_KIND: Final = "tasks"
_ID_SHOWN: Final = 40
_FIRST_PAUSE_S, _PAUSE_GROWS, _LONGEST_PAUSE_S = 0.25, 1.5, 2.0
_NAMES_SHOWN: Final = 20
_RESULTS: Final = ("clips", "assets")
_LISTED: Final = ("task_id", "provider", "status", "phase", *_TIMES, *_TROUBLE, *_OTHERS)
WITH_RESULTS: Final = (*_LISTED, *_RESULTS)
"""The attributes of a task in a list that shows results too."""


class Submission(BaseModel, frozen=True, defer_build=True):
    """A submitted task: its item, the status of the run that it replaced, and what signs its notify hook."""

    item: dict[str, Any]
    replaced_status: str | None
    signing_secret: str | None


class TaskList(BaseModel, frozen=True, defer_build=True):
    """The latest tasks, and how many there are in `total`."""

    tasks: list[TaskView]
    total: int


class Addition(BaseModel, frozen=True, defer_build=True):
    """A task that was to be put: as it is now, whether this has begun a run of it, and the status of the one before."""

    task: TaskView
    is_new: bool
    replaced_status: str | None = None

    def submission(self, signing_secret: str | None) -> Submission:
        """Return what was submitted, with what signs the webhooks to its notify hook."""
        return Submission(
            item=self.task.item, replaced_status=self.replaced_status, signing_secret=signing_secret
        )


class TaskPage(BaseModel, frozen=True, defer_build=True):
    """A page of tasks, how many were looked at, and by what the next one is asked for: None after the last."""

    tasks: list[TaskView]
    next_cursor: str | None
    looked_at: int


class Cancellation(BaseModel, frozen=True, defer_build=True):
    """A cancelled task, and whether it had been cancelled before."""

    task: TaskView
    was_cancelled: bool


def submit(stack: Stack, item: Mapping[str, Any]) -> Submission:
    """Put a task into the table, so that it is polled; one that is submitted again begins anew.

    Raises `InvalidInput` for the first field that `tunehook.tasks.check_request` does not accept.

    >>> submit(stack, {"task_id": "t-1", "provider": "suno"}).replaced_status is None
    True
    """
    return next(submit_all(stack, [item]))


def submit_all(stack: Stack, items: Sequence[Mapping[str, Any]]) -> Iterator[Submission]:
    """Check all tasks before the first is put, then put one after the other, as `submit` does, when it is asked for.

    Raises `InvalidInput` for the first field that is not acceptable, at once. What boto3 raises of a later one says
    nothing about those that were yielded: they are submitted.

    >>> [each.item["task_id"] for each in submit_all(stack, [{"task_id": "t-2", "provider": "suno"}])]
    ['t-2']
    """
    for item in items:
        _check(item, stack.network_policy, is_one_of_many=len(items) > 1)
    # Before a task is put: whoever may not read the secret learns that while nothing has happened yet.
    hooks = {item["notify_hook"] for item in items if item.get("notify_hook")}
    master = stack.master_secret() if hooks else ""
    secrets = {hook: derive_secret(master, notify_hook_subscription_id(hook), 1) for hook in hooks}
    return (_put(stack, item, secrets.get(item.get("notify_hook"))) for item in items)


def adopt(stack: Stack, item: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give a task that was taken in from a callback what its user asks for; return its item, None if it is not one.

    Its run goes on, or stays ended: if it has ended, the hook gets its delivery now. So there is one event in all.

    Raises `InvalidInput` for the first field that is not acceptable; `Unavailable` if that delivery could not be asked
    for, or the task kept changing: to do it again is safe as long as it is still taken in.

    >>> adopt(stack, {"task_id": "task-1", "provider": "suno"}) is None
    True
    """
    request = check_request(item, stack.network_policy)
    adopted = stack.tasks.adopt(request, now_ms())
    if adopted is not None and (wanted := late_hook(adopted)) is not None:
        stack.request_fulfillment([wanted])
    return adopted


def _check(item: Mapping[str, Any], policy: NetworkPolicy, *, is_one_of_many: bool) -> None:
    try:
        check_request(item, policy)
    except InvalidInput as error:
        if error.field != "task_id" or not is_one_of_many:
            raise
        name = visible(str(item["task_id"]))
        name = name if len(name) <= _ID_SHOWN else f"{name[:_ID_SHOWN]}..."
        raise InvalidInput("task_id", f"'{name}' {error.reason}") from None


def _put(stack: Stack, item: Mapping[str, Any], secret: str | None) -> Submission:
    replaced = stack.tasks.put(item)
    status = None if replaced is None else str(replaced.get("status", "new"))
    return Submission(item=dict(item), replaced_status=status, signing_secret=secret)


def check_new(stack: Stack, item: Mapping[str, Any]) -> None:
    """Check a task that is to be put; raise `InvalidInput` for the first field that is not acceptable.

    What stands in its metadata must be storable as it is.

    >>> check_new(stack, {"task_id": "t-1", "provider": "suno"})
    """
    check_request(item, stack.network_policy)
    check_storable(item.get("metadata"), "metadata")


def add(
    stack: Stack, item: Mapping[str, Any], *, rerun: bool = False, unless_pending: bool = False
) -> Addition:
    """Put a task that was checked, unless it is there; of several that put it at once, one has done it.

    One that was taken in from a callback is adopted. With `rerun`, one that is there begins anew; with `unless_pending`
    too, unless a run of it is under way.

    >>> add(stack, {"task_id": "task-1", "provider": "suno"}).is_new
    False
    """
    key = TaskKey(item["task_id"], item["provider"])
    if not rerun:
        write = stack.tasks.create(item, now_ms())
        found = write.item
        if not write.done and found is not None and TAKEN_IN in found:
            found = adopt(stack, item) or stack.tasks.get(key)
        return Addition(task=TaskView.of(stack.tasks.with_details(found or dict(item))), is_new=write.done)
    known = stack.tasks.get(key) if unless_pending else None
    if known is not None and (task := TaskView.of(known)).is_pending:
        return Addition(task=task, is_new=True)
    replaced = stack.tasks.put(item)
    status = None if replaced is None else str(replaced.get("status", "new"))
    return Addition(task=TaskView.of(item), is_new=True, replaced_status=status)


def check_provider(stack: Stack, name: str) -> None:
    """Check that a provider is configured, as nothing polls the tasks of one that is not.

    Raises `NotFound`, with the nearest name and those that there are, if it is not.

    >>> check_provider(stack, "sumo")
    Traceback (most recent call last):
    tunehook.errors.NotFound: provider: there is no provider sumo: did you mean suno? Configured: suno
    """
    # Heavy, and needed for nothing else here.
    from difflib import get_close_matches

    from tunehook.operations.providers import list_providers

    configured = list_providers(stack)
    # Of an entry whose name cannot be one, only the position is known.
    names = sorted(each for each in (*configured.usable, *configured.errors) if not each.startswith("#"))
    if name in names:
        return
    if not names:
        raise NotFound("provider", f"there is no provider {visible(name)}: none is configured")
    folded = {each.casefold(): each for each in names}
    near = [folded[each] for each in get_close_matches(name.casefold(), folded, 1)]
    meant = f": did you mean {near[0]}?" if near else "."
    more = len(names) - _NAMES_SHOWN
    known = ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
    reason = f"there is no provider {visible(name)}{meant} Configured: {known}"
    raise NotFound("provider", reason)


def list_tasks(
    stack: Stack,
    *,
    status: str | None = None,
    provider: str | None = None,
    since_ms: int = 0,
    metadata: Mapping[str, str] | None = None,
    limit: int = 50,
) -> TaskList:
    """Return tasks without their results, the latest first. This reads the whole table.

    They were submitted at `since_ms` or later, and have all of `metadata`; a value that is no text counts as its JSON.

    >>> list_tasks(stack, status="pending").total
    0
    """
    items = [
        item
        for item in stack.tasks.scan(_LISTED)
        if status in (None, item.get("status"))
        and provider in (None, item["provider"])
        and _submitted(item) >= since_ms
        and has_metadata(item, metadata or {})
    ]
    items.sort(key=_submitted, reverse=True)
    return TaskList(tasks=[TaskView.of(item) for item in items[:limit]], total=len(items))


def page_tasks(
    stack: Stack,
    *,
    status: str | None = None,
    provider: str | None = None,
    since_ms: int = 0,
    metadata: Mapping[str, str] | None = None,
    id_prefix: str = "",
    with_results: bool = False,
    limit: int = 50,
    cursor: str | None = None,
    look_at: int = LOOKED_AT,
) -> TaskPage:
    """Return a page of the tasks, newest first: those that were accepted since `since_ms`.

    `id_prefix` is how their ids begin, and the other filters are those of `list_tasks`; their results are read
    `with_results` alone. `cursor` is the `next_cursor` of the page before, with the same filters. This reads an index,
    and at most about `look_at` tasks a page: one may be short, or empty, and others follow. A task is in that index
    from when it was accepted or rejected on, about a second after it was put; those that were accepted before the stack
    was upgraded to this version, or more than 97 days ago, are not. Without the HTTP API there is no such index, and
    each page reads the whole table.

    Raises `InvalidInput` if there is no such status, or for a limit or a cursor that is none.

    >>> page_tasks(stack, status="pending").next_cursor is None
    True
    """
    if status is not None and status not in tuple(Status):
        raise InvalidInput("status", f"must be one of {', '.join(Status)}")
    after = None if cursor is None else position_of(cursor)
    attributes = WITH_RESULTS if with_results else _LISTED

    looked_at = 0

    def read(keys: list[TaskKey]) -> dict[TaskKey, TaskView]:
        nonlocal looked_at
        looked_at += len(keys)
        wanted = [
            key for key in keys if provider in (None, key.provider) and key.task_id.startswith(id_prefix)
        ]
        return {
            key: TaskView.of(item)
            for key, item in stack.tasks.get_many(wanted, attributes).items()
            if status in (None, item.get("status")) and has_metadata(item, metadata or {})
        }

    is_filtered = not (status is provider is None) or bool(metadata) or bool(id_prefix)
    if stack.has_lists:
        # One more than the page tells whether there is another, and one more that it shares no moment with others.
        at_once = (look_at if is_filtered else limit) + 2
        entries = stack.tasks.listed(now_ms(), since_ms=since_ms, after=after, at_once=at_once)
    else:
        entries = stack.tasks.listed_by_scan(since_ms, after)
    found, last = page_of(entries, read, limit, filtered=is_filtered, look_at=look_at)
    next_cursor = None if last is None else last.cursor(_KIND)
    return TaskPage(tasks=found, next_cursor=next_cursor, looked_at=looked_at)


def position_of(cursor: str) -> Position:
    """Return the position at which the page of tasks ends whose `next_cursor` this is; raise `InvalidInput` if none's.

    >>> position_of("forged")
    Traceback (most recent call last):
    tunehook.errors.InvalidInput: cursor: is none of this list: give `next_cursor` of the page before
    """
    return Position.of_cursor(_KIND, cursor)


def _submitted(item: Mapping[str, Any]) -> float:
    """One that intake has not seen yet has no times, and is the latest."""
    submitted = item.get("submitted_at_ms")
    return submitted if isinstance(submitted, int | float) else float("inf")


def has_metadata(item: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """Return whether the metadata of an item has all of these; a value that is no text counts as its JSON.

    >>> has_metadata({"metadata": {"order": 7}}, {"order": "7"})
    True
    """
    metadata = item.get("metadata")
    given = metadata if isinstance(metadata, Mapping) else {}
    return all(name in given and _as_text(given[name]) == text for name, text in wanted.items())


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


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
        raise InvalidInput(
            "provider", f"name the provider, because several have a task with this id: {names}"
        )
    return TaskView.of(items[0])


def event_of(task: TaskView) -> dict[str, Any] | None:
    """Return the detail of the event of a task's end, as it was or is to be put on the bus; None if it has none.

    It is made of the item once more, as after a lost answer of the bus.

    >>> event_of(get_task(stack, "task-1")) is None  # the item does not say when it was submitted
    True
    """
    event = ended_event(task)
    return None if event is None else event.model_dump(mode="json")


def ended_event(task: TaskView) -> TaskEnded | None:
    """Return the event of a task's end, as `event_of` does.

    >>> ended_event(get_task(stack, "task-1")) is None
    True
    """
    if not task.has_event:
        return None
    run = task.item.get("since_ms", 0)
    try:
        end = ended_task(pending_task({**_names(task), "since_ms": run}), task.item)
    except InvalidInput:
        return None
    # The moment that named the run has left the item with the event; the identifier is still there.
    return task_ended(end).model_copy(update={"event_id": task.event_id})


def _names(task: TaskView) -> dict[str, str]:
    return {"task_id": task.task_id, "provider": task.provider}


def await_end(
    stack: Stack,
    provider: str,
    task_id: str,
    wait_s: float,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> TaskView:
    """Return a task as soon as it has ended and its files are settled, or as it is after `wait_s` seconds.

    Its item is read again and again, after pauses that grow from a quarter of a second to two.

    Raises `NotFound` if there is no such task, or no more.

    >>> await_end(stack, "suno", "task-1", 25).is_archived
    True
    """
    until, pause_s = clock() + wait_s, _FIRST_PAUSE_S
    while True:
        item = stack.tasks.get(TaskKey(task_id, provider))
        if item is None:
            raise NotFound("task_id", no_such_task(task_id, provider))
        task = TaskView.of(item)
        left_s = until - clock()
        if has_settled(task) or left_s <= 0:
            return TaskView.of(stack.tasks.with_details(item))
        sleep(min(pause_s, left_s))
        pause_s = min(pause_s * _PAUSE_GROWS, _LONGEST_PAUSE_S)


def has_settled(task: TaskView) -> bool:
    """Return whether a task has ended and it is known of each of its files whether it is kept."""
    return not task.is_pending and (task.is_cancelled or task.is_archived)


def no_such_task(task_id: str, provider: str | None = None) -> str:
    return f"there is no task {visible(task_id)}" + (f" of {provider}" if provider else "")


def cancel(stack: Stack, task_id: str, provider: str | None = None) -> Cancellation:
    """Cancel a pending task: it is no longer polled, and nobody is told. One that was cancelled before stays as it is.

    Raises what `get_task` does; `Conflict` if the task has ended otherwise.

    >>> cancel(stack, submit(stack, {"task_id": "t-1", "provider": "suno"}).item["task_id"]).task.status
    'cancelled'
    """
    task = get_task(stack, task_id, provider)
    write = stack.tasks.cancel(TaskKey(task.task_id, task.provider), now_ms())
    if write.item is None:
        raise NotFound("task_id", no_such_task(task_id, provider))
    now = TaskView.of(write.item)
    if now.status != Status.CANCELLED:
        reason = (
            f"{visible(task_id)} has ended (its status is {now.status}); only a pending task can be cancelled"
        )
        raise Conflict("task_id", reason)
    return Cancellation(task=now, was_cancelled=not write.done)


def deliveries_of(stack: Stack, task: TaskView) -> list[Delivery]:
    """Return the deliveries about a task, oldest first.

    >>> [each.type for each in deliveries_of(stack, get_task(stack, "task-1"))]
    ['task.completed']
    """
    found: list[Delivery] = []
    for delivery_id in stack.deliveries.ids_of_task(task.task_id):
        # Most have the payload of the one before, which is then not read again.
        delivery = stack.deliveries.get(delivery_id, found[-1] if found else None)
        if delivery is not None and delivery.provider == task.provider:
            found.append(delivery)
    return found


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
