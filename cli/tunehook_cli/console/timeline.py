"""The way of a task as a list of moments: submitted, detected, event, its files, its webhooks and their attempts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tunehook.times import from_ms, iso
from tunehook_cli.console.views import link
from tunehook_cli.rendering.deliveries import answer_of


class Step(NamedTuple):
    """Something that happened at a moment (ISO-8601), and how it went: ``good``, ``bad`` or ``plain``.

    `place` is the page about it, None where there is none.
    """

    at: str
    what: str
    detail: str
    tone: str = "plain"
    place: str | None = None


def timeline(
    task: Mapping[str, Any], files: Sequence[Mapping[str, Any]] = (), stored: Mapping[str, int] | None = None
) -> list[Step]:
    """Return what is known to have happened to a task (its document), in the order in which it did.

    `files` are its files as documents; `stored` says when each key was stored, in milliseconds since 1970.
    """
    # What happened in the same millisecond stays in the order of the way.
    return sorted(
        [*_way(task), *_files(task, files, stored or {}), *_webhooks(task)], key=lambda step: step.at
    )


def _way(task: Mapping[str, Any]) -> Iterator[Step]:
    if task["submitted_at"]:
        yield Step(task["submitted_at"], "Submitted", f"to {task['provider']}")
    if task["finished_at"]:
        yield Step(task["finished_at"], "Finished at the provider", "by its own clock")
    if task["detected_at"]:
        failure = task["failure"] or {}
        tone = "good" if task["status"] == "completed" else "bad"
        yield Step(task["detected_at"], f"End detected: {task['status']}", failure.get("reason") or "", tone)
        if task["event_id"] and task["event_pending"]:
            yield Step(task["detected_at"], "Event is being put on the bus", task["event_id"])
        elif task["event_id"]:
            kind = "TaskCompleted" if task["status"] == "completed" else "TaskFailed"
            yield Step(task["detected_at"], f"Event {kind} on the bus", task["event_id"], "good")


def _files(
    task: Mapping[str, Any], files: Sequence[Mapping[str, Any]], stored: Mapping[str, int]
) -> Iterator[Step]:
    for each in files:
        name = f"{each['type']} of {each['title'] or each['clip_id']}"
        if each["key"] in stored:
            detail = f"{each['bytes']} bytes" if each["bytes"] is not None else ""
            yield Step(iso(from_ms(stored[each["key"]])), f"File stored: {name}", detail, "good")
        elif each["status"] == "unavailable" and task["archived_at"]:
            yield Step(task["archived_at"], f"File not to be had: {name}", each["reason"] or "", "bad")
    if task["archived_at"]:
        kept = sum(each["status"] == "archived" for each in files)
        tone = "good" if kept == len(files) else "bad"
        yield Step(task["archived_at"], "Files settled", f"{kept} of {len(files)} kept", tone)


def _webhooks(task: Mapping[str, Any]) -> Iterator[Step]:
    for delivery in task["deliveries"] or []:
        to, place = (
            delivery["url"] or delivery["subscription_id"],
            link("/delivery", id=delivery["delivery_id"]),
        )
        if delivery["created_at"]:
            yield Step(delivery["created_at"], f"Webhook {delivery['type']} made", f"for {to}", place=place)
        for each in delivery["attempts"] or []:
            if each["at"]:
                status = each["status_code"]
                tone = "good" if status and 200 <= status < 300 else "bad"
                yield Step(
                    each["at"],
                    f"Attempt {each['attempt']}: {answer_of(status, each['error'])}",
                    f"to {to}",
                    tone,
                    place,
                )
