"""What filters look at of a task, and why a subscription is told of it or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from tunehook.errors import Conflict, InvalidInput, NotFound
from tunehook.event_patterns import Mismatch
from tunehook.events import KnownAsset, ManifestLocation, TaskCompleted, TaskEnded, TaskFailed
from tunehook.operations.results import files_of, get_manifest
from tunehook.operations.stack import Stack
from tunehook.operations.subscriptions import get_subscription
from tunehook.operations.task_view import TaskView
from tunehook.operations.tasks import ended_event, get_task
from tunehook.operations.text import visible
from tunehook.result_keys import manifest_key
from tunehook.subscriptions import OF_ENDED_TASKS, Subscription, WebhookType, check_subscription, supports
from tunehook.tasks import TaskKey
from tunehook.webhook_data import list_on, whole_data_of

_ASSET: Final = TypeAdapter[KnownAsset](KnownAsset)


class FilterMismatch(BaseModel, frozen=True):
    """Why a subscription is not told: which `field` of it, and for ``filter`` which `path` of the event's data.

    None of `values`, what is there, is what `pattern` asks for. `path` is empty where each field of a filter matches
    alone, but not all of them in one element of a list. At most ten values are here, and 200 characters of a text.
    """

    field: str
    path: str
    pattern: Any
    values: list[Any]


class FilterTest(BaseModel, frozen=True):
    """Whether a subscription is told of a task by a webhook of this `type`, and if not, why."""

    subscription_id: str
    task_id: str
    provider: str
    type: str
    matches: bool
    mismatches: list[FilterMismatch]


def try_filter(
    stack: Stack, subscription_id: str, task_id: str, provider: str | None = None, event: str | None = None
) -> FilterTest:
    """Return whether a subscription, as it is now, is told of a task as it is now: of its end, or of another `event`.

    Raises `NotFound` if there is no such subscription or task; `Conflict` if the task has not ended; `InvalidInput` if
    the subscription cannot be used, several providers have the task, or there is no such event.

    >>> try_filter(stack, "sub-1", "task-1")
    Traceback (most recent call last):
    tunehook.errors.Conflict: task_id: task-1 has no event of its end (status completed), and filters look at that
    """
    if event is not None and event not in OF_ENDED_TASKS:
        raise InvalidInput("event", f"must be one of {', '.join(OF_ENDED_TASKS)}: nothing else is kept")
    subscription = check_subscription(get_subscription(stack, subscription_id).item, stack.network_policy)
    task = get_task(stack, task_id, provider)
    ended = ended_event(task)
    if ended is None:
        status = f"(status {task.status})"
        raise Conflict(
            "task_id", f"{visible(task_id)} has no event of its end {status}, and filters look at that"
        )
    is_completed = isinstance(ended, TaskCompleted)
    end = WebhookType.TASK_COMPLETED if is_completed else WebhookType.TASK_FAILED
    kind = end if event is None else WebhookType(event)
    if kind is not end and kind is not WebhookType.TASK_ARCHIVED:
        raise InvalidInput("event", f"must be {end} or {WebhookType.TASK_ARCHIVED}: so the task has ended")
    mismatches = [
        *_beside_the_filter(subscription, kind, task.provider),
        *(
            FilterMismatch(field="filter", path=each.path, pattern=each.pattern, values=each.values)
            for each in _of_filter(subscription, _whole_data(stack, task, ended))
        ),
    ]
    return FilterTest(
        subscription_id=subscription_id,
        task_id=task.task_id,
        provider=task.provider,
        type=kind.value,
        matches=not mismatches,
        mismatches=mismatches,
    )


def data_on(stack: Stack, task: TaskView) -> Mapping[str, Any]:
    """Return what filters look at of an ended task, as its item has it; nothing where it has no event.

    >>> data_on(stack, get_task(stack, "task-1"))
    {}
    """
    ended = ended_event(task)
    return {} if ended is None else _data(stack, task, ended, _assets_on(task))


def data_of_run(stack: Stack, key: TaskKey, event_id: str | None = None) -> Mapping[str, Any] | None:
    """Return what filters look at of an ended task, by its manifest; None if it has not ended, or by another event.

    >>> data_of_run(stack, TaskKey("nobody", "suno")) is None
    True
    """
    item = stack.tasks.get_whole(key)
    task = None if item is None else TaskView.of(item)
    ended = None if task is None else ended_event(task)
    if task is None or ended is None or event_id not in (None, ended.event_id):
        return None
    return _whole_data(stack, task, ended)


def _of_filter(subscription: Subscription, data: Mapping[str, Any]) -> list[Mismatch]:
    return [] if subscription.filter is None else subscription.filter.mismatches(data)


def _beside_the_filter(subscription: Subscription, kind: WebhookType, provider: str) -> list[FilterMismatch]:
    def mismatch(field: str, pattern: object, value: object) -> FilterMismatch:
        return FilterMismatch(field=field, path="", pattern=pattern, values=[value])

    found = []
    if not subscription.enabled:
        found.append(mismatch("enabled", [True], False))
    if kind not in subscription.events:
        found.append(mismatch("events", sorted(subscription.events), kind.value))
    if subscription.providers and provider not in subscription.providers:
        found.append(mismatch("providers", sorted(subscription.providers), provider))
    if not supports(subscription.format, kind):
        found.append(mismatch("format", [subscription.format.value], kind.value))
    return found


def _whole_data(stack: Stack, task: TaskView, ended: TaskEnded) -> dict[str, Any]:
    """Return what filters look at, by the manifest, or where there is none yet, by the item."""
    try:
        manifest = get_manifest(stack, task)
    except NotFound:
        manifest = None
    if not isinstance(manifest, Mapping) or manifest.get("event_id") != ended.event_id:
        return _data(stack, task, ended, _assets_on(task))
    kind = TaskCompleted if isinstance(ended, TaskCompleted) else TaskFailed
    try:
        ended = kind.model_validate(manifest)
    except ValidationError:
        return _data(stack, task, ended, _assets_on(task))
    return _data(stack, task, ended, files_of(task, manifest))


def _data(stack: Stack, task: TaskView, ended: TaskEnded, assets: Sequence[KnownAsset]) -> dict[str, Any]:
    bucket, key = stack.output("ResultsBucket"), manifest_key(task.provider, task.task_id)
    return whole_data_of(ended, task.item, assets, ManifestLocation(bucket=bucket, key=key))


def _assets_on(task: TaskView) -> list[KnownAsset]:
    found = []
    for written in list_on(task.item, "assets"):
        try:
            found.append(_ASSET.validate_python(written))
        except ValidationError:  # somebody's, by hand
            continue
    return found
