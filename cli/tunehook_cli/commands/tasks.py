"""`tunehook tasks`: what is watched, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tunehook.errors import InvalidInput
from tunehook.tasks import Status
from tunehook.times import now_ms
from tunehook_cli import delivery_words, output, task_words
from tunehook_cli.commands.options import AsJson, ProviderName, StackName
from tunehook_cli.commands.watch import no_such_task
from tunehook_cli.stack import Stack, find_stack

if TYPE_CHECKING:
    from tunehook.deliveries import Delivery
    from tunehook_cli.task_view import AssetView, TaskView

app = typer.Typer(no_args_is_help=True, help="The tasks that are or were watched.")

_LISTED: Final = (
    "task_id",
    "provider",
    "status",
    "phase",
    "submitted_at_ms",
    "finished_at_ms",
    "detected_at_ms",
    "deadline_ms",
    "archived_at_ms",
    "failure",
    "last_error",
    "streaming_since_ms",
    "notify_hook",
    "metadata",
)


@app.command("list")
def list_tasks(
    status: Annotated[
        Status | None,
        typer.Option(
            metavar="STATUS",
            help="Only those that are pending, completed, failed or rejected.",
            show_default=False,
        ),
    ] = None,
    provider: ProviderName = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """List tasks, the latest first. This reads the whole table."""
    from tunehook_cli.task_view import TaskView

    items = [
        item
        for item in find_stack(stack).tasks.scan(_LISTED)
        if status in (None, item.get("status")) and provider in (None, item["provider"])
    ]
    items.sort(key=_age, reverse=True)
    if as_json:
        output.print_json(items[:limit])
        return
    if not items:
        output.note("There is no such task." if status or provider else "There is no task.")
        return
    now = now_ms()
    output.print_table(
        ("TASK", "PROVIDER", "STATUS", "SUBMITTED", "TOOK", "REMARK"),
        [_row(TaskView.of(item), now) for item in items[:limit]],
    )
    if len(items) > limit:
        output.note(f"The latest {limit} of {len(items)} tasks; --limit shows more.")


def _age(item: Mapping[str, Any]) -> float:
    """One that intake has not seen yet has no times, and is the latest."""
    submitted = item.get("submitted_at_ms")
    return submitted if isinstance(submitted, int | float) else float("inf")


def _row(task: TaskView, now: int) -> tuple[object, ...]:
    took = task_words.took_s(task, now)
    return (
        task.task_id,
        task.provider,
        task.status,
        None if task.submitted_at_ms is None else output.clock_time(task.submitted_at_ms),
        None if took is None else output.duration(took),
        task_words.short(task_words.trouble(task, now) or task_words.phase(task)),
    )


@app.command("show")
def show_task(
    task_id: Annotated[
        str, typer.Argument(metavar="TASK_ID", help="The task's id at the provider.", show_default=False)
    ],
    provider: ProviderName = None,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Show a task, its files and its webhooks."""
    from tunehook_cli.task_view import TaskView

    found = find_stack(stack)
    item = task_item(found, task_id, provider)
    deliveries = _deliveries(found, item)
    if as_json:
        output.print_json(
            item | {"deliveries": [each.model_dump(mode="json", exclude_none=True) for each in deliveries]}
        )
        return
    task = TaskView.of(item)
    output.print_fields(_fields(task))
    _print_texts(task)
    _print_files(task, found.output("ResultsBucket"))
    if deliveries:
        print_deliveries(deliveries)


def task_item(stack: Stack, task_id: str, provider: str | None) -> dict[str, Any]:
    """Return the item of a task.

    Raises
    ------
    InvalidInput
        If there is none, or several and no `provider` says which.
    """
    items = [item for item in stack.tasks.of_id(task_id) if provider in (None, item["provider"])]
    if not items:
        raise InvalidInput("TASK_ID", no_such_task(task_id, provider))
    if len(items) > 1:
        names = ", ".join(sorted(item["provider"] for item in items))
        raise InvalidInput("--provider", f"say which one, as several have a task of this id: {names}")
    return items[0]


def _deliveries(stack: Stack, item: Mapping[str, Any]) -> list[Delivery]:
    found = (stack.deliveries.get(each) for each in stack.deliveries.ids_of_task(item["task_id"]))
    return [each for each in found if each is not None and each.provider == item["provider"]]


def _fields(task: TaskView) -> list[tuple[str, object]]:
    now = now_ms()
    took = task_words.took_s(task, now)
    metadata = task.metadata
    return [
        ("task", task.task_id),
        ("provider", task.provider),
        ("status", task.status),
        ("phase", task_words.phase(task)),
        ("last error" if task.is_pending else "failure", task_words.trouble(task, now)),
        ("submitted", output.moment(task.submitted_at_ms)),
        ("finished", output.moment(task.finished_at_ms)),
        ("end noticed", output.moment(task.detected_at_ms)),
        ("age" if task.is_pending else "took", None if took is None else output.duration(took)),
        ("deadline", output.moment(task.deadline_ms) if task.is_pending else None),
        ("files kept", output.moment(task.archived_at_ms)),
        ("files", None if task.is_pending or task.is_archived else task_words.waited_for(task)),
        ("notify hook", task.notify_hook),
        ("notify format", task.notify_format),
        (
            "metadata",
            ", ".join(f"{key}={value}" for key, value in metadata.items())
            if isinstance(metadata, Mapping)
            else metadata,
        ),
        ("unreadable", ", ".join(task.unreadable) or None),
    ]


def _print_texts(task: TaskView) -> None:
    for title, lines, left_out in task_words.texts(task):
        more = [f"… and {left_out} characters: `tunehook results` leads to all of them"] if left_out else []
        text = "\n".join(map(output.printable, [*lines, *more]))
        output.print_section(output.printable(title), text)


def _print_files(task: TaskView, bucket: str) -> None:
    if not task.assets:
        return
    titles = {clip.clip_id: clip.title for clip in task.clips}
    folder = _folder([asset.key for asset in task.assets if asset.key])
    rows = [
        (
            titles.get(asset.clip_id) or asset.clip_id,
            asset.type,
            output.size(asset.bytes),
            task_words.media_type(asset),
            _place(asset, folder),
        )
        for asset in task.assets
    ]
    title = f"Files in s3://{bucket}/{folder}" if folder else "Files"
    output.print_section(title, output.make_table(("CLIP", "WHAT", "SIZE", "TYPE", "NAME"), rows))


def _folder(keys: Sequence[str]) -> str:
    """Return the folder that all keys lie in, slash included; nothing if there is none."""
    folders = [key.split("/")[:-1] for key in keys]
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False))
    return "".join(f"{parts[0]}/" for parts in shared)


def _place(asset: AssetView, folder: str) -> str:
    if asset.key:
        return asset.key.removeprefix(folder)
    if asset.status == "pending":
        return f"may still come: {asset.reason}" if asset.reason else "may still come"
    return f"not kept: {asset.reason}"


def print_deliveries(deliveries: Sequence[Delivery]) -> None:
    """Print webhooks and what became of them."""
    rows = [
        (
            output.clock_time(each.created_at_ms),
            each.type,
            each.status.value,
            len(each.attempts),
            "notify hook" if each.url is not None else each.subscription_id,
            delivery_words.came_back(each),
        )
        for each in deliveries
    ]
    headers = ("MADE", "EVENT", "STATUS", "TRIES", "TO", "LAST ANSWER")
    output.print_section("Webhooks", output.make_table(headers, rows))
