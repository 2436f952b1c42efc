"""The figures of `tunehook status`, one function a part of the stack, each as plain JSON values.

What the work index shows is counted there, and deliveries in their smallest index. How tasks ended is in no index: that
is counted over a bounded piece of the table, and the figures say when there was more.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, Final

from tunehook.aws.deliveries import BY_SUBSCRIPTION_INDEX, OVERDUE_MS
from tunehook.aws.items import from_attributes
from tunehook.aws.task_items import PARKED
from tunehook.deliveries import DeliveryStatus
from tunehook.errors import InvalidInput
from tunehook.providers.config import read_providers
from tunehook.subscriptions import Subscription, check_subscription
from tunehook.tasks import Status, WorkItem
from tunehook_cli.operating import passes
from tunehook_cli.operating.queues import WORK_QUEUES, DeadLetters, depth
from tunehook_cli.stack import Stack
from tunehook_cli.task_view import TaskView

PAGES_MAX: Final = 10
"""How many pages of a Scan are read, each of 1 MB as it is stored."""

_SHOWN: Final = 3


def tasks(stack: Stack, now_ms: int) -> dict[str, Any]:
    """Count what there is to do on tasks, shard by shard, in the work index."""
    dynamodb = stack.client("dynamodb")
    shards = [
        each.shard
        for each in passes.watches(dynamodb, stack.output("PollerLeasesTable"), stack.shard_count, now_ms)
    ]
    pending: list[WorkItem] = []
    unsent = unreadable = 0
    for work in map(stack.tasks.work, shards):
        pending += work.pending
        unsent += len(work.event_pending)
        unreadable += len(work.unreadable)
    oldest = min(pending, key=lambda task: task.since_ms, default=None)
    # The words of one trouble differ by request ids and the like.
    troubles: dict[tuple[str, str], list[str]] = defaultdict(list)
    for task in pending:
        if task.last_error:
            kind = task.last_error if task.trouble is None else task.trouble.told or task.trouble.kind
            troubles[task.key.provider, kind].append(task.last_error)
    common = sorted(troubles.values(), key=len, reverse=True)[:_SHOWN]
    return {
        "pending": len(pending),
        "overdue": sum(task.deadline_ms <= now_ms for task in pending),
        "oldest": None
        if oldest is None
        else {
            "task_id": oldest.key.task_id,
            "provider": oldest.key.provider,
            "since_ms": oldest.since_ms,
        },
        "troubles": [{"count": len(words), "last_error": words[0]} for words in common],
        "event_not_out": unsent,
        "unreadable": unreadable,
    }


def ended(stack: Stack, since_ms: int) -> dict[str, Any]:
    """Count the tasks that ended at or after `since_ms`, and of the completed ones how their files were kept.

    This reads the Tasks table, at most `PAGES_MAX` pages of it; ``complete`` says whether that was all.
    """
    names = ("task_id", "provider", "status", "detected_at_ms", "archived_at_ms", "assets", PARKED)
    items, complete = _first_pages(
        stack,
        TableName=stack.output("TasksTable"),
        ProjectionExpression=", ".join(f"#{name}" for name in names),
        FilterExpression=f"#detected_at_ms >= :since_ms AND attribute_not_exists(#{PARKED})",
        ExpressionAttributeNames={f"#{name}": name for name in names},
        ExpressionAttributeValues={":since_ms": {"N": str(since_ms)}},
    )
    by_status: Counter[str] = Counter()
    by_files: Counter[str] = Counter()
    for item in items:
        task = TaskView.of(item)
        by_status[task.status] += 1
        if task.status == Status.COMPLETED:
            by_files[_files(task)] += 1
    return {
        "since_ms": since_ms,
        **{status.value: by_status[status] for status in Status if status is not Status.PENDING},
        "files": {name: by_files[name] for name in ("complete", "partial", "on_the_way")},
        "complete": complete,
    }


def _files(task: TaskView) -> str:
    if not task.is_archived:
        return "on_the_way"
    return "complete" if all(asset.status == "archived" for asset in task.assets) else "partial"


def deliveries(stack: Stack, now_ms: int, since_ms: int) -> dict[str, Any]:
    """Count the deliveries that are pending, and those made at or after `since_ms`, by status.

    This reads an index that has little of each, at most `PAGES_MAX` pages; ``complete`` says whether that was all.
    """
    names = ("status", "created_at_ms", "next_attempt_at_ms", "delivery_id", "subscription_id")
    items, complete = _first_pages(
        stack,
        TableName=stack.output("DeliveriesTable"),
        IndexName=BY_SUBSCRIPTION_INDEX,
        ProjectionExpression=", ".join(f"#{name}" for name in names),
        ExpressionAttributeNames={f"#{name}": name for name in names},
    )
    by_status: Counter[str] = Counter()
    due: list[tuple[int, str, str]] = []
    for item in items:
        status, due_ms = str(item.get("status")), item.get("next_attempt_at_ms")
        pending = status == DeliveryStatus.PENDING
        if pending or item["created_at_ms"] >= since_ms:
            by_status[status] += 1
        if pending and isinstance(due_ms, int):
            due.append((due_ms, item["delivery_id"], item["subscription_id"]))
    coming = sorted(each for each in due if each[0] > now_ms)
    return {
        "since_ms": since_ms,
        **{status.value: by_status[status] for status in DeliveryStatus},
        "overdue": sum(at_ms <= now_ms - OVERDUE_MS for at_ms, _, _ in due),
        "next_attempts": [
            {"at_ms": at_ms, "delivery_id": delivery_id, "subscription_id": subscription_id}
            for at_ms, delivery_id, subscription_id in coming[:_SHOWN]
        ],
        "complete": complete,
    }


def _first_pages(stack: Stack, **scan: Any) -> tuple[list[dict[str, Any]], bool]:
    """Return the items of the first pages of a Scan, and whether there was no more."""
    pages = stack.client("dynamodb").get_paginator("scan").paginate(**scan)
    items: list[dict[str, Any]] = []
    complete = True
    for page in itertools.islice(pages, PAGES_MAX):
        items += map(from_attributes, page["Items"])
        complete = "LastEvaluatedKey" not in page
    return items, complete


def subscriptions(stack: Stack) -> dict[str, Any]:
    """Count the subscriptions by what they are: enabled, enabled and failing, disabled, or unusable as they stand."""
    counts = Counter(_state(item, stack) for item in stack.subscriptions.all())
    return {state: counts[state] for state in ("enabled", "failing", "disabled", "unusable")}


def doubled(stack: Stack) -> list[tuple[Subscription, Subscription]]:
    """Return the pairs of enabled subscriptions by which the same comes to one URL twice."""
    by_place: defaultdict[str, list[Subscription]] = defaultdict(list)
    for item in sorted(stack.subscriptions.all(), key=lambda item: str(item["subscription_id"])):
        with contextlib.suppress(InvalidInput):
            subscription = check_subscription(item, stack.network_policy)
            if subscription.enabled:
                by_place[subscription.place].append(subscription)
    return [
        (one, other)
        for together in by_place.values()
        for one, other in itertools.combinations(together, 2)
        if one.doubles(other)
    ]


def _state(item: Mapping[str, Any], stack: Stack) -> str:
    try:
        subscription = check_subscription(item, stack.network_policy)
    except InvalidInput:
        return "unusable"
    if not subscription.enabled:
        return "disabled"
    return "failing" if item.get("failing_since_ms") is not None else "enabled"


def queues(stack: Stack) -> dict[str, Any]:
    """Say how many messages are in the queues that work comes from."""
    sqs = stack.client("sqs")
    found = {name: depth(sqs, stack.output(output)) for name, output in WORK_QUEUES.items()}
    return {
        name: {"waiting": each.waiting, "taken": each.taken, "later": each.later}
        for name, each in found.items()
    }


def dead_letters(stack: Stack) -> dict[str, Any]:
    """Say how many messages are in each dead-letter queue."""
    sqs = stack.client("sqs")
    return {queue.value: depth(sqs, stack.output(queue.output)).total for queue in DeadLetters}


def poller(stack: Stack, now_ms: int) -> dict[str, Any]:
    """Say of each shard whether a poller watches it, and until when one had work there."""
    found = passes.watches(
        stack.client("dynamodb"), stack.output("PollerLeasesTable"), stack.shard_count, now_ms
    )
    return {"shards": [{"shard": each.shard, "live": each.live, "seen_ms": each.seen_ms} for each in found]}


def providers(stack: Stack) -> dict[str, Any]:
    """Name the providers that are configured, and what is wrong with those that cannot be used."""
    configured = read_providers(stack.providers_json())
    return {
        "usable": {name: config.kind for name, config in configured.usable.items()},
        "unusable": {name: str(error) for name, error in configured.errors.items()},
    }
