import itertools
import json
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.aws import Faulty, client, fault

from tunehook.operations.logs import PLATFORM, Function, follow_logs, parse_line, read_logs
from tunehook.operations.stack import Stack
from tunehook.times import from_ms, now_ms

NOW_MS = now_ms()


def text(message: str, function: str = "poller", ago_s: float = 0, **fields: Any) -> str:
    at = from_ms(NOW_MS - round(ago_s * 1000))
    stamp = f"{at:%Y-%m-%d %H:%M:%S},{at.microsecond // 1000:03}+0000"
    own = {"level": "INFO", "message": message, "timestamp": stamp, "service": function, "location": "x:1"}
    return json.dumps(own | fields)


def log(function: str, *texts: str, ago_s: float = 0) -> None:
    logs, group = client("logs"), f"/aws/lambda/tunehook-{function}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    at_ms = NOW_MS - round(ago_s * 1000)
    events = [{"timestamp": at_ms, "message": each} for each in texts]
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)


def messages(stack: Stack, *args: Any, **options: Any) -> list[str]:
    return [each.message for each in read_logs(stack, *args, **options)]


def test_the_lines_of_all_functions_come_in_order_of_time_each_once(found: Stack) -> None:
    log("intake", text("first", "intake", ago_s=9), text("third", "intake", ago_s=3))
    log("poller", text("second", ago_s=5))
    printed = [text("third", "intake", ago_s=3), text("last", "webhooks", ago_s=1), '{"no": 1}', "a banner"]
    assert messages(found, printed=printed) == ["first", "second", "third", "last"]
    assert messages(found, Function.POLLER, printed=printed) == ["second"]


def test_only_what_was_logged_since_a_moment_is_told(found: Stack) -> None:
    log("poller", text("old", ago_s=60), text("new"))
    printed = [text("printed", ago_s=60)]
    assert messages(found, since_ms=NOW_MS - 1000, printed=printed) == ["new"]


@pytest.mark.parametrize("task_id", ["t-1", "我的 t"])
def test_the_lines_about_a_task_are_those_that_have_its_id_in_a_field(found: Stack, task_id: str) -> None:
    log(
        "poller",
        text("its own", task_id=task_id),
        text("of many", tasks=["t-0", {"id": task_id}]),
        text("another", task_id=f"{task_id}0"),
        text(f"{task_id} in a sentence"),
    )
    assert sorted(messages(found, task_id=task_id)) == ["its own", "of many"]


def test_what_lambda_says_of_an_invocation_is_told_unless_each_invocation_has_it(found: Stack) -> None:
    usual = ["START RequestId: r Version: 1", "END RequestId: r", "REPORT RequestId: r Duration: 1 ms"]
    log(
        "poller",
        *usual,
        "2026-11-20T16:00:00Z r Task timed out after 30.00 seconds\n",
        '{"type": "platform.x"}',
    )
    (line,) = read_logs(found)
    assert (line.function, line.level) == ("poller", PLATFORM)
    assert line.message.endswith("Task timed out after 30.00 seconds")
    assert line.at_ms == NOW_MS


def test_who_may_not_read_the_log_is_told_so(found: Stack) -> None:
    refused = Faulty(client("logs"))
    refused.get_paginator = lambda _: refused  # type: ignore[attr-defined]

    def paginate(**_: Any) -> Any:
        raise fault("AccessDeniedException", "FilterLogEvents")

    refused.paginate = paginate  # type: ignore[attr-defined]
    found._clients["logs"] = refused
    with pytest.raises(Exception, match="AccessDenied"):
        read_logs(found)


def test_of_a_traceback_the_last_line_is_shown_and_all_of_it_kept() -> None:
    traceback = "Traceback (most recent call last):\n  ...\nValueError: no such thing"
    line = parse_line(text("failed", exception=traceback, exception_name="ValueError", stack_trace={"a": 1}))
    assert line is not None
    assert line.rest == "exception=ValueError: no such thing exception_name=ValueError"
    assert line.fields["exception"] == traceback


def test_following_tells_each_line_once_also_one_that_comes_late() -> None:
    early, late, last = (
        parse_line(text(name, ago_s=ago_s)) for name, ago_s in (("a", 9), ("b", 10), ("c", 1))
    )
    rounds = iter([[early], [late, early], [late, early, last]])
    asked: list[int] = []

    def read(since_ms: int) -> Any:
        asked.append(since_ms)
        return next(rounds)

    slept: list[float] = []
    lines = follow_logs(read, 5, late_ms=2000, sleep=slept.append)
    assert [each.message for each in itertools.islice(lines, 3)] == ["a", "b", "c"]
    assert asked == [5, NOW_MS - 11_000, NOW_MS - 11_000]
    assert slept == [2.0, 2.0]


def test_following_reads_the_last_minute_again_and_nothing_before_its_beginning() -> None:
    asked: list[int] = []
    lines = iter([text("a", ago_s=50), text("b")])

    def read(since_ms: int) -> Any:
        asked.append(since_ms)
        return [parse_line(next(lines))] if len(asked) < 3 else [parse_line(text("c"))]

    found = follow_logs(read, NOW_MS - 70_000, sleep=lambda _: None)
    assert [each.message for each in itertools.islice(found, 3)] == ["a", "b", "c"]
    assert asked == [NOW_MS - 70_000, NOW_MS - 70_000, NOW_MS - 60_000]


def test_cloudwatch_is_asked_for_no_more_than_is_wanted(found: Stack) -> None:
    asked: list[dict[str, Any]] = []

    def paginate(**request: Any) -> list[Any]:
        asked.append(request)
        return []

    found._clients["logs"] = SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=paginate))
    read_logs(found, Function.POLLER, task_id="t-1", since_ms=5)
    read_logs(found, Function.POLLER, task_id="我的 t")
    group = {"logGroupName": "/aws/lambda/tunehook-poller"}
    assert asked == [group | {"startTime": 5, "filterPattern": '"t-1"'}, group]


def test_following_may_read_all_of_the_past_each_time() -> None:
    asked: list[int] = []
    line = parse_line(text("a"))

    def read(since_ms: int) -> Any:
        asked.append(since_ms)
        return [line, *([parse_line(text("b"))] if len(asked) == 3 else [])]

    lines = follow_logs(read, 5, late_ms=None, sleep=lambda _: None)
    assert [each.message for each in itertools.islice(lines, 2)] == ["a", "b"]
    assert asked == [5, 5, 5]
