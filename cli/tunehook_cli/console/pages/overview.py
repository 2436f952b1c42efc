"""The overview: what runs now, what ended today, what needs a look."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from tunehook.operations import status
from tunehook.operations.stack import Stack
from tunehook.operations.status import UnknownPart, or_unknown
from tunehook.operations.subscriptions import list_subscriptions
from tunehook.operations.timings import RecentTimings, Timings
from tunehook.times import now_ms
from tunehook_cli.console.plots import bars, columns
from tunehook_cli.console.views import stack_of, views_of

READ_AT_ONCE: Final = 100
"""How many tasks and deliveries of the last a request reads; the page asks until all are read."""

KEPT_S: Final = 5.0
"""For so long the times of the last tasks are shown as they were read."""


class Recent:
    """The times of the last tasks, read bit by bit, and again when they are some seconds old."""

    def __init__(self, stack: Stack, clock: Callable[[], float] = time.monotonic) -> None:
        self._timings = RecentTimings(stack)
        self._clock = clock
        self._lock = threading.Lock()
        self._last: Timings | None = None
        self._read_at = 0.0

    def read(self) -> Timings:
        """Return what is known of them by now."""
        with self._lock:
            last = self._last
            if last is None or not last.is_whole or self._clock() - self._read_at >= KEPT_S:
                last = self._timings.read(READ_AT_ONCE)
                self._last, self._read_at = last, self._clock()
            return last


def show(request: Request) -> Response:
    """Show the state of the stack, each number a link to the rows behind it; a part that cannot be read says why."""
    stack, now = stack_of(request), now_ms()
    parts: dict[str, Any] = {
        "work": or_unknown(lambda: status.tasks(stack, now)),
        "failing": or_unknown(lambda: _failing(stack)),
        "dead": or_unknown(lambda: status.dead_letters(stack)),
        "providers": or_unknown(lambda: _troubled(stack, now)),
    }
    known = {name: None if isinstance(part, UnknownPart) else part for name, part in parts.items()}
    unknown = {name: part.error for name, part in parts.items() if isinstance(part, UnknownPart)}
    values: dict[str, Any] = {"heading": "Overview", "unknown": unknown, **known}
    return views_of(request).page(request, "overview.html", **values)


def _failing(stack: Stack) -> list[str]:
    return [
        str(each.item["subscription_id"])
        for each in list_subscriptions(stack)
        if each.state != "enabled" or each.item.get("failing_since_ms") is not None
    ]


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
    """Show what the last tasks took: a part of its own, that is read bit by bit, as it is of a thousand of them."""
    recent: Timings = request.app.state.recent.read()
    plots = {
        "ended": bars(recent.by_hour),
        "detection": columns(recent.detection_by_hour, "Median from the end to its detection"),
        "webhook": columns(recent.webhook_by_hour, "Median from the end to the webhook"),
    }
    return views_of(request).part("timings.html", recent=recent, plots=plots)
