"""`tunehook watch`: a live view of tasks on a terminal, lines in a log elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from tunehook.errors import InvalidInput
from tunehook.tasks import TaskKey
from tunehook.times import now_ms
from tunehook_cli import output, task_words
from tunehook_cli.commands.options import AsJson, ProviderName, StackName
from tunehook_cli.stack import Stack, find_stack

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tunehook_cli.watching import TaskState

_SCANNED: Final = ("task_id", "provider", "status")

Show = Callable[["Sequence[TaskState]"], None]
Told = TypeVar("Told")


def watch(
    task_id: Annotated[
        str | None,
        typer.Argument(
            metavar="TASK_ID", help="The task; by default all that are pending now.", show_default=False
        ),
    ] = None,
    provider: ProviderName = None,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Watch until the task has ended and its webhooks are settled; exit with 1 if it did not complete.

    On a terminal this is a live table, elsewhere a line for each change, with --json a line of JSON. Ctrl-C ends it;
    the task goes on.
    """
    from tunehook_cli.watching import Watcher, follow

    found = find_stack(stack)
    keys = _keys(found, task_id, provider)
    if not keys:
        if as_json:
            output.note("No task is pending.")
        else:
            print("No task is pending.")
        return
    watcher = Watcher(found.tasks, found.deliveries, found.subscriptions, found.network_policy)
    with _shown(as_json=as_json) as show:
        states = follow(watcher, keys, show, time.sleep)
    if not all(state.completed for state in states):
        raise typer.Exit(1)


def _keys(stack: Stack, task_id: str | None, provider: str | None) -> list[TaskKey]:
    from tunehook_cli.task_view import TaskView

    found = stack.tasks.scan(_SCANNED) if task_id is None else stack.tasks.of_id(task_id)
    keys = [
        TaskKey(task.task_id, task.provider)
        for task in map(TaskView.of, found)
        if provider in (None, task.provider) and (task_id is not None or task.is_pending)
    ]
    if task_id is not None and not keys:
        raise InvalidInput("TASK_ID", no_such_task(task_id, provider))
    return sorted(keys, key=lambda key: (key.provider, key.task_id))


def no_such_task(task_id: str, provider: str | None) -> str:
    """Return what to say where no task has this id."""
    return f"there is no task {output.printable(task_id)}" + (f" of {provider}" if provider else "")


def _shown(*, as_json: bool) -> AbstractContextManager[Show]:
    if as_json:
        return _lines(_document, lambda _, told: output.print_json_line(told))
    return _live() if sys.stdout.isatty() else _lines(_progress, _print_progress)


@contextmanager
def _live() -> Iterator[Show]:
    from rich.live import Live

    with Live(console=output.console(), auto_refresh=False) as live:
        yield lambda states: live.update(_table(states), refresh=True)


@contextmanager
def _lines(tell: Callable[[TaskState], Told], say: Callable[[TaskKey, Told], None]) -> Iterator[Show]:
    """Say of each task what there is to tell, where that has changed."""
    told: dict[TaskKey, Told] = {}

    def show(states: Sequence[TaskState]) -> None:
        for state in states:
            now = tell(state)
            if told.get(state.key) != now:
                told[state.key] = now
                say(state.key, now)

    yield show


def _print_progress(key: TaskKey, words: str) -> None:
    name = output.printable(f"{key.provider} {key.task_id}")
    print(f"{output.clock_time(now_ms())} {name}: {output.printable(words)}", flush=True)


def _document(state: TaskState) -> dict[str, Any]:
    """Return how a task stands, as `tasks list --json` has it, with how far its webhooks are."""
    task = state.task
    return {
        "task_id": state.key.task_id,
        "provider": state.key.provider,
        "status": "deleted" if task is None else task.status,
        "phase": None if task is None else task.phase,
        "last_error": None if task is None or not task.is_pending else task.last_error,
        "failure": None if task is None or task.failure is None else task.failure.model_dump(),
        "archived_at_ms": None if task is None else task.archived_at_ms,
        "files": None if task is None else dict(Counter(asset.status or "unknown" for asset in task.assets)),
        "webhooks": dict(Counter(delivery.status.value for delivery in state.deliveries)),
        "settled": state.settled,
    }


def _progress(state: TaskState) -> str:
    if state.task is None:
        return "deleted"
    remarks = task_words.remarks(state.task, now_ms(), state.deliveries)
    return f"{state.task.status}; {remarks}" if remarks else state.task.status


def _table(states: Sequence[TaskState]) -> RenderableType:
    headers = ("TASK", "PROVIDER", "STATUS", "TIME", "REMARKS")
    return output.make_table(headers, [_row(state, now_ms()) for state in states])


def _row(state: TaskState, now: int) -> tuple[object, ...]:
    key, task = state.key, state.task
    if task is None:
        return key.task_id, key.provider, "deleted", None, None
    took = task_words.took_s(task, now)
    return (
        key.task_id,
        key.provider,
        task.status,
        None if took is None else output.duration(took),
        task_words.short(task_words.remarks(task, now, state.deliveries)),
    )
