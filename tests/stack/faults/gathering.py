"""Brings the books of a run together: what was wanted, and what AWS, the asset host and the receivers say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tests.stack.driving import DeployedStack
from tests.stack.faults import looking
from tests.stack.faults.books import (
    Books,
    Checked,
    End,
    Progress,
    Receipt,
    Record,
    Replay,
    Serving,
    Wanted,
    WantedFile,
)
from tests.stack.faults.breaking import Done
from tests.stack.faults.links import paths_of
from tests.stack.faults.plan import CHECKED, WATCHER, Plan
from tests.stack.faults.reading import Reader
from tests.stack.faults.world import World

from tunehook.deliveries import is_progress
from tunehook.subscriptions import WebhookType
from tunehook.times import to_ms


def gathered(
    plan: Plan,
    world: World,
    stack: DeployedStack,
    *,
    put_at_ms: Mapping[str, int],
    receivers: Mapping[str, str],
    reader: Reader,
    ends: set[End],
    events: Sequence[dict[str, Any]],
    done: Sequence[Done],
    replays: Sequence[Replay],
    checks: Sequence[Checked] = (),
) -> Books:
    """Return the books of a run whose tasks have been put.

    Parameters
    ----------
    plan, world, stack
        What was put in, who served and received, where it was put.
    put_at_ms : mapping of str to int
        When each task was put, in milliseconds since 1970.
    receivers : mapping of str to str
        The receivers' names by the ids of their subscriptions.
    reader : Reader
        Has verified what came.
    ends : set of End
        The ends that items have shown.
    events : sequence of dict
        What the bus has taken.
    done : sequence of Done
        What was broken.
    replays : sequence of Replay
        What was replayed.
    checks : sequence of Checked
        The endpoints that were checked, as each was found.
    """
    ended = {book.task_id: book.ended_at for book in world.task_books()}
    planned = {task.task_id for task in plan.tasks}
    wanted = tuple(
        Wanted(
            provider=task.kind,
            task_id=task.task_id,
            put_at_ms=put_at_ms[task.task_id],
            status=task.status,
            receivers=frozenset(
                each.subscription_id for each in plan.subscriptions if each.takes(task.task_id)
            )
            | ({task.hook_name} if task.hook_name else set()),
            ended_at_ms=None if (at := ended.get(task.task_id)) is None else to_ms(at),
            files=tuple(WantedFile(*name, paths) for name, paths in paths_of(task).items()),
        )
        for task in plan.tasks
    )
    items = [item for item in stack.items("TasksTable") if item["task_id"] in planned]
    deliveries = list(stack.items("DeliveriesTable"))
    receipts = tuple(reader.read(world.received()))
    gone = {each.subscription_id for each in plan.gone}
    told = {WATCHER, *gone, *CHECKED}
    subscriptions = {
        item["subscription_id"]: item
        for item in stack.items("SubscriptionsTable", "subscription_id", "enabled", "failing_since_ms")
    }
    digests, manifests = looking.objects(stack)
    records = [
        looking.record_of(item, receivers)
        for item in deliveries
        if item.get("task_id") in planned and item["subscription_id"] not in told
    ]
    return Books(
        wanted=wanted,
        items={f"{item['provider']}/{item['task_id']}": item for item in items},
        ends=frozenset(ends | {end for item in items if (end := looking.end_of(item)) is not None}),
        emitted=looking.emitted(events),
        served=tuple(
            Serving(path, served.sha256)
            for each in wanted
            for file in each.files
            for path in file.paths
            for served in world.served(path)
            if served.whole and served.sha256 is not None
        ),
        objects=digests,
        manifests=looking.parsed(manifests),
        receipts=tuple(
            each for each in receipts if each.receiver not in told and not is_progress(each.delivery_id)
        ),
        records=tuple(each for each in records if not is_progress(each.delivery_id)),
        progress=_progress(plan, records, tuple(each for each in receipts if each.receiver not in told)),
        # A kill may have found nothing to kill, and so may a halt.
        done=tuple(each for each in done if each.often),
        schedules={
            each.subscription_id: each.retry_schedule for each in plan.subscriptions if each.retry_schedule
        },
        limits={
            each.subscription_id: each.max_per_second for each in plan.subscriptions if each.max_per_second
        },
        replays=tuple(replays),
        gone=tuple(sorted(gone)),
        disabled=tuple(
            sorted(
                name
                for name, item in subscriptions.items()
                if item.get("enabled") is False and name not in CHECKED
            )
        ),
        watchers=(WATCHER,),
        troubles=looking.troubles_of(deliveries, receipts, receivers),
        checks=tuple(_with_its_end(each, deliveries, receipts) for each in checks),
        failing=tuple(
            name for name in CHECKED if subscriptions.get(name, {}).get("failing_since_ms") is not None
        ),
    )


def _with_its_end(
    check: Checked, deliveries: Sequence[Mapping[str, Any]], receipts: Sequence[Receipt]
) -> Checked:
    """Return a check with what its record and its receiver say in the end."""
    item = next((each for each in deliveries if each["delivery_id"] == check.delivery_id), {})
    return replace(
        check,
        ended_as=str(item.get("status", "no record")),
        attempts=len(item.get("attempts", ())),
        receipts=tuple(each for each in receipts if each.delivery_id == check.delivery_id),
    )


def _progress(plan: Plan, records: Sequence[Record], receipts: Sequence[Receipt]) -> tuple[Progress, ...]:
    """Return what was told of progress; what came without a record has one that says so."""
    asked = {each.subscription_id for each in plan.subscriptions if WebhookType.TASK_PROGRESS in each.events}
    known = {each.delivery_id: each for each in records}
    came: dict[str, list[Receipt]] = {each: [] for each in known if is_progress(each)}
    for receipt in receipts:
        if is_progress(receipt.delivery_id):
            came.setdefault(receipt.delivery_id, []).append(receipt)
    told = []
    for delivery_id, each in came.items():
        record = known.get(delivery_id)
        if record is None:
            first = each[0]
            record = Record(delivery_id, first.task_id, first.receiver, "no record", first.at_ms)
        told.append(Progress(record, tuple(each), record.receiver in asked))
    return tuple(told)
