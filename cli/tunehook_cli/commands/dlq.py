"""`tunehook dlq`: what could not be done and was put aside, and having it done after all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tunehook_cli import output
from tunehook_cli.commands.options import AsJson, StackName
from tunehook_cli.operating.queues import DeadLetters
from tunehook_cli.stack import Stack, find_stack

if TYPE_CHECKING:
    from tunehook_cli.operating.letters import Letter

app = typer.Typer(
    no_args_is_help=True, help="The dead-letter queues: what could not be done and was put aside."
)

_NAMED: Final = 5

Queue = Annotated[
    DeadLetters,
    typer.Argument(metavar="QUEUE", help="fulfillment, deliveries, intake or poller.", show_default=False),
]


@app.command("list")
def list_letters(
    queue: Annotated[
        DeadLetters | None,
        typer.Argument(
            metavar="QUEUE", help="fulfillment, deliveries, intake or poller.", show_default="all"
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many of each queue.")] = 50,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """List what lies in the dead-letter queues, the oldest first, and leave it there."""
    from tunehook_cli.operating.dead_letters import letters

    found = find_stack(stack)
    queues = list(DeadLetters) if queue is None else [queue]
    # One more tells whether there is more.
    held = letters(found, queues, limit + 1)
    shown = [letter for some in held for letter in some[:limit]]
    if as_json:
        output.print_json([asdict(each) for each in shown])
        return
    if not shown:
        where = "the dead-letter queues" if queue is None else f"the dead letters of {queue}"
        output.note(f"There is nothing in {where}.")
        return
    output.print_table(("QUEUE", "SENT", "WHAT", "WHY"), map(_row, shown))
    for each, some in zip(queues, held, strict=True):
        if len(some) > limit:
            output.note(f"There is more in the dead letters of {each}; --limit shows it.")
    output.note("`tunehook dlq redrive QUEUE` has it done after all, once its cause is gone.")


def _row(letter: Letter) -> tuple[object, ...]:
    return letter.queue.value, output.clock_time(letter.sent_at_ms), letter.about, letter.reason


@app.command("redrive")
def redrive(
    queue: Queue,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 10_000,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Have done what lies in a dead-letter queue; exit with 1 if some of it is still not.

    What is behind the fulfillment and the deliveries queue goes back there. For intake, every item of the Tasks table
    that still has no status is taken in. For the poller there is nothing to do: its next start has done it, and the
    records are removed.
    """
    from tunehook_cli.operating.dead_letters import clear, move_back

    found = find_stack(stack)
    match queue:
        case DeadLetters.INTAKE:
            _take_in(found, limit, as_json=as_json)
        case DeadLetters.POLLER:
            removed = clear(found, queue, limit)
            words = f"Removed {_count(removed, 'record')}"
            why = "every start of the poller does what those before it have left"
            _say(f"{words}: {why}.", {"queue": queue, "removed": removed}, as_json=as_json)
        case _:
            moved = move_back(found, queue, limit)
            words = f"Moved {_count(moved, 'message')} back to the {queue} queue."
            _say(words, {"queue": queue, "moved": moved}, as_json=as_json)


def _say(words: str, document: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        output.print_json(document)
    else:
        print(words)


def _take_in(stack: Stack, limit: int, *, as_json: bool) -> None:
    from tunehook_cli.operating.dead_letters import take_in

    result = take_in(stack, limit)
    _say(
        f"Had {_count(result.taken_in, 'item')} taken in, and removed {_count(result.removed, 'record')}.",
        {
            "queue": DeadLetters.INTAKE,
            "taken_in": result.taken_in,
            "removed": result.removed,
            "left": [{"task_id": key.task_id, "provider": key.provider} for key in result.left],
        },
        as_json=as_json,
    )
    if result.left:
        names = ", ".join(output.printable(f"{key.provider} {key.task_id}") for key in result.left[:_NAMED])
        more = f" and {len(result.left) - _NAMED} more" if len(result.left) > _NAMED else ""
        output.warn(
            f"intake has not taken in {_count(len(result.left), 'item')}, and its log says why: {names}{more}"
        )
        raise typer.Exit(1)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
