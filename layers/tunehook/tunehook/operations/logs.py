"""What the functions of a stack have logged, from CloudWatch Logs: line by line, as fields."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from botocore.exceptions import ClientError

from tunehook.aws.errors import code_of
from tunehook.operations.stack import Stack
from tunehook.times import from_ms, iso, to_ms


class Function(StrEnum):
    """The functions of a stack, by their short names."""

    INTAKE = "intake"
    POLLER = "poller"
    FULFILLMENT = "fulfillment"
    WEBHOOKS = "webhooks"
    API = "api"


PLATFORM: Final = "lambda"
"""The level of what Lambda itself says, such as that an invocation has timed out."""

LATEST_MS: Final = 60_000
"""How late a line may be found: while logs are followed, so much of the past is read again."""

_OUTPUTS: Final = {each: f"{each.value.capitalize()}Function" for each in Function}
_USUAL: Final = ("START ", "END ", "REPORT ", "INIT_START ", "XRAY ", "EXTENSION", "LOGS")
"""How those lines of Lambda begin that each invocation has."""

_OF_LAMBDA: Final = ("function_name", "function_memory_size", "function_arn", "function_request_id")
_SHOWN: Final = ("level", "message", "timestamp", "service")
_NOT_IN_REST: Final = {*_SHOWN, *_OF_LAMBDA, "location", "cold_start", "xray_trace_id", "stack_trace"}
"""Fields that have a place of their own in a printed line, or none."""

_TIMESTAMP: Final = "%Y-%m-%d %H:%M:%S,%f%z"
_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9_.:@/-]+")
"""Task ids that stand in a line as they are, so that CloudWatch Logs can look for them."""


@dataclass(frozen=True, order=True, slots=True)
class LogLine:
    """One line that a function has logged; `fields` is all of it, `rest` what is peculiar to the line, as text."""

    timestamp: str
    function: str
    level: str
    message: str
    rest: str
    fields: dict[str, Any] = field(compare=False, repr=False)
    at_ms: int = field(default=0, compare=False)

    def __str__(self) -> str:
        text = f"{self.timestamp[11:23]} {self.function:<11} {self.level:<7} {self.message} {self.rest}"
        return text.rstrip()

    def is_about(self, task_id: str) -> bool:
        """Return whether a field is this id, or a list in which it is."""
        return _holds(self.fields, task_id)


def _holds(value: object, wanted: str) -> bool:
    if isinstance(value, dict):
        return any(_holds(each, wanted) for each in value.values())
    if isinstance(value, list):
        return any(_holds(each, wanted) for each in value)
    return value == wanted


def parse_line(text: str) -> LogLine | None:
    """Read a line that a function has logged; None if it is no such line.

    >>> line = '{"level": "INFO", "message": "task_ended", "service": "poller", "task_id": "t-1", '
    >>> line += '"timestamp": "2026-11-20 16:01:57,250+0000"}'
    >>> parse_line(line).rest
    'task_id=t-1'
    """
    try:
        fields: dict[str, Any] = json.loads(text)
        function, timestamp, message = fields["service"], fields["timestamp"], fields["message"]
        at_ms = to_ms(datetime.strptime(timestamp, _TIMESTAMP))
    except (ValueError, KeyError, TypeError):
        return None
    if function not in set(Function):
        return None
    rest = " ".join(
        f"{name}={_short(name, value)}"
        for name, value in fields.items()
        if name not in _NOT_IN_REST and value is not None
    )
    level = str(fields.get("level", ""))
    return LogLine(str(timestamp), function, level, str(message), rest, fields, at_ms)


def _short(name: str, value: object) -> object:
    """Of a traceback the last line says what happened."""
    return str(value).strip().rpartition("\n")[2] if name == "exception" else value


def _platform_line(function: Function, text: str, at_ms: int) -> LogLine | None:
    """Return what is no line of the function's own, unless every invocation has it."""
    words = text.strip()
    if not words or words.startswith(_USUAL):
        return None
    timestamp = iso(from_ms(at_ms)).replace("T", " ").replace(".", ",").replace("Z", "+0000")
    fields = {"level": PLATFORM, "message": words, "timestamp": timestamp, "service": function.value}
    return LogLine(timestamp, function.value, PLATFORM, words, "", fields, at_ms)


def read_logs(
    stack: Stack,
    function: Function | None = None,
    *,
    task_id: str | None = None,
    since_ms: int = 0,
    printed: Iterable[str] = (),
) -> list[LogLine]:
    """Return what a function has logged since a moment, or all of them, in order of time, each line once.

    `task_id` leaves only the lines about that task. `printed` are further lines, for an AWS that does not send all of
    them to CloudWatch Logs. A function that has not logged yet has no lines.

    >>> read_logs(stack, Function.POLLER, task_id="task-1")
    []
    """
    wanted = list(Function) if function is None else [function]
    found = {line for each in wanted for line in _in_cloudwatch(stack, each, since_ms, _pattern(task_id))} | {
        line for text in printed if text.startswith("{") and (line := parse_line(text)) is not None
    }
    names = {each.value for each in wanted}
    return sorted(
        line
        for line in found
        if line.function in names
        and line.at_ms >= since_ms
        and (
            task_id is None or line.is_about(task_id) or (line.level == PLATFORM and task_id in line.message)
        )
    )


def _pattern(task_id: str | None) -> str | None:
    return f'"{task_id}"' if task_id is not None and _PLAIN_ID.fullmatch(task_id) else None


def _in_cloudwatch(stack: Stack, function: Function, since_ms: int, pattern: str | None) -> Iterator[LogLine]:
    request: dict[str, Any] = {"logGroupName": f"/aws/lambda/{stack.output(_OUTPUTS[function])}"}
    if since_ms:
        request["startTime"] = since_ms
    if pattern is not None:
        request["filterPattern"] = pattern
    try:
        for page in stack.client("logs").get_paginator("filter_log_events").paginate(**request):
            for event in page["events"]:
                line = parse_line(event["message"])
                if line is None and not event["message"].startswith("{"):
                    line = _platform_line(function, event["message"], event["timestamp"])
                if line is not None:
                    yield line
    except ClientError as error:
        # CloudWatch Logs makes the group of a function that never ran only with its first line.
        if code_of(error) != "ResourceNotFoundException":
            raise


def follow_logs(
    read: Callable[[int], list[LogLine]],
    since_ms: int,
    *,
    every_s: float = 2.0,
    late_ms: int | None = LATEST_MS,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[LogLine]:
    """Yield what is logged from a moment on, without end: `read` takes a moment and returns the lines since then.

    Each round reads `late_ms` of the past again, for lines that come late; None reads all of it.

    >>> lines = follow_logs(lambda since_ms: read_logs(stack, since_ms=since_ms), 0)
    """
    seen: dict[LogLine, int] = {}
    from_ms_on = since_ms
    while True:
        for line in read(from_ms_on):
            if line not in seen:
                seen[line] = line.at_ms
                yield line
        if late_ms is not None and seen:
            from_ms_on = max(since_ms, max(seen.values()) - late_ms)
            seen = {line: at_ms for line, at_ms in seen.items() if at_ms >= from_ms_on}
        sleep(every_s)
