"""`tunehook status`: how the whole stack stands, at a glance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import typer

from tunehook.errors import TunehookError
from tunehook.times import now_ms
from tunehook_cli import output
from tunehook_cli.commands.options import AsJson, StackName
from tunehook_cli.spans import parse_span
from tunehook_cli.stack import Stack, find_stack

_UNKNOWN: Final = "not known"


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
    since_ms = now_ms() - parse_span(since, "--since")
    found = find_stack(stack)
    parts = _read(found, since_ms)
    if as_json:
        output.print_json({"stack": found.name, "region": found.region, **parts})
    else:
        output.print_fields(_fields(found, parts, since))
    if any(set(part) == {"error"} for part in parts.values()):
        raise typer.Exit(1)


def _read(stack: Stack, since_ms: int) -> dict[str, Any]:
    from tunehook_cli.operating import figures

    now = now_ms()
    readers: dict[str, Callable[[], Any]] = {
        "tasks": lambda: figures.tasks(stack, now),
        "ended": lambda: figures.ended(stack, since_ms),
        "deliveries": lambda: figures.deliveries(stack, now, since_ms),
        "subscriptions": lambda: figures.subscriptions(stack),
        "queues": lambda: figures.queues(stack),
        "dead_letters": lambda: figures.dead_letters(stack),
        "poller": lambda: figures.poller(stack, now),
        "providers": lambda: figures.providers(stack),
    }
    return {name: _or_error(read) for name, read in readers.items()}


def _or_error(read: Callable[[], Any]) -> Any:
    """Return what was read, or why it could not be: whoever may not see one part can see the others."""
    from tunehook.aws.errors import AWS_FAULTS
    from tunehook_cli.faults import in_words

    try:
        return read()
    except TunehookError as error:
        return {"error": str(error)}
    except AWS_FAULTS as error:
        if (words := in_words(error)) is None:
            raise
        return {"error": words}


def _fields(stack: Stack, parts: Mapping[str, Any], since: str) -> list[tuple[str, object]]:
    now = now_ms()
    say: dict[str, Callable[[Any], list[str]]] = {
        "tasks": lambda part: _tasks(part, now),
        "ended": lambda part: _ended(part, since),
        "files": _files,
        "deliveries": lambda part: _deliveries(part, now, since),
        "subscriptions": lambda part: [_counts(part, "there is none")],
        "queues": _queues,
        "dead letters": _dead_letters,
        "poller": lambda part: _poller(part, now),
        "providers": _providers,
    }
    parts = {name.replace("_", " "): part for name, part in parts.items()}
    if "error" not in parts["ended"]:
        parts["files"] = parts["ended"]
    fields: list[tuple[str, object]] = [("stack", f"{stack.name} in {stack.region}")]
    for name, words in say.items():
        if name in parts:
            part = parts[name]
            lines = [f"{_UNKNOWN}: {part['error']}"] if set(part) == {"error"} else words(part)
            fields += [(name if number == 0 else "", line) for number, line in enumerate(lines)]
    return fields


def _tasks(part: Mapping[str, Any], now: int) -> list[str]:
    lines = ["none is pending"]
    if (oldest := part["oldest"]) is not None:
        age = output.duration((now - oldest["since_ms"]) / 1000)
        lines = [f"{part['pending']} pending, the oldest for {age}: {oldest['provider']} {oldest['task_id']}"]
    if part["overdue"]:
        lines.append(f"{part['overdue']} past their deadline, and waiting for an answer")
    lines += [f"{each['count']} pending with trouble: {each['last_error']}" for each in part["troubles"]]
    if part["event_not_out"]:
        lines.append(f"{part['event_not_out']} ended, and the event is on the way")
    if part["unreadable"]:
        lines.append(f"{part['unreadable']} unreadable: their attributes hold what tunehook never writes")
    return lines


def _ended(part: Mapping[str, Any], since: str) -> list[str]:
    words = _counts({name: part[name] for name in ("completed", "failed", "rejected")}, "none")
    return [f"{_at_least(part)}{words}, in the last {since}"]


def _at_least(part: Mapping[str, Any]) -> str:
    return "" if part["complete"] else "at least, as more is stored than a glance reads: "


def _files(part: Mapping[str, Any]) -> list[str]:
    files = part["files"]
    counts = {
        "archived whole": files["complete"],
        "with files that could not be had": files["partial"],
        "on the way": files["on_the_way"],
    }
    return [f"{_at_least(part)}{_counts(counts, 'none')}"]


def _deliveries(part: Mapping[str, Any], now: int, since: str) -> list[str]:
    words = _counts(
        {name: part[name] for name in ("pending", "delivered", "failed", "aborted")}, "none was made"
    )
    lines = [f"{_at_least(part)}{words}, in the last {since}"]
    if part["overdue"]:
        lines.append(f"{part['overdue']} overdue")
    lines += [
        f"next attempt in {output.duration((each['at_ms'] - now) / 1000)}: "
        f"{each['delivery_id']} to {each['subscription_id']}"
        for each in part["next_attempts"]
    ]
    return lines


def _queues(part: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, counts in part.items():
        named = {
            "waiting": counts["waiting"],
            "being worked on": counts["taken"],
            "for later": counts["later"],
        }
        lines.append(f"{name}: {_counts(named, 'empty')}")
    return lines


def _dead_letters(part: Mapping[str, int]) -> list[str]:
    held = [name for name in part if part[name]]
    return [f"{name}: {part[name]}; `tunehook dlq list {name}` shows them" for name in held] or ["none"]


def _poller(part: Mapping[str, Any], now: int) -> list[str]:
    lines = []
    for each in part["shards"]:
        if each["live"]:
            words = "a poller watches"
        elif each["seen_ms"] is None:
            words = "no pass has had work yet"
        else:
            ago = output.duration((now - each["seen_ms"]) / 1000)
            words = f"the last pass with work ended {ago} ago"
        lines.append(f"shard {each['shard']}: {words}")
    return lines


def _providers(part: Mapping[str, Mapping[str, str]]) -> list[str]:
    lines = [f"{name}: {kind}" for name, kind in part["usable"].items()]
    lines += [f"{name}: unusable: {error}" for name, error in part["unusable"].items()]
    return lines or ["none is configured: add one with `tunehook providers set`"]


def _counts(counts: Mapping[str, int], nothing: str) -> str:
    """Return the counts that are not 0, each before its name."""
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or nothing
