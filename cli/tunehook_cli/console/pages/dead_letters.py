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
from tunehook.operations.text import counted
from tunehook_cli.console.views import stack_of, text_of, views_of, went_well

SHOWN: Final = 50
REDRIVEN: Final = 1_000


def listing(request: Request) -> Response:
    """Show the page of the dead letters, which then asks for the messages: to read the queues takes a second."""
    return _page(request, None)


def _page(request: Request, said: str | None) -> Response:
    return views_of(request).page(request, "dead_letters.html", heading="Dead letters", said=said)


def messages(request: Request) -> Response:
    """Show the messages of all dead-letter queues, which stay there."""
    found = operations.list_messages(stack_of(request), list(DeadLetters), SHOWN)
    rows: list[dict[str, Any]] = [
        documents.dead_letter_document(each).to_json() for queue in found for each in queue
    ]
    return views_of(request).part("dead_letter_rows.html", rows=rows, shown=SHOWN)


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

    return _page(request, await run_in_threadpool(work))


async def drop(request: Request) -> Response:
    """Drop one message for good."""
    queue, message_id = await _queue(request)
    await run_in_threadpool(operations.drop, stack_of(request), queue, message_id)
    return went_well("/dead-letters", "dropped")
