"""`tunehook watch`: a live view of tasks on a terminal, lines in a log elsewhere."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated, Any, TypeVar

import typer
from rich.live import Live

from tunehook.operations.tasks import find_keys
from tunehook.tasks import TaskKey
from tunehook.times import now_ms
from tunehook_cli import output
from tunehook_cli.commands.options import AsJson, ProviderName, StackName
from tunehook_cli.durations import parse_duration
from tunehook_cli.layout import Lines
from tunehook_cli.rendering import tasks as rendering
from tunehook_cli.signals import raise_on_ctrl_c
from tunehook_cli.stack import find_stack
from tunehook_cli.watching import TaskState, Until, Watcher, follow

Show = Callable[["Sequence[TaskState]"], None]
T = TypeVar("T")


def watch(
    task_id: Annotated[
        list[str] | None,
        typer.Argument(metavar="TASK_ID", help="The tasks; by default all pending ones."),
    ] = None,
    until: Annotated[
        Until,
        typer.Option(
            metavar="archived|told",
            help="Wait until the files are stored (archived), or until the webhooks are sent too (told).",
        ),
    ] = Until.ARCHIVED,
    timeout: Annotated[
        str | None,
        typer.Option(help="Stop waiting after this time, such as 90s, 10m or 2h.", show_default="none"),
    ] = None,
    provider: ProviderName = None,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Watch until the task's files are stored; exit with 1 if it did not complete.

    A task that has failed, or was rejected or cancelled, is done at once.
    Several tasks are watched until all are done.

    --until told waits for the webhooks too: until each was delivered, or
    its last attempt has failed.

    On a terminal this is a live table, elsewhere a line for each change,
    with --json a line of JSON. Ctrl-C and --timeout end it (the latter with
    exit status 1); the task goes on.
    """
    timeout_s = math.inf if timeout is None else parse_duration(timeout, "timeout") / 1000
    with raise_on_ctrl_c() as sleep:
        found = find_stack(stack)
        named: Sequence[str | None] = task_id if task_id else [None]
        keys = [key for each in named for key in find_keys(found, each, provider)]
        if not keys:
            print("No task is pending.", file=sys.stderr if as_json else sys.stdout)
            return
        with _shown(until, as_json=as_json) as show:
            states = follow(Watcher(found), keys, show, sleep, until=until, timeout_s=timeout_s)
    if waiting := [key for key in dict.fromkeys(keys) if key not in _done(states, until)]:
        names = ", ".join(output.printable(f"{key.provider} {key.task_id}") for key in waiting)
        output.note(f"Stopped watching after {timeout}; not done yet: {names}.")
    if waiting or not all(state.completed for state in states):
        raise typer.Exit(1)


def _done(states: Sequence[TaskState], until: Until) -> set[TaskKey]:
    return {state.key for state in states if state.is_done(until)}


def _shown(until: Until, *, as_json: bool) -> AbstractContextManager[Show]:
    if as_json:
        return _lines(
            lambda state: _document(state, until), lambda _, document: output.print_json_line(document)
        )
    return _live() if sys.stdout.isatty() else _lines(_progress, _print_progress)


@contextmanager
def _live() -> Iterator[Show]:
    with Live(console=output.console(), auto_refresh=False) as live:
        yield lambda states: live.update(_table(states), refresh=True)


@contextmanager
def _lines(render: Callable[[TaskState], T], write: Callable[[TaskState, T], None]) -> Iterator[Show]:
    """Write what is rendered of each task, where that has changed."""
    written: dict[Any, T] = {}

    def show(states: Sequence[TaskState]) -> None:
        for state in states:
            now = render(state)
            if written.get(state.key) != now:
                written[state.key] = now
                write(state, now)

    yield show


def _print_progress(state: TaskState, text: str) -> None:
    name = output.printable(f"{state.key.provider} {state.key.task_id}")
    print(f"{output.clock_time(now_ms())} {name}: {output.printable(text)}", flush=True)


def _document(state: TaskState, until: Until = Until.ARCHIVED) -> dict[str, Any]:
    """Return the state of a task as `tasks list --json` has it, with the state of its webhooks."""
    from tunehook.operations.documents import watched_document

    told = watched_document(
        state.key,
        state.task,
        state.deliveries,
        settled=state.settled,
        done=state.is_done(until),
    )
    return told.to_json()


def _progress(state: TaskState) -> str:
    if state.task is None:
        return "deleted"
    remarks = rendering.remarks(state.task, now_ms(), state.deliveries, settled=state.settled)
    return f"{state.task.status}; {remarks}" if remarks else state.task.status


def _table(states: Sequence[TaskState]) -> Lines:
    headers = ("TASK", "PROVIDER", "STATUS", "TIME", "REMARKS")
    return output.make_table(headers, [_row(state, now_ms()) for state in states])


def _row(state: TaskState, now: int) -> tuple[object, ...]:
    key, task = state.key, state.task
    if task is None:
        return key.task_id, key.provider, "deleted", None, None
    remarks = rendering.short(rendering.remarks(task, now, state.deliveries, settled=state.settled))
    return key.task_id, key.provider, task.status, rendering.took(task, now), remarks
