"""`tunehook watch`: a live view of tasks on a terminal, lines in a log elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tunehook.errors import InvalidInput
from tunehook.tasks import TaskKey
from tunehook.times import now_ms
from tunehook_cli import output, task_words
from tunehook_cli.commands.options import ProviderName, StackName
from tunehook_cli.stack import Stack, find_stack

if TYPE_CHECKING:
    from rich.table import Table

    from tunehook_cli.watching import TaskState

_SCANNED: Final = ("task_id", "provider", "status")

Show = Callable[["Sequence[TaskState]"], None]


def watch(
    task_id: Annotated[
        str | None,
        typer.Argument(
            metavar="TASK_ID", help="The task; by default all that are pending now.", show_default=False
        ),
    ] = None,
    provider: ProviderName = None,
    stack: StackName = None,
) -> None:
    """Watch until the task has ended and its webhooks are settled; exit with 1 if it did not complete.

    On a terminal this is a live table, elsewhere a line for each change. Ctrl-C ends it; the task goes on.
    """
    from tunehook_cli.watching import Watcher, follow

    found = find_stack(stack)
    keys = _keys(found, task_id, provider)
    if not keys:
        print("No task is pending.")
        return
    watcher = Watcher(found.tasks, found.deliveries, found.subscriptions, found.network_policy)
    with _live() if sys.stdout.isatty() else _lines() as show:
        states = follow(watcher, keys, show, time.sleep)
    if not all(state.completed for state in states):
        raise typer.Exit(1)


def _keys(stack: Stack, task_id: str | None, provider: str | None) -> list[TaskKey]:
    if task_id is None:
        items = [each for each in stack.tasks.scan(_SCANNED) if task_words.is_pending(each)]
    else:
        items = stack.tasks.of_id(task_id)
    keys = [
        TaskKey(item["task_id"], item["provider"]) for item in items if provider in (None, item["provider"])
    ]
    if task_id is not None and not keys:
        raise InvalidInput("TASK_ID", no_such_task(task_id, provider))
    return sorted(keys, key=lambda key: (key.provider, key.task_id))


def no_such_task(task_id: str, provider: str | None) -> str:
    """Return what to say where no task has this id."""
    return f"there is no task {output.printable(task_id)}" + (f" of {provider}" if provider else "")


@contextmanager
def _live() -> Iterator[Show]:
    from rich.live import Live

    with Live(console=output.console(), auto_refresh=False) as live:
        yield lambda states: live.update(_table(states), refresh=True)


@contextmanager
def _lines() -> Iterator[Show]:
    shown: dict[TaskKey, str] = {}

    def show(states: Sequence[TaskState]) -> None:
        for state in states:
            words = output.printable(_progress(state))
            if shown.get(state.key) != words:
                shown[state.key] = words
                name = output.printable(f"{state.key.provider} {state.key.task_id}")
                print(f"{output.clock_time(now_ms())} {name}: {words}", flush=True)

    yield show


def _progress(state: TaskState) -> str:
    if state.item is None:
        return "deleted"
    remarks = task_words.remarks(state.item, now_ms(), state.deliveries)
    return f"{task_words.status(state.item)}; {remarks}" if remarks else task_words.status(state.item)


def _table(states: Sequence[TaskState]) -> Table:
    headers = ("TASK", "PROVIDER", "STATUS", "TIME", "REMARKS")
    return output.make_table(headers, [_row(state, now_ms()) for state in states])


def _row(state: TaskState, now: int) -> tuple[object, ...]:
    key, item = state.key, state.item
    if item is None:
        return key.task_id, key.provider, "deleted", None, None
    took = task_words.took_s(item, now)
    return (
        key.task_id,
        key.provider,
        task_words.status(item),
        None if took is None else output.duration(took),
        task_words.short(task_words.remarks(item, now, state.deliveries)),
    )
