"""Deliveries and their attempts as text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tunehook.rate_limits import rate_text
from tunehook.times import now_ms
from tunehook_cli.durations import duration_texts
from tunehook_cli.output import Output, clock_time, make_table, printable

if TYPE_CHECKING:
    from tunehook.deliveries import Attempt, Delivery
    from tunehook.operations.deliveries import HeldBack, RequestNow


def answer(attempt: Attempt) -> str:
    """Return what an attempt came to: ``HTTP 204``, or the class of its error."""
    return answer_of(attempt.status_code, attempt.error)


def answer_of(status_code: int | None, error: str | None) -> str:
    """Return what an attempt with this status or this error came to."""
    return f"HTTP {status_code}" if status_code is not None else error or "no response"


def outcome(delivery: Delivery, held: HeldBack | None = None) -> str:
    """Return what the last attempt came to, why the delivery has ended, and when or why not the next attempt comes."""
    text = answer(delivery.attempts[-1]) if delivery.attempts else "no attempt yet"
    if delivery.reason:
        text += f"; {delivery.reason}"
    if (coming := next_attempt(delivery, held)) is not None:
        text += f"; {coming}"
    return text


def next_attempt(delivery: Delivery, held: HeldBack | None = None) -> str | None:
    """Return when the next attempt is due, or why it waits although it is; None where there is none."""
    if held is not None:
        now = held.until_ms <= now_ms()
        again = "retried now" if now else f"retried about {clock_time(held.until_ms)[:-3]}"
        return f"held back: its receiver hangs; {again}"
    due_ms = delivery.next_attempt_at_ms
    if due_ms is None:
        return None
    if delivery.rate_limit is not None and due_ms > now_ms():
        limit = f"{rate_text(delivery.rate_limit)} a second"
        return f"waits for the limit of {limit}: next attempt {clock_time(due_ms)}"
    return f"{'next attempt' if due_ms > now_ms() else 'attempt due since'} {clock_time(due_ms)}"


def further_attempts(delivery: Delivery, waits_s: Sequence[int] | None) -> str | None:
    """Return which attempts may follow the next one, by `tunehook.operations.deliveries.next_waits_s`."""
    if delivery.next_attempt_at_ms is None:
        return None
    if waits_s is None:
        return f"its schedule, made shorter, has no attempt {delivery.next_attempt}: it ends without it"
    if not waits_s:
        return "it is the last"
    return f"if it fails, after {duration_texts(waits_s)} each"


def print_request(out: Output, request: RequestNow) -> None:
    """Print a request with its body, JSON over several lines."""
    lines = [f"{request.method} {printable(request.url)}"]
    lines += [f"{name}: {printable(value)}" for name, value in request.headers.items()]
    out.section("Request, as it would be sent now", "\n".join(lines))
    try:
        body = json.dumps(json.loads(request.body), ensure_ascii=False, indent=2)
    except ValueError:
        body = request.body
    out.line("")
    for line in body.splitlines():
        out.line(printable(line))


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


def print_webhooks(
    out: Output, deliveries: Sequence[Delivery], held: Mapping[str, HeldBack] | None = None
) -> None:
    """Print the deliveries of a task or a subscription as a section."""
    rows = [
        (
            clock_time(each.created_at_ms),
            each.type,
            each.status.value,
            len(each.attempts),
            "notify hook" if each.url is not None else each.subscription_id,
            outcome(each, (held or {}).get(each.delivery_id)),
        )
        for each in deliveries
    ]
    if rows:
        headers = ("MADE", "EVENT", "STATUS", "TRIES", "TO", "RESPONSE")
        out.section("Webhooks", make_table(headers, rows))
