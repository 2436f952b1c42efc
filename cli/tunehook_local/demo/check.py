"""The tasks of the demonstration, and a check that each has its status, files, webhooks, signatures and links."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tunehook_local.demo.observer import Observer, ReceivedWebhook, StoredFile


@dataclass(frozen=True, slots=True)
class DemoTask:
    """A task of ``sandbox/scenarios/demo.toml``, and the `status` with which it must end.

    `files` has how many must be in S3 by content type, the manifest aside; one that `has_hook` has its own webhook.
    It was begun at its provider `age_s` before tunehook is told of it: by the HTTP API if it goes `by_api`, else by an
    item of the table. Of one that `calls_back`, the provider calls the stack when it has ended.
    """

    provider: str
    task_id: str
    status: str
    files: dict[str, int]
    has_hook: bool = False
    age_s: int = 0
    by_api: bool = False
    calls_back: bool = False


TASKS: Final = (
    DemoTask(
        "musicmint", "demo-sunrise", "completed", {"audio/mpeg": 1, "image/jpeg": 1}, age_s=30, by_api=True
    ),
    DemoTask(
        "qhaigc",
        "demo-spring",
        "completed",
        {"audio/mpeg": 2, "image/jpeg": 2},
        has_hook=True,
        age_s=5,
        calls_back=True,
    ),
    DemoTask(
        "suno", "demo-city-lights", "completed", {"audio/mpeg": 2, "image/jpeg": 4, "video/mp4": 2}, age_s=5
    ),
    DemoTask("suno", "demo-failure", "failed", {}),
)
"""A direct provider's task is polled when it is put, and then not before it is 20 s old, so that a song that is half
made would keep the demonstration waiting: that of musicmint is finished by then, and qhaigc calls back."""

SUBSCRIBED: Final = "subscribed"
HOOK: Final = "notify-hook"
"""The names of the two receivers."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a task; `problems` says in words what is missing or wrong."""

    task: DemoTask
    status: str
    files: list[StoredFile]
    webhooks: list[ReceivedWebhook]
    unverified: list[ReceivedWebhook]
    problems: list[str]


def examine(
    observer: Observer, task: DemoTask, received: list[ReceivedWebhook], secrets: dict[str, str]
) -> Finding:
    """Check all that a task came to: `received` has all tasks' webhooks, `secrets` the secrets by receiver."""
    item = observer.task(task.provider, task.task_id)
    files = observer.files(task.provider, task.task_id)
    webhooks = [each for each in received if each.content["data"]["task_id"] == task.task_id]
    unverified = [each for each in webhooks if not each.is_signed_with(secrets[each.receiver])]
    status = str(item.get("status", "missing"))
    problems = [] if status == task.status else [f"is {status}, not {task.status}"]
    problems += _problems_of_files(task, item, files)
    if task.calls_back and 200 not in observer.callbacks(task.task_id):
        problems.append("has no callback about its end that the stack answered with 200")
    problems += _problems_of_webhooks(task, webhooks)
    problems += [f"has a webhook at {each.receiver} whose signature does not verify" for each in unverified]
    problems += _problems_of_links(observer, webhooks)
    return Finding(task, status, files, webhooks, unverified, problems)


def _problems_of_files(task: DemoTask, item: dict[str, Any], files: list[StoredFile]) -> list[str]:
    problems = []
    media = [file for file in files if not file.key.endswith("/manifest.json")]
    if len(media) == len(files):
        problems.append("has no manifest in S3")
    if (kinds := Counter(file.content_type for file in media)) != task.files:
        problems.append(f"has {dict(kinds) or 'no files'} in S3, not {task.files or 'none'}")
    recorded = {asset.get("key"): asset.get("sha256") for asset in item.get("assets", ())}
    problems += [
        f"{file.key} does not match the task's item"
        for file in media
        if recorded.get(file.key) != file.sha256
    ]
    return problems


def _problems_of_webhooks(task: DemoTask, webhooks: list[ReceivedWebhook]) -> list[str]:
    problems = []
    wanted = Counter([SUBSCRIBED, HOOK] if task.has_hook else [SUBSCRIBED])
    if (arrived := Counter(webhook.receiver for webhook in webhooks)) != wanted:
        problems.append(f"has webhooks at {dict(arrived) or 'no receiver'}, not {dict(wanted)}")
    types = [webhook.content["type"] for webhook in webhooks]
    return problems + [f"has a webhook of type {each}" for each in types if each != f"task.{task.status}"]


def _problems_of_links(observer: Observer, webhooks: list[ReceivedWebhook]) -> list[str]:
    problems = []
    clips = [clip for webhook in webhooks for clip in webhook.content["data"]["clips"]]
    for asset in (asset for clip in clips for asset in clip["assets"]):
        try:
            data = observer.download(asset["url"])
        except httpx.HTTPError as error:
            problems.append(f"has a link in a webhook that does not work: {type(error).__name__}")
            continue
        if hashlib.sha256(data).hexdigest() != asset["sha256"]:
            problems.append("has a link in a webhook that returns other bytes")
    return problems
