"""What the functions of the embedded stack have logged.

MiniStack sends the lines of some invocations to CloudWatch Logs (those by API, schedule and event) and prints those of
others (queues and streams). This module merges both.
"""

from __future__ import annotations

from collections.abc import Iterator

from tunehook.aws.errors import AWS_FAULTS
from tunehook.operations.logs import Function, LogLine, parse_line
from tunehook_local.embedded.state import Home, LocalEnvironment

__all__ = ["LogLine", "lines"]


def lines(home: Home, environment: LocalEnvironment, function: str | None) -> list[LogLine]:
    texts = [*home.printed_lines(), *_in_cloudwatch(environment)]
    parsed = {line for text in texts if (line := parse_line(text)) is not None}
    return sorted(line for line in parsed if function in (None, line.function))


def _in_cloudwatch(environment: LocalEnvironment) -> Iterator[str]:
    logs = environment.client("logs")
    for function in Function:
        group = f"/aws/lambda/{environment.stack_name}-{function}"
        try:
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
                yield from (event["message"] for event in page["events"])
        except AWS_FAULTS:
            # Before the first deployment there is no such group.
            continue
