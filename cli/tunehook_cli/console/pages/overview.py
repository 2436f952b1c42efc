"""The overview: what runs now, what ended today, what needs a look."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tunehook.operations import status, timings
from tunehook.operations.stack import Stack
from tunehook.operations.subscriptions import list_subscriptions
from tunehook.times import now_ms
from tunehook_cli.console.plots import bars
from tunehook_cli.console.views import stack_of, views_of


def show(request: Request) -> Response:
    """Show the state of the stack, each number a link to the rows behind it."""
    stack, now = stack_of(request), now_ms()
    failing = [
        each.item["subscription_id"]
        for each in list_subscriptions(stack)
        if each.state != "enabled" or each.item.get("failing_since_ms") is not None
    ]
    return views_of(request).page(
        request,
        "overview.html",
        heading="Overview",
        work=status.tasks(stack, now),
        failing=failing,
        dead=status.dead_letters(stack),
        providers=_troubled(stack, now),
    )


def _troubled(stack: Stack, now: int) -> list[dict[str, Any]]:
    """Return the providers that are paused now, or refuse their key."""
    found = []
    for name, state in sorted(stack.provider_states.all().items()):
        if state.refusal is not None:
            found.append({"name": name, "what": "refuses its key", "words": state.refusal.words})
        elif state.pause is not None and state.pause.until_ms > now:
            found.append({"name": name, "what": "is paused", "words": state.pause.words})
    return found


def timings_part(request: Request) -> Response:
    """Show what the last tasks took: a part of its own, as it reads a thousand of them."""
    recent = timings.recent_timings(stack_of(request))
    return views_of(request).part("timings.html", recent=recent, plot=bars(recent.by_hour))
