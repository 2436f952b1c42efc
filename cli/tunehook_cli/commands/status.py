"""`tunehook status`: the state of the whole stack at a glance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from tunehook.operations.queues import Depth
from tunehook.operations.status import (
    ConfiguredProviders,
    DeliveryCounts,
    EndedTasks,
    PendingTasks,
    Pollers,
    StackStatus,
    SubscriptionCounts,
    UnknownPart,
    read_status,
)
from tunehook.operations.text import duration
from tunehook.times import now_ms
from tunehook_cli.commands.options import AsJson, StackName
from tunehook_cli.durations import parse_duration
from tunehook_cli.output import Output
from tunehook_cli.stack import find_stack


def status(
    since: Annotated[
        str,
        typer.Option(
            help="Count tasks that ended and deliveries that were made in this time: 30m, 2h or 7d."
        ),
    ] = "24h",
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Show the state of the stack: tasks, files, deliveries, queues, the poller; exit with 1 if a part is unknown.

    Pending tasks are counted in the indexes. Ended tasks are counted over at most 10 MB of the table.
    """
    out, since_ms = Output(as_json), now_ms() - parse_duration(since, "since")
    found = find_stack(stack)
    parts = read_status(found, since_ms)
    if as_json:
        from tunehook.operations.documents import with_moments

        out.json(with_moments({"stack": found.name, "region": found.region, **parts.model_dump()}))
    out.fields([("stack", f"{found.name} in {found.region}"), *_fields(parts, since)])
    if any(isinstance(part, UnknownPart) for _, part in parts):
        raise typer.Exit(1)


def _fields(parts: StackStatus, since: str) -> list[tuple[str, object]]:
    now = now_ms()
    renderers: list[tuple[str, Any, Callable[[Any], list[str]]]] = [
        ("tasks", parts.tasks, lambda part: _tasks(part, now)),
        ("ended", parts.ended, lambda part: _ended(part, since)),
        ("files", parts.ended, _files),
        ("deliveries", parts.deliveries, lambda part: _deliveries(part, now, since)),
        ("subscriptions", parts.subscriptions, _subscriptions),
        ("queues", parts.queues, _queues),
        ("dead letters", parts.dead_letters, _dead_letters),
        ("poller", parts.poller, lambda part: _poller(part, now)),
        ("providers", parts.providers, _providers),
    ]
    fields: list[tuple[str, object]] = []
    for name, part, render in renderers:
        if isinstance(part, UnknownPart) and name == "files":
            continue  # it is said of `ended`
        lines = [f"unknown: {part.error}"] if isinstance(part, UnknownPart) else render(part)
        fields += [(name if number == 0 else "", line) for number, line in enumerate(lines)]
    return fields


def _tasks(part: PendingTasks, now: int) -> list[str]:
    lines = ["none pending"]
    if (oldest := part.oldest) is not None:
        age = duration((now - oldest.since_ms) / 1000)
        lines = [f"{part.pending} pending, the oldest for {age}: {oldest.provider} {oldest.task_id}"]
    if part.overdue:
        lines.append(f"{part.overdue} past the deadline, waiting for a response")
    lines += [f"{each.count} pending with errors: {each.last_error}" for each in part.troubles]
    if part.event_not_out:
        lines.append(f"{part.event_not_out} ended, event pending")
    if part.unreadable:
        lines.append(f"{part.unreadable} unreadable: their attributes hold values that tunehook never writes")
    return lines


def _ended(part: EndedTasks, since: str) -> list[str]:
    names = ("completed", "failed", "rejected", "cancelled")
    counts = _counts({name: getattr(part, name) for name in names}, "none")
    return [f"{_at_least(part)}{counts}, in the last {since}"]


def _at_least(part: EndedTasks | DeliveryCounts) -> str:
    return "" if part.complete else "at least (only part of the table was read): "


def _files(part: EndedTasks) -> list[str]:
    files = part.files
    counts = {"complete": files.complete, "incomplete": files.partial, "in progress": files.on_the_way}
    return [f"{_at_least(part)}{_counts(counts, 'none')}"]


def _deliveries(part: DeliveryCounts, now: int, since: str) -> list[str]:
    names = ("pending", "delivered", "failed", "aborted")
    counts = _counts({name: getattr(part, name) for name in names}, "none")
    lines = [f"{_at_least(part)}{counts}, in the last {since}"]
    if part.overdue:
        lines.append(f"{part.overdue} overdue")
    lines += [
        f"next attempt in {duration((each.at_ms - now) / 1000)}: {each.delivery_id} to {each.subscription_id}"
        for each in part.next_attempts
    ]
    return lines


def _subscriptions(part: SubscriptionCounts) -> list[str]:
    return [_counts(part.model_dump(), "none")]


def _queues(part: Mapping[str, Depth]) -> list[str]:
    return [
        f"{queue}: "
        + _counts({"waiting": found.waiting, "in progress": found.taken, "delayed": found.later}, "empty")
        for queue, found in part.items()
    ]


def _dead_letters(part: Mapping[str, int]) -> list[str]:
    found = [(name, count) for name, count in part.items() if count]
    return [f"{name}: {count}; `tunehook dlq list {name}` shows them" for name, count in found] or ["none"]


def _poller(part: Pollers, now: int) -> list[str]:
    lines = []
    for each in part.shards:
        if each.live:
            text = "poller is running"
        elif each.seen_ms is None:
            text = "no work yet"
        else:
            text = f"idle, last work {duration((now - each.seen_ms) / 1000)} ago"
        lines.append(f"shard {each.shard}: {text}")
    return lines


def _providers(part: ConfiguredProviders) -> list[str]:
    lines = [f"{name}: {kind}" for name, kind in part.usable.items()]
    lines += [f"{name}: unusable: {error}" for name, error in part.unusable.items()]
    return lines or ["none configured: add one with `tunehook providers set`"]


def _counts(counts: Mapping[str, int], nothing: str) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or nothing
