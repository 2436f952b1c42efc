"""The end of a run: the stack may go to public addresses only, and is sent where it may not go."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from tests.stack.driving import eventually
from tests.stack.faults.books import Refused
from tests.stack.faults.deployment import Deployment
from tests.stack.faults.kills import kill_workers
from tests.stack.faults.world import Forbidden, World
from tests.support.patience import NotCome

from tunehook.signatures import notify_hook_subscription_id

_GUARDED: Final = ("fulfillment", "webhooks")
_LAST_S: Final = 3.0

_AGE_S: Final = 30.0
"""So old, a task is asked about every few seconds if a question fails."""


@dataclass(frozen=True, slots=True)
class _Tried:
    """A task that leads where no request may go, with its hook or with its files."""

    forbidden: Forbidden
    is_hook: bool


def try_forbidden(world: World, stack: Deployment) -> tuple[Refused, ...]:
    """Set the network policy to ``public``, put what leads where no request may go, and see it refused.

    Returns
    -------
    tuple of Refused
        What was asked for, and what the tables say of its refusal.
    """
    with ThreadPoolExecutor(len(_GUARDED)) as threads:
        list(threads.map(partial(_guard, stack), _GUARDED))
    tried = [each for forbidden in world.forbidden_tasks() for each in _both(forbidden)]
    for each in tried:
        world.begin_forbidden(each.forbidden)
        task = each.forbidden.task
        hook = {"notify_hook": each.forbidden.hook_url} if each.is_hook else {}
        stack.put("TasksTable", task_id=task.task_id, provider=task.kind, **hook)
    # What is not on record is for the ledger to say.
    with suppress(NotCome):
        eventually(
            lambda: all(each.on_record for each in _refused(stack, tried)), moved=stack.moved, every_s=0.5
        )
    # A delivery may still be made after its task's files have been given up.
    time.sleep(_LAST_S)
    return tuple(_refused(stack, tried))


def _both(forbidden: Forbidden) -> Iterator[_Tried]:
    """Yield a task with such files and one with such a hook, unless no name server of this machine knows the host."""
    host = urlsplit(forbidden.hook_url).hostname
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return
    for what in ("files", "hook"):
        task = replace(forbidden.task, task_id=f"{forbidden.task.task_id}-{what}", age_s=_AGE_S)
        yield _Tried(replace(forbidden, task=task), is_hook=what == "hook")


def _guard(stack: Deployment, function: str) -> None:
    """Give a function the policy; workers that run with the old one end.

    The embedded AWS ends those that it knows of. It forgets a worker that is still being started while it ends all of a
    function's, and never ends it: such are killed here. Nothing is under way any more.
    """
    lambdas, name = stack.client("lambda"), stack.function_name(function)
    variables = lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    before = set(stack.worker_pids(function))
    lambdas.update_function_configuration(
        FunctionName=name, Environment={"Variables": variables | {"NETWORK_POLICY": "public"}}
    )
    kill_workers(stack.home, name)
    eventually(lambda: not before & set(stack.worker_pids(function)), every_s=0.1)


def _refused(stack: Deployment, tried: Sequence[_Tried]) -> list[Refused]:
    task_ids = {each.forbidden.task.task_id for each in tried}
    items = {item["task_id"]: item for item in stack.items("TasksTable") if item["task_id"] in task_ids}
    deliveries = {
        (item["task_id"], item["subscription_id"]): item
        for item in stack.items("DeliveriesTable")
        if item.get("task_id") in task_ids
    }
    found = []
    for each in tried:
        item = items[each.forbidden.task.task_id]
        url = each.forbidden.hook_url
        if each.is_hook:
            delivery = deliveries.get((item["task_id"], notify_hook_subscription_id(url)))
            found.append(Refused(f"a hook at {url}", _of_hook(item, delivery)))
        else:
            found.append(Refused(f"files at {each.forbidden.assets_url}", _of_files(item)))
    return found


def _of_files(item: dict[str, Any]) -> str:
    """Return why the files of a task could not be had, if it is known of each of them."""
    if "archived_at_ms" not in item or not item["assets"]:
        return ""
    reasons = [asset.get("reason", "") for asset in item["assets"] if asset["status"] == "unavailable"]
    return "; ".join(dict.fromkeys(reasons)) if len(reasons) == len(item["assets"]) and all(reasons) else ""


def _of_hook(item: dict[str, Any], delivery: dict[str, Any] | None) -> str:
    """Return what became of a hook; one that is refused as it stands is never given a delivery."""
    if item.get("status") == "rejected":
        return str(item.get("error", ""))
    if "archived_at_ms" not in item:
        return ""
    if delivery is None:
        return "no delivery was made"
    errors = [attempt.get("error") for attempt in delivery.get("attempts", ())]
    return "; ".join(map(str, errors)) if errors and all(errors) else ""
