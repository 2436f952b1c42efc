"""`tunehook dlq`: the messages of the dead-letter queues, and redoing what they stand for."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from tunehook.operations import dead_letters
from tunehook.operations.queues import DeadLetters
from tunehook.operations.stack import Stack
from tunehook.operations.text import counted
from tunehook_cli.commands.options import AsJson, StackName
from tunehook_cli.output import Output, clock_time, printable, warn
from tunehook_cli.stack import find_stack

app = typer.Typer(no_args_is_help=True)

_NAMED: Final = 5
_QUEUES: Final = "fulfillment, deliveries, intake or poller."


@app.command("list")
def list_messages(
    queue: Annotated[
        DeadLetters | None, typer.Argument(metavar="QUEUE", help=_QUEUES, show_default="all")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many of each queue.")] = 50,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """List what lies in the dead-letter queues, the oldest first, and leave it there."""
    out, queues = Output(as_json), list(DeadLetters) if queue is None else [queue]
    # One more tells whether there is more.
    found = dead_letters.list_messages(find_stack(stack), queues, limit + 1)
    shown = [message for messages in found for message in messages[:limit]]
    out.json(shown)
    if not shown:
        where = "the dead-letter queues" if queue is None else f"the dead letters of {queue}"
        out.note(f"There is nothing in {where}.")
        return
    out.table(
        ("QUEUE", "SENT", "WHAT", "WHY"),
        [(each.queue.value, clock_time(each.sent_at_ms), each.about, each.reason) for each in shown],
    )
    for each, messages in zip(queues, found, strict=True):
        if len(messages) > limit:
            out.note(f"There is more in the dead letters of {each}; --limit shows it.")
    out.note("`tunehook dlq redrive QUEUE` has it done after all, once its cause is gone.")


@app.command("redrive")
def redrive(
    queue: Annotated[DeadLetters, typer.Argument(metavar="QUEUE", help=_QUEUES)],
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 10_000,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Have done what lies in a dead-letter queue; exit with 1 if some of it is still not.

    What is behind the fulfillment and the deliveries queue goes back there. For intake, every item of the Tasks table
    that still has no status is taken in. For the poller there is nothing to do: its next start has done it, and the
    records are removed.
    """
    out, found = Output(as_json), find_stack(stack)
    if queue is DeadLetters.INTAKE:
        _run_intake(out, found, limit)
    elif queue is DeadLetters.POLLER:
        removed = dead_letters.purge(found, queue, limit)
        out.json({"queue": queue, "removed": removed})
        why = "every start of the poller does what those before it have left"
        out.line(f"Removed {counted(removed, 'record')}: {why}.")
    else:
        moved = dead_letters.move_back(found, queue, limit)
        out.json({"queue": queue, "moved": moved})
        out.line(f"Moved {counted(moved, 'message')} back to the {queue} queue.")


def _run_intake(out: Output, stack: Stack, limit: int) -> None:
    run = dead_letters.run_intake(stack, limit)
    left = [{"task_id": key.task_id, "provider": key.provider} for key in run.left]
    out.json({"queue": DeadLetters.INTAKE, "taken_in": run.taken_in, "removed": run.removed, "left": left})
    out.line(f"Had {counted(run.taken_in, 'item')} taken in, and removed {counted(run.removed, 'record')}.")
    if run.left:
        names = ", ".join(printable(f"{key.provider} {key.task_id}") for key in run.left[:_NAMED])
        more = f" and {len(run.left) - _NAMED} more" if len(run.left) > _NAMED else ""
        warn(f"intake has not taken in {counted(len(run.left), 'item')}, and its log says why: {names}{more}")
        raise typer.Exit(1)
