"""`tunehook tasks`: what is polled, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Annotated

import typer

from tunehook.operations import tasks
from tunehook.operations.task_view import AssetView, TaskView
from tunehook.tasks import Status
from tunehook.times import now_ms
from tunehook_cli.asking import Yes, confirm
from tunehook_cli.commands.options import AsJson, ProviderName, StackName, TaskId, key_values
from tunehook_cli.durations import parse_duration
from tunehook_cli.output import Output, clock_time, make_table, moment, printable
from tunehook_cli.rendering import tasks as rendering
from tunehook_cli.rendering.deliveries import print_webhooks
from tunehook_cli.stack import find_stack

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_tasks(
    status: Annotated[
        Status | None,
        typer.Option(
            metavar="STATUS", help="Filter by status: pending, completed, failed, rejected or cancelled."
        ),
    ] = None,
    provider: ProviderName = None,
    since: Annotated[
        str | None, typer.Option(help="Only tasks submitted since then: 30m, 2h or 7d ago.")
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only tasks with this metadata.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of rows.")] = 50,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """List tasks, the latest first. This reads the whole table."""
    out = Output(as_json)
    since_ms = 0 if since is None else now_ms() - parse_duration(since, "since")
    wanted = key_values(metadata)
    page = tasks.list_tasks(
        find_stack(stack), status=status, provider=provider, since_ms=since_ms, metadata=wanted, limit=limit
    )
    out.json(page.tasks)
    if not page.tasks:
        out.note("No tasks match." if status or provider or since or wanted else "There are no tasks.")
        return
    now = now_ms()
    headers = ("TASK", "PROVIDER", "STATUS", "SUBMITTED", "TOOK", "REMARK")
    out.table(headers, [_row(task, now) for task in page.tasks])
    if page.total > limit:
        out.note(f"The latest {limit} of {page.total} tasks; --limit shows more.")


def _row(task: TaskView, now: int) -> tuple[object, ...]:
    return (
        task.task_id,
        task.provider,
        task.status,
        None if task.submitted_at_ms is None else clock_time(task.submitted_at_ms),
        rendering.took(task, now),
        rendering.short(rendering.trouble(task, now) or rendering.phase(task)),
    )


@app.command("show")
def show_task(
    task_id: TaskId, provider: ProviderName = None, as_json: AsJson = False, stack: StackName = None
) -> None:
    """Show a task, its files and its webhooks."""
    out, found = Output(as_json), find_stack(stack)
    task = tasks.get_task(found, task_id, provider)
    deliveries = tasks.deliveries_of(found, task)
    if as_json:
        from tunehook.operations.documents import task_document

        out.json(task_document(task, deliveries))
        return
    out.fields(_fields(task))
    for title, lines, left_out in rendering.texts(task):
        more = [f"… and {left_out} characters: `tunehook results` leads to all of them"] if left_out else []
        out.section(printable(title), "\n".join(map(printable, [*lines, *more])))
    _print_files(out, task, found.output("ResultsBucket"))
    print_webhooks(out, deliveries)


@app.command("cancel")
def cancel_task(
    task_id: TaskId,
    provider: ProviderName = None,
    yes: Yes = False,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Stop watching a pending task. No event and no webhook is sent.

    The provider gets no request and may still finish the task. Submit it again
    to run it again.
    """
    out, found = Output(as_json), find_stack(stack)
    task = tasks.get_task(found, task_id, provider)
    if task.is_pending:
        confirm(lambda: f"Cancel {task_id} of {task.provider}?", yes=yes)
    cancelled = tasks.cancel(found, task_id, task.provider)
    if as_json:
        from tunehook.operations.documents import task_document

        out.json(task_document(cancelled.task))
    verb = "was already cancelled" if cancelled.was_cancelled else "is cancelled"
    out.line(f"{printable(task_id)} of {printable(task.provider)} {verb}.")


def _fields(task: TaskView) -> list[tuple[str, object]]:
    now = now_ms()
    metadata = task.metadata
    if isinstance(metadata, Mapping):
        metadata = ", ".join(f"{key}={value}" for key, value in metadata.items())
    return [
        ("task", task.task_id),
        ("provider", task.provider),
        ("status", task.status),
        ("phase", rendering.phase(task)),
        ("last error" if task.is_pending else "failure", rendering.trouble(task, now)),
        ("submitted", moment(task.submitted_at_ms)),
        ("finished", moment(task.finished_at_ms)),
        ("cancelled" if task.is_cancelled else "detected", moment(task.detected_at_ms)),
        ("age" if task.is_pending else "took", rendering.took(task, now)),
        ("deadline", moment(task.deadline_ms) if task.is_pending else None),
        ("files kept", moment(task.archived_at_ms)),
        ("files", rendering.missing_files(task) if _waits_for_files(task) else None),
        ("notify hook", task.notify_hook),
        ("notify format", task.notify_format),
        ("metadata", metadata),
        ("unreadable", ", ".join(task.unreadable) or None),
    ]


def _waits_for_files(task: TaskView) -> bool:
    return not (task.is_pending or task.is_cancelled or task.is_archived)


def _print_files(out: Output, task: TaskView, bucket: str) -> None:
    if not task.assets:
        return
    folder = _folder([asset.key for asset in task.assets if asset.key])
    rows = rendering.file_rows(task, task.assets, lambda asset: _place(asset, folder))
    title = f"Files in s3://{bucket}/{folder}" if folder else "Files"
    out.section(title, make_table(("CLIP", "WHAT", "SIZE", "TYPE", "NAME"), rows))


def _folder(keys: Sequence[str]) -> str:
    folders = [key.split("/")[:-1] for key in keys]
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False))
    return "".join(f"{parts[0]}/" for parts in shared)


def _place(asset: AssetView, folder: str) -> str:
    if asset.key:
        return asset.key.removeprefix(folder)
    if asset.status == "pending":
        return f"pending: {asset.reason}" if asset.reason else "pending"
    return f"unavailable: {asset.reason}"
