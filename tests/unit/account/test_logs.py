from __future__ import annotations

import json

import pytest
from tests.account.logs import Invocation, errors, reports, times_of
from tests.unit.account.evidence import METRIC_LINE, TEXT_REPORT

JSON_REPORT = json.dumps(
    {
        "time": "2026-11-28T13:00:00.000Z",
        "type": "platform.report",
        "record": {
            "requestId": "3f",
            "metrics": {
                "durationMs": 12.5,
                "billedDurationMs": 13,
                "memorySizeMB": 1024,
                "maxMemoryUsedMB": 90,
            },
            "status": "success",
        },
    }
)
TIMED_OUT = (
    "REPORT RequestId: 3f\tDuration: 30000.00 ms\tBilled Duration: 30000 ms\tMemory Size: 512 MB\t"
    "Max Memory Used: 97 MB\tStatus: timeout\n"
)


def test_lambda_reports_in_text_and_in_json() -> None:
    assert reports([TEXT_REPORT, "START RequestId: 3f", JSON_REPORT, METRIC_LINE, "{not json"]) == [
        Invocation(duration_ms=812.44, billed_ms=813, memory_mb=512, init_ms=611.2),
        Invocation(duration_ms=12.5, billed_ms=13, memory_mb=1024, init_ms=None),
    ]


def test_a_function_is_told_in_short() -> None:
    times = times_of(reports([TEXT_REPORT, JSON_REPORT, JSON_REPORT.replace("12.5", "20.5")]))

    assert times is not None
    assert (times.invocations, times.cold, times.init_ms, times.cold_ms) == (3, 1, 611.2, 812.44)
    assert (times.warm_ms, times.slowest_ms) == (16.5, 812.44)
    assert times_of([]) is None


@pytest.mark.parametrize(
    "line",
    [
        '{"level": "ERROR", "message": "it broke"}',
        '{"level": "CRITICAL", "message": "it broke"}',
        '{"log_level": "ERROR", "errorType": "KeyError", "stackTrace": []}',
        "[ERROR] KeyError: 'x'\nTraceback (most recent call last):",
        "2026-11-28T13:00:00.000Z 3f Task timed out after 30.00 seconds",
        TIMED_OUT,
        JSON_REPORT.replace("success", "timeout"),
        "RequestId: 3f Error: Runtime exited with error: signal: killed",
        "INIT_REPORT Init Duration: 9 ms Phase: init Status: error Error Type: Runtime.ImportModuleError",
    ],
)
def test_an_error_is_seen_whoever_wrote_it(line: str) -> None:
    assert errors([line]) == [line]


@pytest.mark.parametrize(
    "line",
    [
        TEXT_REPORT,
        JSON_REPORT,
        METRIC_LINE,
        '{"level": "WARNING", "message": "task_rejected", "error": "ERROR is a word"}',
        "START RequestId: 3f Version: $LATEST",
    ],
)
def test_what_is_no_error_is_not_taken_for_one(line: str) -> None:
    assert errors([line]) == []
