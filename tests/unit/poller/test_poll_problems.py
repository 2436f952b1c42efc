from dataclasses import replace
from typing import Any

import pytest
from tests.support.tasks import NOW_MS, clip, pending

from poller.poll_problems import NO_LONGER_ACCEPTED, PollProblem, problem_of, record_problem
from tunehook.providers.outcomes import (
    Completed,
    CompletedWithoutResults,
    Failed,
    NotFound,
    Outcome,
    Pending,
    SeemsFailed,
    TaskResult,
    Throttled,
    Transient,
    Unauthorised,
)
from tunehook.tasks import WorkItem

# As documented, and not imported: a bound that moves is to be noticed.
REPORT_AT = 3

RESULT = TaskResult(clips=(clip(),), submitted_at=None, started_at=None, finished_at=None, provider_object={})
TASK = pending()
BAD = PollProblem("transient HTTP 502", "HTTP 502")
OTHER = PollProblem("throttled", "the provider throttles")


class TestProblemOf:
    @pytest.mark.parametrize(
        ("outcome", "words"),
        [
            (Transient("HTTP 502: an HTML page"), "HTTP 502: an HTML page"),
            (Throttled(5.0), "the provider throttles"),
            (Throttled(5.0, detail="HTTP 429: slow down"), "the provider throttles: HTTP 429: slow down"),
            (
                Unauthorised("HTTP 401: Invalid token"),
                "the provider refuses the key: HTTP 401: Invalid token",
            ),
            (Unauthorised("no credit left: HTTP 402", "credit"), "no credit left: HTTP 402"),
            (
                Unauthorised("the key may not ask this: HTTP 403", "access"),
                "the key may not ask this: HTTP 403",
            ),
            (NotFound(), "the provider knows no such task"),
            (NotFound("HTTP 404: gone"), "the provider knows no such task: HTTP 404: gone"),
            (
                Pending("processing", "PONDERING", known=False),
                "the provider's status 'PONDERING' is not known: taken for unended",
            ),
            (
                Pending("queued", "x", problem="task.submitted_at: no value, because it raises"),
                "the recipe cannot read all of it: task.submitted_at: no value, because it raises",
            ),
        ],
    )
    def test_it_is_said_in_the_words_of_who_stands_in_the_way(self, outcome: Outcome, words: str) -> None:
        problem = problem_of(outcome)
        assert problem is not None
        assert problem.message == words

    @pytest.mark.parametrize(
        "outcome",
        [
            Pending("queued", "x"),
            Completed(RESULT),
            CompletedWithoutResults(RESULT),
            Failed("x", RESULT),
            SeemsFailed("x", RESULT, "word"),
        ],
    )
    def test_an_answer_has_none(self, outcome: Outcome) -> None:
        assert problem_of(outcome) is None

    def test_a_key_that_was_accepted_before_is_told_apart(self) -> None:
        problem = problem_of(Unauthorised("HTTP 401: Invalid token"), is_no_longer_accepted=True)
        assert problem is not None
        assert problem.message == f"{NO_LONGER_ACCEPTED}: HTTP 401: Invalid token"
        assert problem.kind != getattr(problem_of(Unauthorised("HTTP 401: Invalid token")), "kind", None)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("HTTP 502: request 17", "HTTP 502: request 18"),
            ("no answer within 10 s", "no answer within 12 s"),
            ("the name does not resolve: a", "the name does not resolve: b"),
        ],
    )
    def test_other_details_make_no_other_kind(self, one: str, other: str) -> None:
        first, second = problem_of(Transient(one)), problem_of(Transient(other))
        assert first is not None
        assert second is not None
        assert first.kind == second.kind

    def test_another_status_makes_another_kind(self) -> None:
        first, second = problem_of(Transient("HTTP 502")), problem_of(Transient("HTTP 503"))
        assert first is not None
        assert second is not None
        assert first.kind != second.kind

    def test_words_are_bounded(self) -> None:
        problem = problem_of(Transient("x" * 5_000))
        assert problem is not None
        assert len(problem.message) <= 500


class TestRecordProblem:
    def tell(self, task: WorkItem, *problems: PollProblem) -> tuple[WorkItem, list[str]]:
        """Ask questions that meet these problems; return the task and what it was told."""
        told = []
        for step, problem in enumerate(problems):
            trouble, changes = record_problem(task, problem, NOW_MS + step * 1000)
            told += [str(changes["last_error"])] if changes else []
            task = replace(task, **({"trouble": trouble} | changes))
        return task, told

    def test_the_third_question_in_a_row_tells(self) -> None:
        assert self.tell(TASK, BAD, BAD)[1] == []
        assert self.tell(TASK, BAD, BAD, BAD)[1] == ["HTTP 502"]

    def test_whatever_the_first_two_met(self) -> None:
        assert self.tell(TASK, BAD, OTHER, BAD)[1] == ["HTTP 502"]

    def test_the_same_is_told_once(self) -> None:
        assert self.tell(TASK, *[BAD] * 9)[1] == ["HTTP 502"]

    def test_another_thing_is_told_once_it_came_three_times_in_a_row_too(self) -> None:
        assert self.tell(TASK, *[BAD] * 3, OTHER, OTHER)[1] == ["HTTP 502"]
        assert self.tell(TASK, *[BAD] * 3, *[OTHER] * 3)[1] == ["HTTP 502", "the provider throttles"]

    def test_two_that_take_turns_cost_no_writes(self) -> None:
        assert len(self.tell(TASK, *[BAD] * 3, *[OTHER, BAD] * 20)[1]) == 1

    def test_what_the_next_question_will_meet_too_is_told_at_once(self) -> None:
        certain = PollProblem("unauthorised key", "the provider refuses the key", is_certain=True)
        assert self.tell(TASK, certain)[1] == ["the provider refuses the key"]
        assert self.tell(TASK, *[BAD] * 3, certain)[1][-1] == "the provider refuses the key"

    def test_what_everybody_meets_is_told_without_a_question(self) -> None:
        trouble, changes = record_problem(TASK, BAD, NOW_MS, was_polled=False)
        assert changes["last_error"] == "HTTP 502"
        assert trouble.count == 0

    def test_it_knows_since_when(self) -> None:
        task, _ = self.tell(TASK, BAD, OTHER, *[BAD] * 9)
        assert task.trouble is not None
        assert task.trouble.since_ms == NOW_MS

    def test_the_count_goes_no_further_than_it_matters(self) -> None:
        task, _ = self.tell(TASK, *[BAD] * 9)
        assert task.trouble is not None
        assert task.trouble.count == REPORT_AT

    def test_what_was_told_is_kept_on_the_item(self) -> None:
        changes: dict[str, Any] = record_problem(TASK, BAD, NOW_MS, was_polled=False)[1]
        assert (changes["trouble"].told, changes["trouble"].is_kept) == (BAD.kind, True)


def test_a_kind_is_bounded_as_well() -> None:
    problem = problem_of(Transient("x" * 100))
    assert problem is not None
    assert (problem.kind, problem.message) == (f"transient {'x' * 60}", "x" * 100)
    longer = problem_of(Transient("x" * 600))
    assert longer is not None
    assert longer.message == "x" * 500


@pytest.mark.parametrize("reason", ["key", "credit", "access"])
def test_a_refusal_is_certain(reason: Any) -> None:
    problem = problem_of(Unauthorised("no", reason))
    assert problem is not None
    assert problem.is_certain
