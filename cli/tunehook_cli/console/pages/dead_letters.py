"""The dead letters: look at them, redrive a queue, drop one message."""

from __future__ import annotations

from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from tunehook.errors import InvalidInput
from tunehook.operations import dead_letters as operations
from tunehook.operations import documents
from tunehook.operations.queues import DeadLetters
from tunehook.operations.stack import Stack
from tunehook.operations.text import counted
from tunehook_cli.console.views import stack_of, text_of, views_of, went_well

SHOWN: Final = 50
REDRIVEN: Final = 1_000


def listing(request: Request) -> Response:
    """Show the messages of all dead-letter queues."""
    return _page(request, stack_of(request), None)


def _page(request: Request, stack: Stack, said: str | None) -> Response:
    queues = list(DeadLetters)
    found = operations.list_messages(stack, queues, SHOWN)
    rows: list[dict[str, Any]] = [
        documents.dead_letter_document(each).to_json() for messages in found for each in messages
    ]
    return views_of(request).page(
        request, "dead_letters.html", heading="Dead letters", rows=rows, said=said, shown=SHOWN
    )


async def _queue(request: Request) -> tuple[DeadLetters, str]:
    form = await request.form()
    try:
        return DeadLetters(text_of(form, "queue")), text_of(form, "message_id")
    except ValueError:
        raise InvalidInput("queue", "there is no such queue") from None


async def redrive(request: Request) -> Response:
    """Have the work of a queue done once more."""
    stack = stack_of(request)
    queue, _ = await _queue(request)

    def work() -> str:
        if queue is DeadLetters.INTAKE:
            run = operations.run_intake(stack, REDRIVEN)
            return f"{counted(run.taken_in, 'task')} taken in, {counted(len(run.left), 'task')} left"
        if queue is DeadLetters.POLLER:
            removed = operations.purge(stack, queue, REDRIVEN)
            return f"{counted(removed, 'record')} removed: the schedule starts the poller each minute"
        return f"{counted(operations.move_back(stack, queue, REDRIVEN), 'message')} back on the queue {queue.value}"

    said = await run_in_threadpool(work)
    return await run_in_threadpool(_page, request, stack, said)


async def drop(request: Request) -> Response:
    """Drop one message for good."""
    queue, message_id = await _queue(request)
    await run_in_threadpool(operations.drop, stack_of(request), queue, message_id)
    return went_well("/dead-letters", "dropped")
