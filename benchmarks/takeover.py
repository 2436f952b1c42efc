"""How pollers hand over, on the embedded AWS: no gap between them, and not for long two at once.

usage: python -m benchmarks.takeover [MINUTES]        (10 by default)

Tasks are pending all the time, and every second some of them are due; no task is put or ends meanwhile, so that only
the minute's schedule starts pollers. Told by the providers' books: when somebody asked, and when two did, which shows
as two questions about a task within less time than any poller leaves between them. Told by the pollers' own log: from
when to when each invocation ran, and asked. How long nobody asks at other times is the rhythm of the ticks, and what
the machine makes of it.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from benchmarks.embedded import EmbeddedStack, embedded_stack
from benchmarks.report import Row, report
from tunehook_local.sandbox import Kind

TASKS: Final = 150
AGE_S: Final = 30.0
"""Old enough to be asked every 5 s from the first question on."""

SPREAD_S: Final = 60.0
"""From the youngest to the oldest task: as long as the longest interval between two questions about one."""

SETTLE_S: Final = 15.0
TWICE_WITHIN_S: Final = 2.5
"""Half of what a poller leaves at least between two questions about a task."""

ONE_HANDOVER_S: Final = 30.0
"""Questions asked twice that lie further apart belong to two handovers: those are a minute apart."""

AROUND_A_HANDOVER: Final = timedelta(seconds=5)

PATIENCE_S: Final = 150.0
"""The last poller's lines come when it has ended."""

FIRING_S: Final = 70.0
"""The embedded AWS looks at its schedules every 10 s, so that one of a minute fires every 60 to 70 s."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time; of a poller, or of something that it did."""

    begins_at: datetime
    ends_at: datetime

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.ends_at - self.begins_at).total_seconds()


@dataclass(frozen=True, slots=True)
class Pass:
    """One invocation of the poller: how long it ran, and from its first question to its last."""

    runs: Span
    asks: Span


def main(minutes: float) -> None:
    """Measure for `minutes` and report."""
    with embedded_stack() as stack:
        started_at = time.monotonic()
        for number in range(TASKS):
            # To put them takes a while, which would leave a hole in the spread.
            age_s = AGE_S + SPREAD_S * number / TASKS + time.monotonic() - started_at
            stack.submit(Kind.QHAIGC, f"long-{number:03}", lasts_s=minutes * 60 + 3600, age_s=age_s)
        time.sleep(SETTLE_S)
        window = Span(now := datetime.now(UTC), now + timedelta(minutes=minutes))
        time.sleep(window.seconds)
        books = [
            [at for at in book.polled_at if window.begins_at <= at <= window.ends_at]
            for book in stack.sandbox.task_records()
        ]
        passes = _passes_within(stack, window)
    moments = sorted(at for asked_at in books for at in asked_at)
    doubles = twice(books)
    runs, asks = [each.runs for each in passes], [each.asks for each in passes]
    at_handovers, at_other_times = longest_gaps(moments, handovers(runs))
    report(
        "takeover",
        f"{TASKS} pending tasks, pollers of {minutes:g} minutes",
        [
            Row("handovers", len(handovers(runs)), "handovers", at_least=int(minutes * 60 / FIRING_S)),
            Row("questions", len(moments), "questions"),
            Row("questions asked twice", len(doubles) / len(moments), "ratio"),
            Row("no poller runs, by their log, longest", longest_uncovered(runs), "s", at_most=2.0),
            Row("nobody asks while they hand over, longest", at_handovers, "s", at_most=2.0),
            Row("nobody asks at other times, longest", at_other_times, "s"),
            Row("two ask, by the books, longest", longest_handover(doubles), "s", at_most=6.0),
            Row("two ask, by their log, longest", longest_overlap(asks), "s", at_most=6.0),
            Row("two run, by their log, longest", longest_overlap(runs), "s"),
        ],
    )


def _passes_within(stack: EmbeddedStack, window: Span) -> list[Pass]:
    """Return the passes that ran in the window, as soon as all of them have ended."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = passes(_poller_lines(stack))
        if found and found[-1].runs.ends_at >= window.ends_at:
            return [each for each in found if each.runs.ends_at >= window.begins_at]
        time.sleep(2)
    raise TimeoutError(f"the last poller did not end in {PATIENCE_S} s")


def _poller_lines(stack: EmbeddedStack) -> list[dict[str, Any]]:
    pages = (
        stack.environment.client("logs")
        .get_paginator("filter_log_events")
        .paginate(logGroupName=f"/aws/lambda/{stack.environment.stack_name}-poller")
    )
    texts = (event["message"] for page in pages for event in page["events"])
    return [json.loads(text) for text in texts if text.startswith('{"level"')]


def passes(lines: Iterable[dict[str, Any]]) -> list[Pass]:
    """Return the passes that have asked something and ended, in the order of their ends.

    Parameters
    ----------
    lines : iterable of dict
        What the poller has logged: ``pass_began``, ``tick`` and ``pass_ended``, each with a ``timestamp`` and the
        ``function_request_id`` of its invocation.
    """
    told: defaultdict[str, defaultdict[str, list[datetime]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        at = datetime.strptime(line["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z")
        told[line["function_request_id"]][line["message"]].append(at)
    found = [
        Pass(
            runs=Span(min(of["pass_began"]), max(of["pass_ended"])),
            asks=Span(min(of["tick"]), max(of["tick"])),
        )
        for of in told.values()
        if of["pass_began"] and of["tick"] and of["pass_ended"]
    ]
    return sorted(found, key=lambda each: each.runs.ends_at)


def twice(books: Iterable[Sequence[datetime]]) -> list[Span]:
    """Return the pairs of questions about one task that no single poller would have asked, in order of time."""
    pairs = (Span(*pair) for asked_at in books for pair in pairwise(asked_at))
    return sorted((pair for pair in pairs if pair.seconds < TWICE_WITHIN_S), key=lambda pair: pair.begins_at)


def longest_handover(doubles: Sequence[Span]) -> float:
    """Return how many seconds it took at most from the first question asked twice in a handover to the last."""
    longest = 0.0
    begins_at = ends_at = None
    for double in doubles:
        if ends_at is None or (double.begins_at - ends_at).total_seconds() > ONE_HANDOVER_S:
            begins_at = double.begins_at
        ends_at = double.ends_at
        assert begins_at is not None
        longest = max(longest, (ends_at - begins_at).total_seconds())
    return longest


def handovers(runs: Iterable[Span]) -> list[Span]:
    """Return when one poller followed another: from before the one began, or the other ended, to after both."""
    ordered = sorted(runs, key=lambda span: span.begins_at)
    return [
        Span(
            min(before.ends_at, after.begins_at) - AROUND_A_HANDOVER,
            max(before.ends_at, after.begins_at) + AROUND_A_HANDOVER,
        )
        for before, after in pairwise(ordered)
    ]


def longest_gaps(moments: Sequence[datetime], within: Sequence[Span]) -> tuple[float, float]:
    """Return the longest time between two moments that follow each other, in seconds: in a span, and elsewhere."""
    inside = outside = 0.0
    for gap in (Span(*pair) for pair in pairwise(moments)):
        if any(gap.begins_at < span.ends_at and gap.ends_at > span.begins_at for span in within):
            inside = max(inside, gap.seconds)
        else:
            outside = max(outside, gap.seconds)
    return inside, outside


def longest_uncovered(spans: Iterable[Span]) -> float:
    """Return the longest time, between the first beginning and the last end, that lies in no span, in seconds."""
    ordered = sorted(spans, key=lambda span: span.begins_at)
    longest = 0.0
    covered_until = ordered[0].ends_at
    for span in ordered:
        longest = max(longest, (span.begins_at - covered_until).total_seconds())
        covered_until = max(covered_until, span.ends_at)
    return longest


def longest_overlap(spans: Iterable[Span]) -> float:
    """Return the longest time that lies in two spans, in seconds."""
    ordered = sorted(spans, key=lambda span: span.begins_at)
    overlaps = (
        (min(one.ends_at, other.ends_at) - other.begins_at).total_seconds()
        for number, one in enumerate(ordered)
        for other in ordered[number + 1 :]
    )
    return max(0.0, max(overlaps, default=0.0))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10)
