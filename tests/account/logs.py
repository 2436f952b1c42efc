"""What the functions logged: errors, and the lines in which Lambda reports each invocation, in both of its formats."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

_REPORT: Final = re.compile(
    r"^REPORT RequestId: (?P<request>\S+).*?Duration: (?P<duration>[\d.]+) ms.*?"
    r"Billed Duration: (?P<billed>[\d.]+) ms.*?Memory Size: (?P<memory>\d+) MB",
    re.DOTALL,
)
_INIT: Final = re.compile(r"Init Duration: ([\d.]+) ms")
_STATUS: Final = re.compile(r"Status: (\w+)")
_ERRORS: Final = re.compile(
    r"^\[?(?:ERROR|CRITICAL|FATAL)\b|Traceback \(most recent call last\)|Task timed out after|Runtime\.\w*Error"
    r"|Runtime exited"
)
_LEVELS: Final = frozenset({"ERROR", "CRITICAL", "FATAL"})


@dataclass(frozen=True)
class Invocation:
    """What Lambda reported of one invocation; times in milliseconds, `init_ms` of a cold start alone."""

    duration_ms: float
    billed_ms: float
    memory_mb: int
    init_ms: float | None


@dataclass(frozen=True)
class FunctionTimes:
    """The invocations of one function, told in short; times in milliseconds."""

    invocations: int
    cold: int
    init_ms: float | None
    cold_ms: float | None
    warm_ms: float | None
    slowest_ms: float


def reports(lines: Iterable[str]) -> list[Invocation]:
    """Return what Lambda reported among the lines of a log group."""
    return [found for found in map(_report, lines) if found is not None]


def errors(lines: Iterable[str]) -> list[str]:
    """Return the lines that tell of an error, whoever wrote them."""
    return [line for line in lines if _is_error(line)]


def emitted_metrics(lines: Iterable[str]) -> Iterator[tuple[str, str, frozenset[tuple[str, str]]]]:
    """Yield namespace, name and dimensions of each metric that the lines hand to CloudWatch, as often as they do."""
    for line in lines:
        document = _json(line)
        for directive in document.get("_aws", {}).get("CloudWatchMetrics", ()):
            for names in directive["Dimensions"]:
                dimensions = frozenset((name, str(document[name])) for name in names)
                for metric in directive["Metrics"]:
                    yield directive["Namespace"], metric["Name"], dimensions


def times_of(invocations: Iterable[Invocation]) -> FunctionTimes | None:
    """Tell a function's invocations in short; None where there was none."""
    every = list(invocations)
    if not every:
        return None
    cold = [each for each in every if each.init_ms is not None]
    warm = [each.duration_ms for each in every if each.init_ms is None]
    return FunctionTimes(
        invocations=len(every),
        cold=len(cold),
        init_ms=median(each.init_ms for each in cold if each.init_ms is not None) if cold else None,
        cold_ms=median(each.duration_ms for each in cold) if cold else None,
        warm_ms=median(warm) if warm else None,
        slowest_ms=max(each.duration_ms for each in every),
    )


def _report(line: str) -> Invocation | None:
    if (found := _REPORT.match(line)) is not None:
        init = _INIT.search(line)
        return Invocation(
            duration_ms=float(found["duration"]),
            billed_ms=float(found["billed"]),
            memory_mb=int(found["memory"]),
            init_ms=None if init is None else float(init[1]),
        )
    document = _json(line)
    if document.get("type") != "platform.report":
        return None
    metrics: Mapping[str, Any] = document["record"]["metrics"]
    return Invocation(
        duration_ms=float(metrics["durationMs"]),
        billed_ms=float(metrics["billedDurationMs"]),
        memory_mb=int(metrics["memorySizeMB"]),
        init_ms=metrics.get("initDurationMs"),
    )


def _is_error(line: str) -> bool:
    document = _json(line)
    if document:
        level = document.get("level") or document.get("log_level")
        status = document.get("record", {}).get("status", "success") if "type" in document else "success"
        return level in _LEVELS or status != "success"
    status_told = _STATUS.search(line) if line.startswith("REPORT ") else None
    return status_told is not None or _ERRORS.search(line) is not None


def _json(line: str) -> dict[str, Any]:
    if not line.startswith("{"):
        return {}
    try:
        document = json.loads(line)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
