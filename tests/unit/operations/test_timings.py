"""How long the last tasks took, from items of the tables."""

from typing import Any

import pytest
from tests.support.aws import put
from tests.support.template import ROOT

from tunehook.aws.tasks import TasksTable, listed_attributes
from tunehook.deliveries import Attempt, DeliveryStatus, new_delivery
from tunehook.operations import timings as module
from tunehook.operations.stack import Stack
from tunehook.operations.timings import RecentTimings, Timings
from tunehook.tasks import Format

HOUR_MS = 3_600_000
NOW_MS = 1_800_000_000_000


def ended(task_id: str, ago_ms: int, detection_ms: int, status: str = "completed") -> None:
    times = {"finished_at_ms": NOW_MS - ago_ms - detection_ms, "detected_at_ms": NOW_MS - ago_ms}
    listed = listed_attributes(task_id, NOW_MS - ago_ms) | {"archived_at_ms": NOW_MS}
    put("TasksTable", {"task_id": task_id, "provider": "suno", "status": status} | times | listed)


def sent(stack: Stack, task_id: str, arrived_ms: int, run: int = 1, **differing: Any) -> None:
    made = new_delivery(
        event_id=f"evt-{task_id}-{run}",
        subscription_id="sub-1",
        task_id=task_id,
        provider="suno",
        type="task.completed",
        event_at_ms=1,
        format=Format.STANDARD,
        payload="{}",
        now_ms=arrived_ms,
    )
    attempt = Attempt(run=run, attempt=1, at_ms=arrived_ms - 100, duration_ms=100, status_code=204)
    update = {"status": DeliveryStatus.DELIVERED, "attempts": (attempt,), "run": run, **differing}
    stack.deliveries.create(made.model_copy(update=update))


def read(stack: Stack) -> Timings:
    recent = RecentTimings(stack, lambda: NOW_MS)
    while not (found := recent.read(100)).is_whole:
        pass
    return found


def test_ends_are_counted_by_status_and_hour(found: Stack) -> None:
    ended("a", HOUR_MS // 2, 1_000)
    ended("b", HOUR_MS // 2, 3_000)
    ended("c", 2 * HOUR_MS + 1, 1_000, "failed")
    ended("old", 30 * HOUR_MS, 1_000)
    timings = read(found)
    assert (timings.ended, timings.today) == (4, {"completed": 2, "failed": 1})
    assert [hour for hour in timings.by_hour if hour != (0, 0)] == [(0, 1), (2, 0)]
    assert timings.by_hour[-1] == (2, 0)
    assert timings.detection_by_hour[-1] == 3_000
    assert timings.is_all_of_today


def test_the_first_hour_of_the_day_has_its_median(found: Stack) -> None:
    ended("a", 23 * HOUR_MS + 1, 2_000)
    timings = read(found)
    assert timings.detection_by_hour[0] == 2_000
    assert timings.detection_by_hour[1:] == [None] * 23


def test_median_and_p95_of_detection(found: Stack) -> None:
    for number in range(1, 101):
        ended(f"t-{number}", number, number * 10)
    detection = read(found).detection
    assert (detection.count, detection.median_ms, detection.p95_ms) == (100, 510, 960)


def test_from_end_to_webhook_is_that_of_first_runs(found: Stack) -> None:
    ended("a", 10_000, 1_000)
    sent(found, "a", NOW_MS - 5_000)
    sent(found, "a", NOW_MS - 1, run=2)
    sent(found, "of-no-task", NOW_MS - 1)
    webhook = read(found).webhook
    assert (webhook.count, webhook.median_ms) == (1, 6_000)


def test_a_pending_task_is_counted_once_it_has_ended(found: Stack) -> None:
    put(
        "TasksTable",
        {"task_id": "t", "provider": "suno", "status": "pending"} | listed_attributes("t", NOW_MS),
    )
    recent = RecentTimings(found, lambda: NOW_MS + 1)
    while not (timings := recent.read(100)).is_whole:
        pass
    assert timings.ended == 0
    ended("t", 0, 500)
    assert recent.read(0).today == {"completed": 1}


def test_a_day_begins_24_hours_ago_and_ends_now(found: Stack) -> None:
    ended("before", 24 * HOUR_MS + 1, 1_000)
    ended("first", 24 * HOUR_MS, 2_000)
    ended("now", 0, 3_000)
    timings = read(found)
    assert (timings.today, timings.reaches_ms) == ({"completed": 2}, NOW_MS - 24 * HOUR_MS - 1)
    assert timings.by_hour == [(1, 0), *[(0, 0)] * 23]
    assert timings.detection_by_hour == [2_000, *[None] * 23]


@pytest.mark.parametrize(
    ("last_ago_ms", "is_all"),
    [(23 * HOUR_MS, False), (24 * HOUR_MS, False), (24 * HOUR_MS + 1, True)],
)
def test_that_all_of_today_is_counted_is_said_where_what_is_read_reaches_beyond_it(
    found: Stack, monkeypatch: pytest.MonkeyPatch, last_ago_ms: int, is_all: bool
) -> None:
    monkeypatch.setattr(module, "LOOKED_AT", 2)
    ended("newest", 1, 1)
    ended("last", last_ago_ms, 1)
    ended("not-read", 48 * HOUR_MS, 1)
    timings = read(found)
    assert (timings.read, timings.reaches_ms) == (2, NOW_MS - last_ago_ms)
    assert timings.is_all_of_today is is_all


def test_where_none_of_many_has_ended_it_is_not_known_what_did_today(
    found: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOKED_AT", 1)
    put(
        "TasksTable",
        {"task_id": "t", "provider": "suno", "status": "pending"} | listed_attributes("t", NOW_MS),
    )
    timings = read(found)
    assert (timings.read, timings.reaches_ms, timings.is_all_of_today) == (1, None, False)


def test_it_is_whole_once_tasks_and_deliveries_are_read(found: Stack) -> None:
    ended("a", 1, 1)
    ended("b", 2, 1)
    recent = RecentTimings(found, lambda: NOW_MS)
    looks = [recent.read(2) for _ in range(4)]
    assert [look.is_all_of_today for look in looks] == [False, True, True, True]
    assert [look.is_whole for look in looks] == [False, False, True, True]


def test_the_last_that_ended_count(found: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAST", 2)
    for number in range(3):
        ended(f"t-{number}", number, 1)
    timings = read(found)
    assert (timings.ended, timings.read, timings.reaches_ms) == (2, 3, NOW_MS - 1)


def test_over_how_many_the_console_takes_the_times_is_documented() -> None:
    text = (ROOT / "docs/console.md").read_text(encoding="utf-8")
    assert f"over the last {module.LAST:,} ended tasks" in text


def test_what_did_not_arrive_has_no_time_to_the_webhook(found: Stack) -> None:
    for number, differing in enumerate([{"status": DeliveryStatus.PENDING}, {"attempts": ()}]):
        ended(f"t-{number}", 10_000, 1_000)
        sent(found, f"t-{number}", NOW_MS - 5_000, **differing)
    assert read(found).webhook.count == 0


def test_an_end_after_its_detection_by_the_providers_clock_took_no_time(found: Stack) -> None:
    ended("a", 1_000, -500)
    assert read(found).detection.median_ms == 0


def test_what_has_ended_for_good_is_read_once(found: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    ended("t", 1_000, 500)
    recent = RecentTimings(found, lambda: NOW_MS)
    while not recent.read(100).is_whole:
        pass
    monkeypatch.setattr(TasksTable, "get_many", lambda *_, **__: pytest.fail("it is read again"))
    assert recent.read(100).ended == 1


def test_of_deliveries_the_last_are_read(found: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DELIVERIES_READ", 2)
    for number in range(3):
        ended(f"t-{number}", 10_000, 1_000)
        sent(found, f"t-{number}", NOW_MS - number)
    assert read(found).webhook.count == 2
