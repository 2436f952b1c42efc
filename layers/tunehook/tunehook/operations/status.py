"""The state of a stack in numbers, one function a part, each as plain JSON values.

How tasks ended is in no index: that is counted over a bounded part of the table; ``complete`` says whether it was all.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from tunehook.aws.deliveries import BY_SUBSCRIPTION_INDEX, OVERDUE_MS
from tunehook.aws.error_messages import describe_error
from tunehook.aws.errors import AWS_FAULTS
from tunehook.aws.items import from_attributes
from tunehook.aws.task_items import PARKED
from tunehook.deliveries import DeliveryStatus
from tunehook.errors import TunehookError
from tunehook.operations.queues import WORK_QUEUES, DeadLetters, depth
from tunehook.operations.stack import Stack
from tunehook.operations.subscriptions import SubscriptionView, list_subscriptions
from tunehook.operations.task_view import TaskView
from tunehook.providers.config import read_providers
from tunehook.tasks import Status, WorkItem
from tunehook.times import now_ms

PAGES_MAX: Final = 10
"""How many pages of a Scan are read, each of 1 MB as it is stored."""

_SHOWN: Final = 3

_NOBODY: Final = "nobody"
"""Who holds the lease of a shard that was made known and never polled (`tunehook.aws.leases.Leases.register`)."""


@dataclass(frozen=True, slots=True)
class ShardLease:
    """The lease of a shard: whether it is `live`, and when it ended or will (None if no poller ever held one)."""

    shard: int
    live: bool
    seen_ms: int | None


def read_status(stack: Stack, since_ms: int) -> dict[str, Any]:
    """Return all parts; one that cannot be read is ``{"error": ...}``.

    >>> read_status(stack, 0)["subscriptions"]
    {'enabled': 1, 'failing': 0, 'disabled': 0, 'unusable': 0}
    """
    now = now_ms()
    parts: dict[str, Callable[[], Any]] = {
        "tasks": lambda: tasks(stack, now),
        "ended": lambda: ended(stack, since_ms),
        "deliveries": lambda: deliveries(stack, now, since_ms),
        "subscriptions": lambda: subscriptions(stack),
        "queues": lambda: queues(stack),
        "dead_letters": lambda: dead_letters(stack),
        "poller": lambda: poller(stack, now),
        "providers": lambda: providers(stack),
    }
    return {name: _or_error(read) for name, read in parts.items()}


def _or_error(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (TunehookError, *AWS_FAULTS) as error:
        if (message := describe_error(error)) is None:
            raise
        return {"error": message}


def tasks(stack: Stack, now_ms: int) -> dict[str, Any]:
    """Count the work on tasks, shard by shard, in the work index."""
    pending: list[WorkItem] = []
    unsent = unreadable = 0
    for lease in shard_leases(stack, now_ms):
        work = stack.tasks.work(lease.shard)
        pending += work.pending
        unsent += len(work.event_pending)
        unreadable += len(work.unreadable)
    oldest = min(pending, key=lambda task: task.since_ms, default=None)
    # The messages of one trouble differ by request ids and the like.
    troubles: dict[tuple[str, str], list[str]] = defaultdict(list)
    for task in pending:
        if task.last_error:
            kind = task.last_error if task.trouble is None else task.trouble.told or task.trouble.kind
            troubles[task.key.provider, kind].append(task.last_error)
    common = sorted(troubles.values(), key=len, reverse=True)[:_SHOWN]
    return {
        "pending": len(pending),
        "overdue": sum(task.deadline_ms <= now_ms for task in pending),
        "oldest": oldest
        and {"task_id": oldest.key.task_id, "provider": oldest.key.provider, "since_ms": oldest.since_ms},
        "troubles": [{"count": len(errors), "last_error": errors[0]} for errors in common],
        "event_not_out": unsent,
        "unreadable": unreadable,
    }


def ended(stack: Stack, since_ms: int) -> dict[str, Any]:
    """Count the tasks that ended since then, and how their files were archived, in `PAGES_MAX` pages of the table."""
    names = ("task_id", "provider", "status", "detected_at_ms", "archived_at_ms", "assets", PARKED)
    items, complete = _first_pages(
        stack,
        names,
        TableName=stack.output("TasksTable"),
        FilterExpression=f"#detected_at_ms >= :since_ms AND attribute_not_exists(#{PARKED})",
        ExpressionAttributeValues={":since_ms": {"N": str(since_ms)}},
    )
    by_status: Counter[str] = Counter()
    by_files: Counter[str] = Counter()
    for item in items:
        task = TaskView.of(item)
        by_status[task.status] += 1
        if task.status == Status.COMPLETED:
            whole = all(asset.status == "archived" for asset in task.assets)
            outcome = "complete" if whole else "partial"
            by_files[outcome if task.is_archived else "on_the_way"] += 1
    return {
        "since_ms": since_ms,
        **{status.value: by_status[status] for status in Status if status is not Status.PENDING},
        "files": {name: by_files[name] for name in ("complete", "partial", "on_the_way")},
        "complete": complete,
    }


def deliveries(stack: Stack, now_ms: int, since_ms: int) -> dict[str, Any]:
    """Count by status the deliveries that are pending or made since then, in `PAGES_MAX` pages of their index."""
    names = ("status", "created_at_ms", "next_attempt_at_ms", "delivery_id", "subscription_id")
    items, complete = _first_pages(
        stack, names, TableName=stack.output("DeliveriesTable"), IndexName=BY_SUBSCRIPTION_INDEX
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


def _first_pages(stack: Stack, names: tuple[str, ...], **scan: Any) -> tuple[list[dict[str, Any]], bool]:
    """Return these attributes of the items of the first pages of a Scan, and whether there was no more."""
    placeholders = {f"#{name}": name for name in names}
    scan |= {"ProjectionExpression": ", ".join(placeholders), "ExpressionAttributeNames": placeholders}
    pages = stack.client("dynamodb").get_paginator("scan").paginate(**scan)
    items: list[dict[str, Any]] = []
    complete = True
    for page in itertools.islice(pages, PAGES_MAX):
        items += map(from_attributes, page["Items"])
        complete = "LastEvaluatedKey" not in page
    return items, complete


def subscriptions(stack: Stack) -> dict[str, Any]:
    """Count the subscriptions: enabled, enabled and failing, disabled, or unusable as they stand."""
    counts = Counter(map(_state, list_subscriptions(stack)))
    return {state: counts[state] for state in ("enabled", "failing", "disabled", "unusable")}


def _state(each: SubscriptionView) -> str:
    is_failing = each.state == "enabled" and each.item.get("failing_since_ms") is not None
    return "failing" if is_failing else each.state


def queues(stack: Stack) -> dict[str, Any]:
    sqs = stack.client("sqs")
    return {name: asdict(depth(sqs, stack.output(output))) for name, output in WORK_QUEUES.items()}


def dead_letters(stack: Stack) -> dict[str, Any]:
    sqs = stack.client("sqs")
    return {queue.value: depth(sqs, stack.output(queue.output)).total for queue in DeadLetters}


def shard_leases(stack: Stack, now_ms: int) -> list[ShardLease]:
    """Return the lease of each shard: those that new tasks are put into, and those left from when there were more.

    A run that finds nothing to do takes no lease: of an idle stack the table does not say whether its schedule runs.

    >>> [each.live for each in shard_leases(stack, 0)]
    [False]
    """
    scan = stack.client("dynamodb").get_paginator("scan")
    pages = scan.paginate(TableName=stack.output("PollerLeasesTable"), ConsistentRead=True)
    leases = {item["shard"]: item for page in pages for item in map(from_attributes, page["Items"])}
    found = []
    for shard in sorted({*leases, *range(stack.shard_count)}):
        lease = leases.get(shard, {"owner": _NOBODY})
        seen_ms = None if lease["owner"] == _NOBODY else lease["until_ms"]
        found.append(ShardLease(shard, seen_ms is not None and seen_ms > now_ms, seen_ms))
    return found


def poller(stack: Stack, now_ms: int) -> dict[str, Any]:
    """Say of each shard whether a poller holds its lease, and when the last lease ended or will."""
    return {"shards": [asdict(each) for each in shard_leases(stack, now_ms)]}


def providers(stack: Stack) -> dict[str, Any]:
    """Name the providers that are configured, and what is wrong with those that cannot be used."""
    configured = read_providers(stack.providers_json())
    return {
        "usable": {name: config.kind for name, config in configured.usable.items()},
        "unusable": {name: str(error) for name, error in configured.errors.items()},
    }
