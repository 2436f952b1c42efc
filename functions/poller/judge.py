"""What an outcome means for a task: a pure function (`docs/provider-contracts.md`, "What one poll can mean")."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from tunehook.providers import (
    Completed,
    CompletedWithoutResults,
    Failed,
    NotFound,
    Outcome,
    Pending,
    TaskResult,
)
from tunehook.tasks import Failure, FailureCode, PendingTask, Status, TaskEnd
from tunehook.times import to_ms

NOT_FOUND_ENDS_AT: Final = 3
NOT_FOUND_MIN_AGE_MS: Final = 60_000
EMPTY_ENDS_AT: Final = 4
"""One answer without results, and a few more questions."""

_SUBMISSION_WORTH_A_WRITE_MS: Final = 20_000
"""Below this, the provider's own submission time changes too little of when the task is asked."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The task goes on; `changes` are the attributes that are worth a write (None removes one), mostly none."""

    changes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class End:
    """The task has ended."""

    end: TaskEnd


Verdict: TypeAlias = Wait | End


def judge(task: PendingTask, outcome: Outcome, now_ms: int) -> Verdict:
    """Decide what one answer means for a pending task.

    Parameters
    ----------
    task : PendingTask
        The task as it is known.
    outcome : Outcome
        What the provider's answer came to.
    now_ms : int
        The present moment in milliseconds since 1970.

    Returns
    -------
    Wait or End
        A deadline that has passed ends the task unless this very answer ends it otherwise.
    """
    verdict = _verdict(task, outcome, now_ms)
    if isinstance(verdict, Wait) and now_ms >= task.deadline_ms:
        return End(timed_out(task, now_ms))
    return verdict


def timed_out(task: PendingTask, now_ms: int) -> TaskEnd:
    """Return the end of a task whose deadline has passed."""
    seconds = (task.deadline_ms - task.since_ms) // 1000
    reason = f"not ended within {seconds} s" + (f"; last: {task.last_error}" if task.last_error else "")
    return _failure(task, FailureCode.TIMED_OUT, reason, now_ms)


def _verdict(task: PendingTask, outcome: Outcome, now_ms: int) -> Verdict:
    match outcome:
        case Completed(result):
            return End(_ended(task, Status.COMPLETED, None, result, now_ms))
        case Failed(reason, result):
            failure = Failure(FailureCode.PROVIDER_FAILED, reason)
            return End(_ended(task, Status.FAILED, failure, result, now_ms))
        case CompletedWithoutResults(result):
            return _without_results(task, result, now_ms)
        case NotFound():
            return _not_found(task, now_ms)
        case Pending():
            return Wait(_good_answer(task) | _news(task, outcome))
        case _:
            return Wait({})


def _without_results(task: PendingTask, result: TaskResult, now_ms: int) -> Verdict:
    count = task.empty_count + 1
    if count < EMPTY_ENDS_AT:
        return Wait(_good_answer(task) | {"empty_count": count})
    failure = Failure(
        FailureCode.COMPLETED_WITHOUT_RESULTS, "the provider calls it completed and names no audio file"
    )
    return End(_ended(task, Status.FAILED, failure, result, now_ms))


def _not_found(task: PendingTask, now_ms: int) -> Verdict:
    count = task.not_found_count + 1
    if count < NOT_FOUND_ENDS_AT or now_ms - task.since_ms < NOT_FOUND_MIN_AGE_MS:
        return Wait({"not_found_count": count} if count <= NOT_FOUND_ENDS_AT else {})
    return End(
        _failure(task, FailureCode.NOT_FOUND, f"the provider {task.key.provider} knows no such task", now_ms)
    )


def _good_answer(task: PendingTask) -> dict[str, Any]:
    """Reset what counts in a row, where anything was counted."""
    counted = {
        "not_found_count": task.not_found_count,
        "empty_count": task.empty_count,
        "last_error": task.last_error,
    }
    return {name: None for name, value in counted.items() if value}


def _news(task: PendingTask, answer: Pending) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if answer.phase != task.phase:
        changes["phase"] = answer.phase
    submitted_at_ms = _submitted_at_ms(task, answer.submitted_at)
    if task.submitted_at_ms - submitted_at_ms > _SUBMISSION_WORTH_A_WRITE_MS:
        changes["submitted_at_ms"] = submitted_at_ms
    return changes


def _submitted_at_ms(task: PendingTask, submitted_at: datetime | None) -> int:
    """A provider's clock may be wrong: no task was submitted after it was put into the table."""
    return task.submitted_at_ms if submitted_at is None else min(to_ms(submitted_at), task.submitted_at_ms)


def _ended(
    task: PendingTask, status: Status, failure: Failure | None, result: TaskResult, now_ms: int
) -> TaskEnd:
    return TaskEnd(
        status=status,
        failure=failure,
        detected_at_ms=now_ms,
        submitted_at_ms=_submitted_at_ms(task, result.submitted_at),
        finished_at_ms=None if result.finished_at is None else to_ms(result.finished_at),
        clips=result.clips,
        provider_object=json.dumps(result.provider_object, ensure_ascii=False),
        truncated=result.truncated,
    )


def _failure(task: PendingTask, code: FailureCode, reason: str, now_ms: int) -> TaskEnd:
    return TaskEnd(
        status=Status.FAILED,
        failure=Failure(code, reason),
        detected_at_ms=now_ms,
        submitted_at_ms=task.submitted_at_ms,
    )
