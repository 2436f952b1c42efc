"""`tunehook tasks`: what is watched, and what came of it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
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
    status: Annotated[Status | None, typer.Option(help="Only those that stand so.")] = None,
    provider: ProviderName = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """List tasks, the latest first. This reads the whole table."""
    items = [
        item
        for item in find_stack(stack).tasks.scan(_LISTED)
        if status in (None, item.get("status")) and provider in (None, item["provider"])
    ]
    # One that intake has not seen yet has no times, and is the latest.
    items.sort(key=lambda item: item.get("submitted_at_ms", float("inf")), reverse=True)
    if as_json:
        output.print_json(items[:limit])
        return
    if not items:
        output.note("There is no such task." if status or provider else "There is no task.")
        return
    now = now_ms()
    output.print_table(
        ("TASK", "PROVIDER", "STATUS", "SUBMITTED", "TOOK", "REMARK"),
        [_row(item, now) for item in items[:limit]],
    )
    if len(items) > limit:
        output.note(f"The latest {limit} of {len(items)} tasks; --limit shows more.")


def _row(item: Mapping[str, Any], now: int) -> tuple[object, ...]:
    took, submitted = task_words.took_s(item, now), item.get("submitted_at_ms")
    return (
        item["task_id"],
        item["provider"],
        task_words.status(item),
        None if submitted is None else output.clock_time(submitted),
        None if took is None else output.duration(took),
        task_words.short(task_words.trouble(item, now) or task_words.phase(item)),
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
    found = find_stack(stack)
    item = task_item(found, task_id, provider)
    deliveries = _deliveries(found, item)
    if as_json:
        output.print_json(
            item | {"deliveries": [each.model_dump(mode="json", exclude_none=True) for each in deliveries]}
        )
        return
    output.print_fields(_fields(item))
    _print_texts(item)
    _print_files(item, found.output("ResultsBucket"))
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


def _fields(item: Mapping[str, Any]) -> list[tuple[str, object]]:
    now = now_ms()
    took = task_words.took_s(item, now)
    metadata = item.get("metadata")
    pending = task_words.is_pending(item)
    return [
        ("task", item["task_id"]),
        ("provider", item["provider"]),
        ("status", task_words.status(item)),
        ("phase", task_words.phase(item)),
        ("failure" if not pending else "last error", task_words.trouble(item, now)),
        ("submitted", output.moment(item.get("submitted_at_ms"))),
        ("finished", output.moment(item.get("finished_at_ms"))),
        ("end noticed", output.moment(item.get("detected_at_ms"))),
        ("took" if not pending else "age", None if took is None else output.duration(took)),
        ("deadline", output.moment(item.get("deadline_ms")) if pending else None),
        ("files kept", output.moment(item.get("archived_at_ms"))),
        ("files", None if pending or "archived_at_ms" in item else task_words.waited_for(item)),
        ("notify hook", item.get("notify_hook")),
        ("notify format", item.get("notify_format")),
        (
            "metadata",
            ", ".join(f"{key}={value}" for key, value in metadata.items())
            if isinstance(metadata, Mapping)
            else metadata,
        ),
    ]


def _print_texts(item: Mapping[str, Any]) -> None:
    for title, lines, left_out in task_words.texts(item):
        more = [f"… and {left_out} characters: `tunehook results` leads to all of them"] if left_out else []
        text = "\n".join(map(output.printable, [*lines, *more]))
        output.print_section(output.printable(title), text)


def _print_files(item: Mapping[str, Any], bucket: str) -> None:
    assets = item.get("assets")
    if not assets:
        return
    titles = {clip.get("clip_id"): clip.get("title") for clip in item.get("clips", ())}
    keys = [asset["key"] for asset in assets if asset.get("key")]
    folder = f"{posixpath.commonpath(map(posixpath.dirname, keys))}/" if keys else ""
    rows = [
        (
            titles.get(asset["clip_id"]) or asset["clip_id"],
            asset["type"],
            output.size(asset.get("bytes")),
            task_words.media_type(asset),
            _place(asset, folder),
        )
        for asset in assets
    ]
    title = f"Files in s3://{bucket}/{folder}" if folder else "Files"
    output.print_section(title, output.make_table(("CLIP", "WHAT", "SIZE", "TYPE", "NAME"), rows))


def _place(asset: Mapping[str, Any], folder: str) -> str:
    if asset.get("key"):
        return str(asset["key"]).removeprefix(folder)
    if asset.get("status") == "pending":
        return f"may still come: {asset['reason']}" if asset.get("reason") else "may still come"
    return f"not kept: {asset.get('reason')}"


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
