from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.tasks import NOW_MS, clip, pending

from poller.decision import End, Wait, decide, given_up, timed_out
from tunehook.providers.outcomes import (
    Completed,
    CompletedWithoutResults,
    Failed,
    InlineFile,
    NotFound,
    Outcome,
    Pending,
    SeemsFailed,
    TaskResult,
    Throttled,
    Transient,
    Unauthorised,
)
from tunehook.tasks import Failure, FailureCode, Status, Suspicion, TaskEnd, Trouble, WorkItem
from tunehook.times import from_ms

# As documented, and not imported: a bound that moves is to be noticed.
EMPTY_ENDS_AT = 4
NOT_FOUND_MIN_AGE_MS = 60_000
PROGRESS_SPAN_MS = 60_000
STREAMING_MAX_MS = 600_000
GIVE_UP_AFTER_MS = 24 * 3_600_000
WORD_APART_MS = 30_000

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
BARE: dict[str, Any] = {"audio_url": None, "cover_url": None}
NOTHING = replace(RESULT, clips=(clip(**BARE),))
SILENT: list[Outcome] = [
    Throttled(5.0),
    Throttled(None, asked=False),
    Unauthorised("HTTP 401"),
    Transient("HTTP 502"),
]


def end_of(task: Any, outcome: Outcome, now_ms: int = SOON_MS) -> TaskEnd:
    decision = decide(task, outcome, now_ms)
    assert isinstance(decision, End)
    return decision.end


def changes_of(task: Any, outcome: Outcome, now_ms: int = SOON_MS) -> dict[str, Any]:
    decision = decide(task, outcome, now_ms)
    assert isinstance(decision, Wait)
    return decision.changes


def test_row_1_an_uneventful_answer_writes_nothing() -> None:
    task = replace(TASK, phase="processing")
    assert changes_of(task, Pending("processing", "IN_PROGRESS")) == {}


def test_row_1_a_new_phase_is_kept() -> None:
    assert changes_of(TASK, Pending("queued", "SUBMITTED")) == {"phase": "queued"}
    assert changes_of(replace(TASK, phase="queued"), Pending("processing", "x")) == {"phase": "processing"}


def test_row_1_an_unknown_word_is_pending() -> None:
    assert changes_of(TASK, Pending("processing", "PONDERING", known=False)) == {"phase": "processing"}


def test_what_an_unknown_word_was_told_by_is_not_taken_back_by_another() -> None:
    trouble = Trouble(kind="unknown_word", count=3, since_ms=NOW_MS, told="unknown_word", is_kept=True)
    task = replace(TASK, phase="queued", last_error="PONDERING is not known", trouble=trouble)
    assert changes_of(task, Pending("queued", "PONDERING", known=False)) == {}
    assert changes_of(task, Pending("queued", "QUEUED")) == {"last_error": None, "trouble": None}


def test_what_a_recipe_could_not_read_was_told_by_is_not_taken_back_by_the_same() -> None:
    trouble = Trouble(kind="unread", count=3, since_ms=NOW_MS, told="unread", is_kept=True)
    task = replace(TASK, phase="queued", last_error="the recipe cannot read all of it", trouble=trouble)
    assert changes_of(task, Pending("queued", "x", problem="task.submitted_at: no value")) == {}
    assert changes_of(task, Pending("queued", "x")) == {"last_error": None, "trouble": None}


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


def test_files_inside_the_answer_come_with_the_end() -> None:
    files = (InlineFile("clip-1", "audio", b"ID3"),)
    decision = decide(TASK, Completed(replace(RESULT, inline_files=files)), SOON_MS)
    assert isinstance(decision, End)
    assert decision.inline_files == files


@pytest.mark.parametrize("count", range(EMPTY_ENDS_AT - 1))
def test_row_3_completed_without_results_is_asked_a_few_more_times(count: int) -> None:
    task = replace(TASK, empty_count=count)
    assert changes_of(task, CompletedWithoutResults(RESULT)) == {"empty_count": count + 1}


EMPTY = replace(TASK, empty_count=EMPTY_ENDS_AT - 1)


def test_row_3_and_fails_then() -> None:
    end = end_of(EMPTY, CompletedWithoutResults(NOTHING))
    assert end.status is Status.FAILED
    assert end.failure == Failure(
        FailureCode.COMPLETED_WITHOUT_RESULTS,
        "the provider calls it completed and names no audio, video or text",
    )
    assert end.provider_object is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"cover_url": "https://cdn.example.com/1.jpeg"},
        {"large_cover_url": "https://cdn.example.com/1.jpeg"},
        {"cover_source_url": "https://cdn.example.com/1.jpeg"},
        {"video_url": "https://cdn.example.com/1.mp4"},
        {"text": "[Verse]"},
        {"inline": ("cover",)},
        {"image_url": "https://cdn.example.com/none", "is_output": True},
        {"file_url": "https://cdn.example.com/none", "is_output": True},
    ],
)
def test_row_3_and_completes_then_if_there_is_anything_to_keep(fields: dict[str, Any]) -> None:
    result = replace(RESULT, clips=(clip(**BARE), clip("clip-2", **BARE | fields)))
    assert end_of(EMPTY, CompletedWithoutResults(result)).status is Status.COMPLETED


def test_row_3_a_task_whose_outputs_have_no_file_fails_then() -> None:
    result = replace(RESULT, clips=(clip(**BARE, is_output=True),))
    failure = end_of(EMPTY, CompletedWithoutResults(result)).failure
    assert failure == Failure(
        FailureCode.COMPLETED_WITHOUT_RESULTS, "the provider calls it completed and names no file"
    )


def test_row_3_the_reason_names_what_cannot_be_made_a_link() -> None:
    unusable = ("audio_url: none", "audio_url: ???", "video_url: 7", "video_url: 8")
    end = end_of(EMPTY, CompletedWithoutResults(replace(NOTHING, unusable_links=unusable)))
    assert end.failure is not None
    assert end.failure.reason.endswith(
        "; what cannot be made a link: audio_url: none, audio_url: ???, video_url: 7"
    )


def test_row_3_the_failure_says_why_a_clip_has_failed() -> None:
    failure = end_of(EMPTY, CompletedWithoutResults(NOTHING, "moderated")).failure
    assert failure is not None
    assert failure.reason.endswith("; it says: moderated")


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


def test_row_5_the_reason_has_the_providers_own_words() -> None:
    end = end_of(replace(TASK, not_found_count=2), NotFound("HTTP 404: task not found"), OLD_MS)
    assert end.failure is not None
    assert end.failure.reason == "the provider suno knows no such task: HTTP 404: task not found"


def test_row_5_the_age_counts_from_acceptance_not_from_the_providers_word() -> None:
    task = replace(TASK, not_found_count=2, submitted_at_ms=NOW_MS - 3_600_000)
    assert isinstance(decide(task, NotFound(), OLD_MS - 1), Wait)


@pytest.mark.parametrize("outcome", SILENT)
def test_rows_6_to_8_trouble_of_the_provider_changes_nothing_of_the_task(outcome: Outcome) -> None:
    task = replace(TASK, not_found_count=2, empty_count=3, last_error="x")
    assert changes_of(task, outcome) == {}


class TestDeadline:
    """Row 9."""

    def test_an_answer_that_calls_the_task_unended_ends_it(self) -> None:
        pending_answer = Pending("queued", "x")
        assert isinstance(decide(TASK, pending_answer, DEADLINE_MS - 1), Wait)
        assert end_of(TASK, pending_answer, DEADLINE_MS).failure == Failure(
            FailureCode.TIMED_OUT, "not ended within 3600 s"
        )

    def test_a_word_that_is_not_known_is_named(self) -> None:
        end = end_of(TASK, Pending("processing", "PONDERING", known=False), DEADLINE_MS)
        assert end.failure is not None
        assert "; last: the provider's status 'PONDERING' is not known" in end.failure.reason

    def test_what_a_recipe_could_not_read_is_named(self) -> None:
        end = end_of(TASK, Pending("processing", "x", problem="task.submitted_at: no value"), DEADLINE_MS)
        assert end.failure is not None
        assert "; last: the recipe cannot read all of it: task.submitted_at: no value" in end.failure.reason

    def test_what_seems_to_be_a_failure_is_named(self) -> None:
        end = end_of(TASK, SeemsFailed("X_FAILED", RESULT, "word"), DEADLINE_MS)
        assert end.failure == Failure(
            FailureCode.TIMED_OUT, "not ended within 3600 s; last: the task seems to have failed: X_FAILED"
        )

    def test_one_that_completed_without_results_ends_as_that(self) -> None:
        end = end_of(TASK, CompletedWithoutResults(NOTHING), DEADLINE_MS)
        assert end.failure is not None
        assert end.failure.code is FailureCode.COMPLETED_WITHOUT_RESULTS

    def test_one_that_still_streams_is_completed(self) -> None:
        assert end_of(TASK, Completed(RESULT, is_streaming=True), DEADLINE_MS).status is Status.COMPLETED

    def test_one_that_is_not_found_goes_by_its_own_rule(self) -> None:
        assert changes_of(TASK, NotFound(), DEADLINE_MS) == {"not_found_count": 1}
        end = end_of(replace(TASK, not_found_count=2), NotFound(), DEADLINE_MS)
        assert end.failure is not None
        assert end.failure.code is FailureCode.NOT_FOUND

    @pytest.mark.parametrize("outcome", SILENT)
    def test_without_an_answer_it_ends_nothing_for_24_hours(self, outcome: Outcome) -> None:
        assert changes_of(TASK, outcome, DEADLINE_MS + GIVE_UP_AFTER_MS - 1) == {}

    @pytest.mark.parametrize(
        ("outcome", "words"),
        [
            (Throttled(5.0, detail="HTTP 429: slow down"), "the provider throttles: HTTP 429: slow down"),
            (Unauthorised("HTTP 401: bad"), "the provider refuses the key: HTTP 401: bad"),
            (Unauthorised("no credit left: HTTP 402", "credit"), "no credit left: HTTP 402"),
            (Transient("HTTP 502"), "HTTP 502"),
        ],
    )
    def test_after_these_it_ends_by_the_words_of_who_stood_in_the_way(
        self, outcome: Outcome, words: str
    ) -> None:
        end = end_of(TASK, outcome, DEADLINE_MS + GIVE_UP_AFTER_MS)
        assert end.failure == Failure(
            FailureCode.TIMED_OUT, f"not ended within 3600 s; could not be asked after that: {words}"
        )

    def test_the_caller_may_know_better_words(self) -> None:
        decision = decide(TASK, Transient("x"), DEADLINE_MS + GIVE_UP_AFTER_MS, "the moon is full")
        assert isinstance(decision, End)
        assert decision.end.failure is not None
        assert decision.end.failure.reason.endswith(": the moon is full")

    def test_the_reason_says_since_when(self) -> None:
        trouble = Trouble(kind="x", count=3, since_ms=DEADLINE_MS - 1_000)
        failure = given_up(replace(TASK, trouble=trouble), DEADLINE_MS, "HTTP 502", since_ms=1).end.failure
        assert failure is not None
        assert "could not be asked after that (since 2027-01-15T08:59:59.000Z): HTTP 502" in failure.reason

    def test_where_the_task_does_not_know_its_provider_does(self) -> None:
        failure = given_up(TASK, DEADLINE_MS, "HTTP 502").end.failure
        assert failure is not None
        assert failure.reason.endswith("; could not be asked after that: HTTP 502")
        failure = given_up(TASK, DEADLINE_MS, "HTTP 502", since_ms=DEADLINE_MS).end.failure
        assert failure is not None
        assert "(since 2027-01-15T09:00:00.000Z)" in failure.reason


class TestSeemsFailed:
    def answers(self, evidence: Any, *ages_s: float) -> list[tuple[float, str | None]]:
        """Give such answers at some ages; return what the task was after each: None while it waits."""
        task: WorkItem = replace(TASK, phase="processing")
        seen: list[tuple[float, str | None]] = []
        for age_s in ages_s:
            decision = decide(
                task, SeemsFailed("GENERATE_FAILED", RESULT, evidence), NOW_MS + round(age_s * 1000)
            )
            if isinstance(decision, End):
                assert decision.end.failure == Failure(FailureCode.PROVIDER_FAILED, "GENERATE_FAILED")
                return [*seen, (age_s, decision.end.status.value)]
            task = replace(task, **decision.changes)
            seen.append((age_s, None))
        return seen

    def test_three_answers_30_s_apart_make_a_word_a_failure(self) -> None:
        assert self.answers("word", 10, 40, 70)[-1] == (70, "failed")

    def test_one_that_comes_earlier_does_not_count(self) -> None:
        seen = self.answers("word", 10, 15, 39.9, 40, 69.9, 70)
        assert seen[-2:] == [(69.9, None), (70, "failed")]

    def test_three_answers_that_span_60_s_make_a_progress_of_100_a_failure(self) -> None:
        assert self.answers("progress", 10, 15, 20, 69.9, 70)[-2:] == [(69.9, None), (70, "failed")]

    def test_two_answers_do_not_however_far_apart(self) -> None:
        assert self.answers("progress", 10, 500) == [(10, None), (500, None)]

    @pytest.mark.parametrize("evidence", ["word", "progress"])
    def test_it_costs_two_writes(self, evidence: Any) -> None:
        task, writes = replace(TASK, phase="processing"), 0
        for age_s in range(0, 55, 5):
            decision = decide(task, SeemsFailed("X_FAILED", RESULT, evidence), NOW_MS + age_s * 1000)
            assert isinstance(decision, Wait)
            writes += bool(decision.changes)
            task = replace(task, **decision.changes)
        assert writes == 2

    def test_the_user_is_told(self) -> None:
        changes = changes_of(TASK, SeemsFailed("X_FAILED", RESULT, "word"))
        assert changes["last_error"] == "the task seems to have failed: X_FAILED"

    def test_another_kind_of_evidence_begins_anew(self) -> None:
        suspicion = Suspicion(evidence="word", count=2, since_ms=NOW_MS, at_ms=NOW_MS)
        task = replace(TASK, suspicion=suspicion, last_error="x")
        changes = changes_of(task, SeemsFailed("why", RESULT, "progress"), NOW_MS + PROGRESS_SPAN_MS)
        assert changes["suspicion"].count == 1

    @pytest.mark.parametrize(
        "outcome",
        [Pending("queued", "x"), CompletedWithoutResults(NOTHING), Completed(RESULT, is_streaming=True)],
    )
    def test_any_other_answer_takes_it_back(self, outcome: Outcome) -> None:
        suspicion = Suspicion(evidence="word", count=2, since_ms=NOW_MS, at_ms=NOW_MS)
        task = replace(TASK, suspicion=suspicion, last_error="x")
        changes = changes_of(task, outcome)
        assert (changes["suspicion"], changes["last_error"]) == (None, None)

    @pytest.mark.parametrize("outcome", SILENT)
    def test_trouble_does_not(self, outcome: Outcome) -> None:
        suspicion = Suspicion(evidence="word", count=2, since_ms=NOW_MS, at_ms=NOW_MS)
        task = replace(TASK, suspicion=suspicion)
        assert changes_of(task, outcome) == {}
        assert isinstance(decide(task, SeemsFailed("x", RESULT, "word"), NOW_MS + WORD_APART_MS), End)

    def test_it_shows_that_the_task_is_known(self) -> None:
        task = replace(TASK, not_found_count=2, empty_count=1)
        changes = changes_of(task, SeemsFailed("x", RESULT, "word"))
        assert (changes["not_found_count"], changes["empty_count"]) == (None, None)


class TestStreaming:
    streaming = Completed(RESULT, is_streaming=True)

    def test_the_first_such_answer_is_noted(self) -> None:
        assert changes_of(TASK, self.streaming) == {"streaming_since_ms": SOON_MS}

    def test_the_next_ones_write_nothing(self) -> None:
        task = replace(TASK, streaming_since_ms=NOW_MS)
        assert changes_of(task, self.streaming, NOW_MS + STREAMING_MAX_MS - 1) == {}

    def test_after_ten_minutes_it_is_completed_as_it_is(self) -> None:
        task = replace(TASK, streaming_since_ms=NOW_MS)
        end = end_of(task, self.streaming, NOW_MS + STREAMING_MAX_MS)
        assert (end.status, end.clips) == (Status.COMPLETED, RESULT.clips)

    def test_once_the_files_are_there_it_is_completed_at_once(self) -> None:
        task = replace(TASK, streaming_since_ms=NOW_MS)
        assert end_of(task, Completed(RESULT)).status is Status.COMPLETED

    def test_an_answer_between_does_not_begin_the_wait_anew(self) -> None:
        task = replace(TASK, streaming_since_ms=NOW_MS, phase="processing")
        assert changes_of(task, Pending("processing", "x")) == {}


@pytest.mark.parametrize(
    ("outcome", "code"), [(Completed(RESULT), None), (Failed("x", RESULT), FailureCode.PROVIDER_FAILED)]
)
def test_row_9_an_answer_that_ends_the_task_counts_even_after_the_deadline(
    outcome: Outcome, code: FailureCode | None
) -> None:
    end = end_of(TASK, outcome, DEADLINE_MS + 60_000)
    assert (end.failure and end.failure.code) == code


def test_a_timeout_tells_what_was_the_matter_last() -> None:
    end = timed_out(replace(TASK, last_error="the provider gw is not configured"), DEADLINE_MS).end
    assert end.failure is not None
    assert end.failure.reason == "not ended within 3600 s; last: the provider gw is not configured"
