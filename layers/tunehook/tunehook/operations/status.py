"""The state of a stack in numbers: a function and a model for each part.

How tasks ended is in no index: that is counted over a bounded part of the table; ``complete`` says whether it was all.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from tunehook.aws.deliveries import BY_SUBSCRIPTION_INDEX, OVERDUE_MS
from tunehook.aws.error_messages import describe_error
from tunehook.aws.errors import AWS_FAULTS
from tunehook.aws.items import from_attributes
from tunehook.aws.task_items import PARKED
from tunehook.deliveries import DeliveryStatus
from tunehook.errors import TunehookError
from tunehook.operations.queues import WORK_QUEUES, DeadLetters, Depth, depth
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


T = TypeVar("T")


class _Part(BaseModel, frozen=True, defer_build=True):
    pass


class OldestTask(_Part):
    """The pending task that was accepted first."""

    task_id: str
    provider: str
    since_ms: int


class CommonTrouble(_Part):
    """How many pending tasks have met the same trouble, and how one of them says it."""

    count: int
    last_error: str


class PendingTasks(_Part):
    """The work on tasks: those that are polled, and ends whose event is not on the bus (`event_not_out`)."""

    pending: int
    overdue: int
    oldest: OldestTask | None
    troubles: list[CommonTrouble]
    event_not_out: int
    unreadable: int


class ArchivedFiles(_Part):
    """How the files of completed tasks stand, in tasks."""

    complete: int
    partial: int
    on_the_way: int


class EndedTasks(_Part):
    """Tasks that ended since `since_ms`, by status; `complete` says whether the whole table was read."""

    since_ms: int
    completed: int
    failed: int
    rejected: int
    cancelled: int
    files: ArchivedFiles
    complete: bool


class NextAttempt(_Part):
    """An attempt that is to come, at `at_ms`."""

    at_ms: int
    delivery_id: str
    subscription_id: str


class DeliveryCounts(_Part):
    """Deliveries that are pending or made since `since_ms`, by status; `complete` as in `EndedTasks`."""

    since_ms: int
    pending: int
    delivered: int
    failed: int
    aborted: int
    overdue: int
    next_attempts: list[NextAttempt]
    complete: bool


class SubscriptionCounts(_Part):
    """Subscriptions by state."""

    enabled: int
    failing: int
    disabled: int
    unusable: int


@dataclass(frozen=True, slots=True)
class ShardLease:
    """The lease of a shard: whether it is `live`, and when it ended or will (None if no poller ever held one)."""

    shard: int
    live: bool
    seen_ms: int | None


class Pollers(_Part):
    """The leases of all shards."""

    shards: list[ShardLease]


class ConfiguredProviders(_Part):
    """The kinds of the providers by name, and what is wrong with those that cannot be used."""

    usable: dict[str, str]
    unusable: dict[str, str]


class UnknownPart(_Part):
    """A part that could not be read, and why."""

    error: str


class StackStatus(_Part):
    """The state of a stack; queues and dead letters by name."""

    tasks: PendingTasks | UnknownPart
    ended: EndedTasks | UnknownPart
    deliveries: DeliveryCounts | UnknownPart
    subscriptions: SubscriptionCounts | UnknownPart
    queues: dict[str, Depth] | UnknownPart
    dead_letters: dict[str, int] | UnknownPart
    poller: Pollers | UnknownPart
    providers: ConfiguredProviders | UnknownPart


def read_status(stack: Stack, since_ms: int) -> StackStatus:
    """Return all parts; one that cannot be read is an `UnknownPart`.

    >>> read_status(stack, 0).subscriptions
    SubscriptionCounts(enabled=1, failing=0, disabled=0, unusable=0)
    """
    now = now_ms()
    return StackStatus(
        tasks=or_unknown(lambda: tasks(stack, now)),
        ended=or_unknown(lambda: ended(stack, since_ms)),
        deliveries=or_unknown(lambda: deliveries(stack, now, since_ms)),
        subscriptions=or_unknown(lambda: subscriptions(stack)),
        queues=or_unknown(lambda: queues(stack)),
        dead_letters=or_unknown(lambda: dead_letters(stack)),
        poller=or_unknown(lambda: poller(stack, now)),
        providers=or_unknown(lambda: providers(stack)),
    )


def or_unknown(read: Callable[[], T]) -> T | UnknownPart:
    """Return a part, or why it could not be read."""
    try:
        return read()
    except (TunehookError, *AWS_FAULTS) as error:
        if (message := describe_error(error)) is None:
            raise
        return UnknownPart(error=message)


def tasks(stack: Stack, now_ms: int) -> PendingTasks:
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
    first = oldest and OldestTask(
        task_id=oldest.key.task_id, provider=oldest.key.provider, since_ms=oldest.since_ms
    )
    return PendingTasks(
        pending=len(pending),
        overdue=sum(task.deadline_ms <= now_ms for task in pending),
        oldest=first,
        troubles=[CommonTrouble(count=len(errors), last_error=errors[0]) for errors in common],
        event_not_out=unsent,
        unreadable=unreadable,
    )


def ended(stack: Stack, since_ms: int) -> EndedTasks:
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
    return EndedTasks(
        since_ms=since_ms,
        completed=by_status[Status.COMPLETED],
        failed=by_status[Status.FAILED],
        rejected=by_status[Status.REJECTED],
        cancelled=by_status[Status.CANCELLED],
        files=ArchivedFiles(**{name: by_files[name] for name in ArchivedFiles.model_fields}),
        complete=complete,
    )


def deliveries(stack: Stack, now_ms: int, since_ms: int) -> DeliveryCounts:
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
    return DeliveryCounts(
        since_ms=since_ms,
        pending=by_status[DeliveryStatus.PENDING],
        delivered=by_status[DeliveryStatus.DELIVERED],
        failed=by_status[DeliveryStatus.FAILED],
        aborted=by_status[DeliveryStatus.ABORTED],
        overdue=sum(at_ms <= now_ms - OVERDUE_MS for at_ms, _, _ in due),
        next_attempts=[
            NextAttempt(at_ms=at_ms, delivery_id=delivery_id, subscription_id=subscription_id)
            for at_ms, delivery_id, subscription_id in coming[:_SHOWN]
        ],
        complete=complete,
    )


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


def subscriptions(stack: Stack) -> SubscriptionCounts:
    """Count the subscriptions: enabled, enabled and failing, disabled, or unusable as they stand."""
    counts = Counter(map(_state, list_subscriptions(stack)))
    return SubscriptionCounts(**{state: counts[state] for state in SubscriptionCounts.model_fields})


def _state(each: SubscriptionView) -> str:
    is_failing = each.state == "enabled" and each.item.get("failing_since_ms") is not None
    return "failing" if is_failing else each.state


def queues(stack: Stack) -> dict[str, Depth]:
    sqs = stack.client("sqs")
    return {name: depth(sqs, stack.output(output)) for name, output in WORK_QUEUES.items()}


def dead_letters(stack: Stack) -> dict[str, int]:
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


def poller(stack: Stack, now_ms: int) -> Pollers:
    """Say of each shard whether a poller holds its lease, and when the last lease ended or will."""
    return Pollers(shards=shard_leases(stack, now_ms))


def providers(stack: Stack) -> ConfiguredProviders:
    """Name the providers that are configured, and what is wrong with those that cannot be used."""
    configured = read_providers(stack.providers_json())
    return ConfiguredProviders(
        usable={name: config.kind for name, config in configured.usable.items()},
        unusable={name: str(error) for name, error in configured.errors.items()},
    )
