"""The way of a task as a list of moments: submitted, detected, its files, each attempt of its webhooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Step(NamedTuple):
    """Something that happened at a moment (ISO-8601), and how it went: ``good``, ``bad`` or ``plain``."""

    at: str
    what: str
    detail: str
    tone: str = "plain"


def timeline(task: Mapping[str, Any]) -> list[Step]:
    """Return what is known to have happened to a task (its document), in the order in which it did."""
    return sorted(_steps(task), key=lambda step: step.at)


def _steps(task: Mapping[str, Any]) -> Iterator[Step]:
    if task["submitted_at"]:
        yield Step(task["submitted_at"], "Submitted", f"to {task['provider']}")
    if task["finished_at"]:
        yield Step(task["finished_at"], "Finished at the provider", "by its own clock")
    if task["detected_at"]:
        failure = task["failure"] or {}
        tone = "good" if task["status"] == "completed" else "bad"
        yield Step(task["detected_at"], f"End detected: {task['status']}", failure.get("reason") or "", tone)
    if task["archived_at"]:
        assets = task["assets"] or []
        kept = sum(each["status"] == "archived" for each in assets)
        tone = "good" if kept == len(assets) else "bad"
        yield Step(task["archived_at"], "Files settled", f"{kept} of {len(assets)} kept", tone)
    for delivery in task["deliveries"] or []:
        to = delivery["url"] or delivery["subscription_id"]
        if delivery["created_at"]:
            yield Step(delivery["created_at"], f"Webhook {delivery['type']} made", f"for {to}")
        for attempt in delivery["attempts"] or []:
            if attempt["at"]:
                status = attempt["status_code"]
                answer = f"HTTP {status}" if status else attempt["error"] or "no answer"
                tone = "good" if status and 200 <= status < 300 else "bad"
                yield Step(attempt["at"], f"Attempt {attempt['attempt']}: {answer}", f"to {to}", tone)
