"""`tunehook logs`: what the functions have logged."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from tunehook.errors import InvalidInput
from tunehook.operations import logs as operations
from tunehook.operations.logs import Function, LogLine
from tunehook.operations.stack import Stack
from tunehook.times import now_ms
from tunehook_cli import output
from tunehook_cli.commands.options import AsJson, StackName
from tunehook_cli.durations import parse_duration
from tunehook_cli.embedded_aws import EmbeddedAws
from tunehook_cli.signals import Sleep, raise_on_ctrl_c
from tunehook_cli.stack import embedded_aws_of, find_stack

LONGEST: Final = "30d"

_STYLES: Final = {"WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red", "DEBUG": "dim"}


def logs(
    function: Annotated[
        str | None,
        typer.Argument(
            metavar="FUNCTION", help="intake, poller, fulfillment, webhooks or api; all of them by default."
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="ID", help="Only lines about this task.")
    ] = None,
    since: Annotated[str, typer.Option(help="How far back: 90s, 30m, 2h, 7d.")] = "1h",
    lines: Annotated[
        int | None,
        typer.Option(
            "--lines",
            "-n",
            min=0,
            help="Maximum number of lines; the last ones are printed.",
            show_default="all",
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until Ctrl-C.")] = False,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Print the functions' logs: time, function, level, event and its fields.

    With --json, each line is printed as it was logged, which is JSON. Times are local.
    """
    back_ms = parse_duration(since, "since", at_most=LONGEST)
    wanted = None if function is None else _function(function)
    try:
        with raise_on_ctrl_c() as sleep:
            read, embedded = _reader(find_stack(stack), wanted, task)
            show = _print_json if as_json else _print
            since_ms = now_ms() - back_ms
            past = read(since_ms)
            shown = past if lines is None else list(deque(past, maxlen=lines))
            for line in shown:
                show(line)
            if follow:
                _follow(read, since_ms, past, show, embedded, sleep)
            elif not past:
                about = "about this task " if task else ""
                output.note(f"No function has logged anything {about}in the last {since}.")
    except KeyboardInterrupt:
        if not follow:
            raise


def _reader(
    stack: Stack, function: Function | None, task_id: str | None
) -> tuple[Callable[[int], list[LogLine]], EmbeddedAws | None]:
    embedded = embedded_aws_of(stack)

    def read(since_ms: int) -> list[LogLine]:
        printed = () if embedded is None else embedded.printed_lines()
        return operations.read_logs(stack, function, task_id=task_id, since_ms=since_ms, printed=printed)

    return read, embedded


def _follow(
    read: Callable[[int], list[LogLine]],
    since_ms: int,
    past: Iterable[LogLine],
    show: Callable[[LogLine], None],
    embedded: EmbeddedAws | None,
    sleep: Sleep,
) -> None:
    known = set(past)
    # The embedded AWS tells the lines of an invocation when that has ended, which takes up to 15 minutes.
    pace: dict[str, Any] = {} if embedded is None else {"every_s": 1.0, "late_ms": None}
    for line in operations.follow_logs(read, since_ms, sleep=sleep, **pace):
        if line not in known:
            show(line)


def _function(text: str) -> Function:
    try:
        return Function(text)
    except ValueError:
        known = ", ".join(Function)
        raise InvalidInput("function", f"must be one of {known}, not {output.printable(text)}") from None


def _print_json(line: LogLine) -> None:
    output.print_json_line(line.fields)


def _print(line: LogLine) -> None:
    text = Text(output.clock_time(line.at_ms), style="dim")
    text.append(f" {line.function:<11}")
    text.append(f" {line.level:<7}", style=_STYLES.get(line.level, "dim"))
    text.append(f" {output.printable(line.message)}", style="bold")
    text.append(f" {output.printable(line.rest)}" if line.rest else "")
    output.console().print(text, soft_wrap=True)
