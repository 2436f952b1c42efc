from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.tasks import NOW_MS, clip, pending

from poller.judge import EMPTY_ENDS_AT, NOT_FOUND_MIN_AGE_MS, End, Wait, judge, timed_out
from tunehook.providers import (
    Completed,
    CompletedWithoutResults,
    Failed,
    NotFound,
    Outcome,
    Pending,
    TaskResult,
    Throttled,
    Transient,
    Unauthorised,
)
from tunehook.tasks import Failure, FailureCode, Status, TaskEnd
from tunehook.times import from_ms

TASK = pending()
SOON_MS = NOW_MS + 30_000
OLD_MS = NOW_MS + NOT_FOUND_MIN_AGE_MS
DEADLINE_MS = TASK.deadline_ms
RESULT = TaskResult(
    clips=(clip(),),
    submitted_at=from_ms(NOW_MS - 5_000),
    started_at=None,
    finished_at=from_ms(NOW_MS + 29_000),
    provider_object={"task_id": "task-1", "title": "歌"},
    truncated=True,
)
SILENT: list[Outcome] = [
    Throttled(5.0),
    Throttled(None, asked=False),
    Unauthorised("HTTP 401"),
    Transient("HTTP 502"),
]


def end_of(task: Any, outcome: Outcome, now_ms: int = SOON_MS) -> TaskEnd:
    verdict = judge(task, outcome, now_ms)
    assert isinstance(verdict, End)
    return verdict.end


def changes_of(task: Any, outcome: Outcome, now_ms: int = SOON_MS) -> dict[str, Any]:
    verdict = judge(task, outcome, now_ms)
    assert isinstance(verdict, Wait)
    return verdict.changes


def test_row_1_an_uneventful_answer_writes_nothing() -> None:
    task = replace(TASK, phase="processing")
    assert changes_of(task, Pending("processing", "IN_PROGRESS")) == {}


def test_row_1_a_new_phase_is_kept() -> None:
    assert changes_of(TASK, Pending("queued", "SUBMITTED")) == {"phase": "queued"}
    assert changes_of(replace(TASK, phase="queued"), Pending("processing", "x")) == {"phase": "processing"}


def test_row_1_an_unknown_word_is_pending() -> None:
    assert changes_of(TASK, Pending("processing", "PONDERING", known=False)) == {"phase": "processing"}


def test_a_good_answer_takes_back_what_counts_in_a_row() -> None:
    task = replace(TASK, phase="queued", not_found_count=2, empty_count=1, last_error="not configured")
    expected = {"not_found_count": None, "empty_count": None, "last_error": None}
    assert changes_of(task, Pending("queued", "x")) == expected


def test_the_providers_own_submission_time_is_kept_where_it_makes_a_difference() -> None:
    answer = Pending("queued", "x", submitted_at=from_ms(NOW_MS - 90_000))
    assert changes_of(replace(TASK, phase="queued"), answer) == {"submitted_at_ms": NOW_MS - 90_000}


@pytest.mark.parametrize("offset_ms", [-20_000, 0, 3_600_000])
def test_a_submission_time_that_makes_none_is_not_worth_a_write(offset_ms: int) -> None:
    answer = Pending("queued", "x", submitted_at=from_ms(NOW_MS + offset_ms))
    assert changes_of(replace(TASK, phase="queued"), answer) == {}


def test_row_2_a_completed_task_ends_with_its_clips_and_times() -> None:
    assert end_of(TASK, Completed(RESULT)) == TaskEnd(
        status=Status.COMPLETED,
        detected_at_ms=SOON_MS,
        submitted_at_ms=NOW_MS - 5_000,
        finished_at_ms=NOW_MS + 29_000,
        clips=RESULT.clips,
        provider_object='{"task_id": "task-1", "title": "歌"}',
        truncated=True,
    )


def test_a_task_was_not_submitted_after_it_was_put_into_the_table() -> None:
    late = replace(RESULT, submitted_at=from_ms(NOW_MS) + timedelta(hours=8), finished_at=None)
    end = end_of(TASK, Completed(late))
    assert (end.submitted_at_ms, end.finished_at_ms) == (NOW_MS, None)


@pytest.mark.parametrize("count", range(EMPTY_ENDS_AT - 1))
def test_row_3_completed_without_results_is_asked_a_few_more_times(count: int) -> None:
    task = replace(TASK, empty_count=count)
    assert changes_of(task, CompletedWithoutResults(RESULT)) == {"empty_count": count + 1}


def test_row_3_and_fails_then() -> None:
    end = end_of(replace(TASK, empty_count=EMPTY_ENDS_AT - 1), CompletedWithoutResults(RESULT))
    assert end.status is Status.FAILED
    assert end.failure is not None
    assert end.failure.code is FailureCode.COMPLETED_WITHOUT_RESULTS
    assert end.provider_object is not None


def test_row_3_an_answer_without_results_shows_that_the_task_is_known() -> None:
    task = replace(TASK, not_found_count=2, last_error="x")
    expected = {"empty_count": 1, "not_found_count": None, "last_error": None}
    assert changes_of(task, CompletedWithoutResults(RESULT)) == expected


def test_row_4_a_failed_task_keeps_the_reason_and_the_playable_clips() -> None:
    end = end_of(TASK, Failed("all platforms unavailable", RESULT))
    assert (end.status, end.clips) == (Status.FAILED, RESULT.clips)
    assert end.failure == Failure(FailureCode.PROVIDER_FAILED, "all platforms unavailable")


@pytest.mark.parametrize("count", [0, 1])
def test_row_5_not_found_is_counted_before_it_counts(count: int) -> None:
    task = replace(TASK, not_found_count=count)
    assert changes_of(task, NotFound(), OLD_MS) == {"not_found_count": count + 1}


def test_row_5_three_in_a_row_are_not_enough_before_60_s() -> None:
    assert changes_of(replace(TASK, not_found_count=2), NotFound(), OLD_MS - 1) == {"not_found_count": 3}


def test_row_5_no_more_than_three_are_written_down() -> None:
    assert changes_of(replace(TASK, not_found_count=3), NotFound(), OLD_MS - 1) == {}


@pytest.mark.parametrize("count", [2, 3])
def test_row_5_three_in_a_row_and_60_s_make_it_fail(count: int) -> None:
    end = end_of(replace(TASK, not_found_count=count), NotFound(), OLD_MS)
    assert end.status is Status.FAILED
    assert end.failure is not None
    assert end.failure.code is FailureCode.NOT_FOUND


def test_row_5_the_age_counts_from_acceptance_not_from_the_providers_word() -> None:
    task = replace(TASK, not_found_count=2, submitted_at_ms=NOW_MS - 3_600_000)
    assert isinstance(judge(task, NotFound(), OLD_MS - 1), Wait)


@pytest.mark.parametrize("outcome", SILENT)
def test_rows_6_to_8_trouble_of_the_provider_changes_nothing_of_the_task(outcome: Outcome) -> None:
    task = replace(TASK, not_found_count=2, empty_count=3, last_error="x")
    assert changes_of(task, outcome) == {}


WAITING: list[Outcome] = [*SILENT, Pending("queued", "x"), NotFound(), CompletedWithoutResults(RESULT)]


@pytest.mark.parametrize("outcome", WAITING)
def test_row_9_at_the_deadline_a_task_that_goes_on_has_timed_out(outcome: Outcome) -> None:
    assert isinstance(judge(TASK, outcome, DEADLINE_MS - 1), Wait)
    end = end_of(TASK, outcome, DEADLINE_MS)
    assert end.failure == Failure(FailureCode.TIMED_OUT, "not ended within 3600 s")


@pytest.mark.parametrize(
    ("outcome", "code"), [(Completed(RESULT), None), (Failed("x", RESULT), FailureCode.PROVIDER_FAILED)]
)
def test_row_9_an_answer_that_ends_the_task_counts_even_after_the_deadline(
    outcome: Outcome, code: FailureCode | None
) -> None:
    end = end_of(TASK, outcome, DEADLINE_MS + 60_000)
    assert (end.failure and end.failure.code) == code


def test_a_timeout_tells_what_was_the_matter_last() -> None:
    end = timed_out(replace(TASK, last_error="the provider gw is not configured"), DEADLINE_MS)
    assert end.failure is not None
    assert end.failure.reason == "not ended within 3600 s; last: the provider gw is not configured"
