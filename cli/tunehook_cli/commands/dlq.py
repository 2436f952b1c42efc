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
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of rows of each queue.")] = 50,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """List the messages in the dead-letter queues, the oldest first. Nothing is removed."""
    out, queues = Output(as_json), list(DeadLetters) if queue is None else [queue]
    # One more tells whether there is more.
    found = dead_letters.list_messages(find_stack(stack), queues, limit + 1)
    shown = [message for messages in found for message in messages[:limit]]
    out.json(shown)
    if not shown:
        out.note("The dead-letter queues are empty." if queue is None else f"The queue {queue} is empty.")
        return
    out.table(
        ("QUEUE", "SENT", "WHAT", "WHY"),
        [(each.queue.value, clock_time(each.sent_at_ms), each.about, each.reason) for each in shown],
    )
    for each, messages in zip(queues, found, strict=True):
        if len(messages) > limit:
            out.note(f"There are more in {each}; --limit shows them.")
    out.note("Once the cause is fixed, `tunehook dlq redrive QUEUE` retries them.")


@app.command("redrive")
def redrive(
    queue: Annotated[DeadLetters, typer.Argument(metavar="QUEUE", help=_QUEUES)],
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of messages.")] = 10_000,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Retry the messages of a dead-letter queue; exit with 1 if some of them fail again.

    Those of fulfillment and deliveries go back to their queue. For intake, it processes every item of the
    Tasks table that has no status yet. Records of the poller are removed: its next run has picked up the work.
    """
    out, found = Output(as_json), find_stack(stack)
    if queue is DeadLetters.INTAKE:
        _run_intake(out, found, limit)
    elif queue is DeadLetters.POLLER:
        removed = dead_letters.purge(found, queue, limit)
        out.json({"queue": queue, "removed": removed})
        why = "the next run of the poller picks up the work"
        out.line(f"Removed {counted(removed, 'record')}: {why}.")
    else:
        moved = dead_letters.move_back(found, queue, limit)
        out.json({"queue": queue, "moved": moved})
        out.line(f"Moved {counted(moved, 'message')} back to the {queue} queue.")


def _run_intake(out: Output, stack: Stack, limit: int) -> None:
    run = dead_letters.run_intake(stack, limit)
    left = [{"task_id": key.task_id, "provider": key.provider} for key in run.left]
    out.json({"queue": DeadLetters.INTAKE, "taken_in": run.taken_in, "removed": run.removed, "left": left})
    out.line(f"Processed {counted(run.taken_in, 'item')} and removed {counted(run.removed, 'record')}.")
    if run.left:
        names = ", ".join(printable(f"{key.provider} {key.task_id}") for key in run.left[:_NAMED])
        more = f" and {len(run.left) - _NAMED} more" if len(run.left) > _NAMED else ""
        warn(f"intake has not accepted {counted(len(run.left), 'item')}; its log says why: {names}{more}")
        raise typer.Exit(1)
