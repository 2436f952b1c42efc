"""What the functions of the embedded stack have logged.

MiniStack sends the lines of some invocations to CloudWatch Logs (those by API, schedule and event) and prints those of
others (queues and streams). This module merges both.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tunehook.aws.errors import AWS_FAULTS
from tunehook_local.embedded.state import Home, LocalEnvironment

FUNCTIONS: Final = ("intake", "poller", "fulfillment", "webhooks")

_OF_LAMBDA: Final = ("function_name", "function_memory_size", "function_arn", "function_request_id")
_SHOWN: Final = ("level", "message", "timestamp", "service")
_NOT_IN_REST: Final = {*_SHOWN, *_OF_LAMBDA, "location", "cold_start", "xray_trace_id"}
"""Fields that have a place of their own in a printed line, or none."""

_POLL_S: Final = 1.0


@dataclass(frozen=True, order=True, slots=True)
class LogLine:
    """One line that a function has logged; `fields` is all of it."""

    timestamp: str
    function: str
    level: str
    message: str
    rest: str
    fields: dict[str, Any] = field(compare=False, repr=False)

    def __str__(self) -> str:
        text = f"{self.timestamp[11:23]} {self.function:<11} {self.level:<7} {self.message} {self.rest}"
        return text.rstrip()


def lines(home: Home, environment: LocalEnvironment, function: str | None) -> list[LogLine]:
    texts = [*_printed(home), *_in_cloudwatch(environment)]
    parsed = {line for text in texts if (line := _parse(text)) is not None}
    return sorted(line for line in parsed if function in (None, line.function))


def follow(home: Home, environment: LocalEnvironment, function: str | None) -> Iterator[LogLine]:
    """Yield what the functions have logged and log; lines from CloudWatch Logs come after their invocation."""
    seen: set[LogLine] = set()
    while True:
        for line in lines(home, environment, function):
            if line not in seen:
                seen.add(line)
                yield line
        time.sleep(_POLL_S)


def _printed(home: Home) -> Iterator[str]:
    with home.log.open(encoding="utf-8", errors="replace") as log:
        yield from (line for line in log if line.startswith("{"))


def _in_cloudwatch(environment: LocalEnvironment) -> Iterator[str]:
    logs = environment.client("logs")
    for function in FUNCTIONS:
        group = f"/aws/lambda/{environment.stack_name}-{function}"
        try:
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
                yield from (event["message"] for event in page["events"])
        except AWS_FAULTS:
            # Before the first deployment there is no such group.
            continue


def _parse(text: str) -> LogLine | None:
    try:
        fields: dict[str, Any] = json.loads(text)
        function, timestamp, message = fields["service"], fields["timestamp"], fields["message"]
    except (ValueError, KeyError, TypeError):
        return None
    if function not in FUNCTIONS:
        return None
    rest = " ".join(
        f"{name}={value}" for name, value in fields.items() if name not in _NOT_IN_REST and value is not None
    )
    return LogLine(str(timestamp), function, str(fields.get("level", "")), str(message), rest, fields)
