"""What a delivery and its attempts say, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunehook_cli import output, task_words

if TYPE_CHECKING:
    from tunehook.deliveries import Attempt, Delivery


def answer(attempt: Attempt) -> str:
    """Return what an attempt came to: ``HTTP 204``, or the class of its error, and in brackets what else is known."""
    words = f"HTTP {attempt.status_code}" if attempt.status_code is not None else attempt.error or "no answer"
    return f"{words} ({attempt.detail})" if attempt.detail else words


def came_back(delivery: Delivery) -> str:
    """Return what the last attempt came to, why the delivery has ended, and when the next attempt is due."""
    words = task_words.last_answer(delivery)
    if delivery.reason:
        words += f"; {delivery.reason}"
    if delivery.next_attempt_at_ms is not None:
        words += f"; next attempt {output.clock_time(delivery.next_attempt_at_ms)}"
    return words
