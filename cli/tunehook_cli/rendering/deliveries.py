"""Deliveries and their attempts as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunehook_cli.output import Output, clock_time, make_table

if TYPE_CHECKING:
    from tunehook.deliveries import Attempt, Delivery


def answer(attempt: Attempt) -> str:
    """Return what an attempt came to: ``HTTP 204``, or the class of its error."""
    return f"HTTP {attempt.status_code}" if attempt.status_code is not None else attempt.error or "no answer"


def outcome(delivery: Delivery) -> str:
    """Return what the last attempt came to, why the delivery has ended, and when the next attempt is due."""
    text = answer(delivery.attempts[-1]) if delivery.attempts else "no attempt yet"
    if delivery.reason:
        text += f"; {delivery.reason}"
    if delivery.next_attempt_at_ms is not None:
        text += f"; next attempt {clock_time(delivery.next_attempt_at_ms)}"
    return text


def counts(deliveries: Sequence[Delivery]) -> str:
    by_status = Counter(delivery.status.value for delivery in deliveries)
    text = ", ".join(f"{count} {name}" for name, count in sorted(by_status.items())) or "none"
    tried = [
        (each.next_attempt_at_ms, each) for each in deliveries if each.attempts and each.next_attempt_at_ms
    ]
    if not tried:
        return text
    due_ms, soonest = min(tried, key=lambda each: each[0])
    return f"{text}, next attempt {clock_time(due_ms)} after {answer(soonest.attempts[-1])}"


def print_webhooks(out: Output, deliveries: Sequence[Delivery]) -> None:
    """Print the deliveries of a task or a subscription as a section."""
    rows = [
        (
            clock_time(each.created_at_ms),
            each.type,
            each.status.value,
            len(each.attempts),
            "notify hook" if each.url is not None else each.subscription_id,
            outcome(each),
        )
        for each in deliveries
    ]
    if rows:
        headers = ("MADE", "EVENT", "STATUS", "TRIES", "TO", "RESPONSE")
        out.section("Webhooks", make_table(headers, rows))
