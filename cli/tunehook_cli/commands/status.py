"""`tunehook status`: the state of the whole stack at a glance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from tunehook.operations.documents import with_moments
from tunehook.operations.status import read_status
from tunehook.operations.text import duration
from tunehook.times import now_ms
from tunehook_cli.commands.options import AsJson, StackName
from tunehook_cli.durations import parse_duration
from tunehook_cli.output import Output
from tunehook_cli.stack import find_stack

Part = Mapping[str, Any]


def status(
    since: Annotated[
        str, typer.Option(help="Count what ended, and deliveries made, since then: 30m, 2h or 7d ago.")
    ] = "24h",
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Show how the stack stands: tasks, files, deliveries, queues, the poller; exit with 1 if a part is not known.

    What is pending is counted in the indexes. How tasks ended is counted over at most 10 MB of the table.
    """
    out, since_ms = Output(as_json), now_ms() - parse_duration(since, "since")
    found = find_stack(stack)
    parts = read_status(found, since_ms)
    out.json(with_moments({"stack": found.name, "region": found.region, **parts}))
    out.fields([("stack", f"{found.name} in {found.region}"), *_fields(parts, since)])
    if any(set(part) == {"error"} for part in parts.values()):
        raise typer.Exit(1)


def _fields(parts: Mapping[str, Any], since: str) -> list[tuple[str, object]]:
    now, ended = now_ms(), parts["ended"]
    renderers: dict[str, tuple[Part, Callable[[Part], list[str]]]] = {
        "tasks": (parts["tasks"], lambda part: _tasks(part, now)),
        "ended": (ended, lambda part: _ended(part, since)),
        "files": (ended, _files),
        "deliveries": (parts["deliveries"], lambda part: _deliveries(part, now, since)),
        "subscriptions": (parts["subscriptions"], lambda part: [_counts(part, "there is none")]),
        "queues": (parts["queues"], _queues),
        "dead letters": (parts["dead_letters"], _dead_letters),
        "poller": (parts["poller"], lambda part: _poller(part, now)),
        "providers": (parts["providers"], _providers),
    }
    if "error" in ended:
        del renderers["files"]
    fields: list[tuple[str, object]] = []
    for name, (part, render) in renderers.items():
        lines = [f"not known: {part['error']}"] if set(part) == {"error"} else render(part)
        fields += [(name if number == 0 else "", line) for number, line in enumerate(lines)]
    return fields


def _tasks(part: Part, now: int) -> list[str]:
    lines = ["none is pending"]
    if (oldest := part["oldest"]) is not None:
        age = duration((now - oldest["since_ms"]) / 1000)
        lines = [f"{part['pending']} pending, the oldest for {age}: {oldest['provider']} {oldest['task_id']}"]
    if part["overdue"]:
        lines.append(f"{part['overdue']} past their deadline, and waiting for an answer")
    lines += [f"{each['count']} pending with trouble: {each['last_error']}" for each in part["troubles"]]
    if part["event_not_out"]:
        lines.append(f"{part['event_not_out']} ended, and the event is on the way")
    if part["unreadable"]:
        lines.append(f"{part['unreadable']} unreadable: their attributes hold what tunehook never writes")
    return lines


def _ended(part: Part, since: str) -> list[str]:
    counts = _counts({name: part[name] for name in ("completed", "failed", "rejected")}, "none")
    return [f"{_at_least(part)}{counts}, in the last {since}"]


def _at_least(part: Part) -> str:
    return "" if part["complete"] else "at least, as more is stored than a glance reads: "


def _files(part: Part) -> list[str]:
    files = part["files"]
    counts = {
        "archived whole": files["complete"],
        "with files that could not be had": files["partial"],
        "on the way": files["on_the_way"],
    }
    return [f"{_at_least(part)}{_counts(counts, 'none')}"]


def _deliveries(part: Part, now: int, since: str) -> list[str]:
    names = ("pending", "delivered", "failed", "aborted")
    counts = _counts({name: part[name] for name in names}, "none was made")
    lines = [f"{_at_least(part)}{counts}, in the last {since}"]
    if part["overdue"]:
        lines.append(f"{part['overdue']} overdue")
    lines += [
        f"next attempt in {duration((each['at_ms'] - now) / 1000)}: "
        f"{each['delivery_id']} to {each['subscription_id']}"
        for each in part["next_attempts"]
    ]
    return lines


def _queues(part: Part) -> list[str]:
    names = {"waiting": "waiting", "taken": "being worked on", "later": "for later"}
    return [
        f"{queue}: {_counts({shown: counts[name] for name, shown in names.items()}, 'empty')}"
        for queue, counts in part.items()
    ]


def _dead_letters(part: Part) -> list[str]:
    found = [(name, count) for name, count in part.items() if count]
    return [f"{name}: {count}; `tunehook dlq list {name}` shows them" for name, count in found] or ["none"]


def _poller(part: Part, now: int) -> list[str]:
    lines = []
    for each in part["shards"]:
        if each["live"]:
            text = "a poller watches"
        elif each["seen_ms"] is None:
            text = "no pass has had work yet"
        else:
            text = f"the last pass with work ended {duration((now - each['seen_ms']) / 1000)} ago"
        lines.append(f"shard {each['shard']}: {text}")
    return lines


def _providers(part: Part) -> list[str]:
    lines = [f"{name}: {kind}" for name, kind in part["usable"].items()]
    lines += [f"{name}: unusable: {error}" for name, error in part["unusable"].items()]
    return lines or ["none is configured: add one with `tunehook providers set`"]


def _counts(counts: Mapping[str, int], nothing: str) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or nothing
