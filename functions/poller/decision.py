"""What an outcome means for a task: a pure function (`docs/provider-contracts.md`, "What one poll can mean")."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from poller.troubles import UNKNOWN_WORD, cause_of
from tunehook.clips import Clip
from tunehook.providers import (
    Completed,
    CompletedWithoutResults,
    Failed,
    InlineFile,
    NotFound,
    Outcome,
    Pending,
    SeemsFailed,
    TaskResult,
)
from tunehook.tasks import Failure, FailureCode, Status, Suspicion, TaskEnd, WorkItem
from tunehook.times import from_ms, iso, to_ms

NOT_FOUND_ENDS_AT: Final = 3
NOT_FOUND_MIN_AGE_MS: Final = 60_000
EMPTY_ENDS_AT: Final = 4
"""One answer without results, and a few more questions."""

SUSPICION_ENDS_AT: Final = 3
WORD_APART_MS: Final = 30_000
"""How long after the one counted before an answer counts whose word only seems to mean a failure."""

PROGRESS_SPAN_MS: Final = 60_000
"""How long unfinished answers with a progress of 100 % and a reason go on before they count as a failure."""

STREAMING_MAX_MS: Final = 600_000
"""How long the file of a clip that still streams is waited for."""

UNASKED_MAX_MS: Final = 24 * 3_600_000
"""How long beyond its deadline a task waits while it cannot be asked about."""

_SUBMISSION_WORTH_A_WRITE_MS: Final = 20_000
"""Below this, the provider's own submission time changes too little of when the task is asked."""

_LINKS_NAMED_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class Wait:
    """The task goes on; `changes` are the attributes that are worth a write (None removes one), mostly none."""

    changes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class End:
    """The task has ended; `inline_files` came inside the answer and are to be kept before anybody is told."""

    end: TaskEnd
    inline_files: tuple[InlineFile, ...] = ()


Verdict: TypeAlias = Wait | End


def judge(task: WorkItem, outcome: Outcome, now_ms: int, trouble: str | None = None) -> Verdict:
    """Decide what one answer means for a pending task.

    Parameters
    ----------
    task : WorkItem
        The task as it is known.
    outcome : Outcome
        What the provider's answer came to.
    now_ms : int
        The present moment in milliseconds since 1970.
    trouble : str, optional
        Why the task could not be asked about, where the caller knows more than the outcome says.

    Returns
    -------
    Wait or End
        A deadline that has passed ends the task by an answer that still calls it unended. Where there is none, the task
        waits on for `UNASKED_MAX_MS`.
    """
    match outcome:
        case Pending():
            if now_ms >= task.deadline_ms:
                return End(timed_out(task, now_ms, None if outcome.known else _words(outcome)))
            return Wait(_good_answer(task, outcome) | _news(task, outcome))
        case Completed():
            return _completed(task, outcome, now_ms)
        case Failed(reason, result):
            return _provider_failed(task, reason, result, now_ms)
        case SeemsFailed():
            return _seems_failed(task, outcome, now_ms)
        case CompletedWithoutResults():
            return _without_results(task, outcome, now_ms)
        case NotFound():
            verdict = _not_found(task, outcome, now_ms)
        case _:
            verdict = Wait({})
    if isinstance(verdict, Wait) and now_ms >= task.deadline_ms + UNASKED_MAX_MS:
        return End(unasked(task, now_ms, trouble or _words(outcome)))
    return verdict


def timed_out(task: WorkItem, now_ms: int, last: str | None = None) -> TaskEnd:
    """Return the end of a task that an answer after its deadline still called unended.

    Parameters
    ----------
    task : WorkItem
    now_ms : int
        The present moment in milliseconds since 1970.
    last : str, optional
        What that answer said, where it was out of the ordinary; the task's last error by default.
    """
    last = last or task.last_error
    reason = f"not ended within {_timeout_s(task)} s" + (f"; last: {last}" if last else "")
    return _failure(task, FailureCode.TIMED_OUT, reason, now_ms)


def unasked(task: WorkItem, now_ms: int, trouble: str, since_ms: int | None = None) -> TaskEnd:
    """Return the end of a task about which nobody could ask after its deadline, for as long as that is waited for.

    Parameters
    ----------
    task : WorkItem
    now_ms : int
        The present moment in milliseconds since 1970.
    trouble : str
        Why it could not be asked about, in the words of whoever stood in the way.
    since_ms : int, optional
        Since when, in milliseconds since 1970, where the task itself does not know.
    """
    if task.trouble is not None:
        since_ms = task.trouble.since_ms
    since = "" if since_ms is None else f" (since {iso(from_ms(since_ms))})"
    reason = f"not ended within {_timeout_s(task)} s; could not be asked after that{since}: {trouble}"
    return _failure(task, FailureCode.TIMED_OUT, reason, now_ms)


def is_given_up(task: WorkItem, now_ms: int) -> bool:
    """Return whether a task that cannot be asked about has waited for that long enough."""
    return now_ms >= task.deadline_ms + UNASKED_MAX_MS


def _timeout_s(task: WorkItem) -> int:
    return (task.deadline_ms - task.since_ms) // 1000


def _words(outcome: Outcome) -> str:
    cause = cause_of(outcome)
    return outcome.name if cause is None else cause.words


def _completed(task: WorkItem, outcome: Completed, now_ms: int) -> Verdict:
    if outcome.is_streaming and now_ms < task.deadline_ms:
        changes = _good_answer(task, outcome)
        if task.streaming_since_ms is None:
            return Wait(changes | {"streaming_since_ms": now_ms})
        if now_ms - task.streaming_since_ms < STREAMING_MAX_MS:
            return Wait(changes)
    return _ended(task, Status.COMPLETED, None, outcome.result, now_ms)


def _provider_failed(task: WorkItem, reason: str, result: TaskResult, now_ms: int) -> End:
    return _ended(task, Status.FAILED, Failure(FailureCode.PROVIDER_FAILED, reason), result, now_ms)


def _seems_failed(task: WorkItem, outcome: SeemsFailed, now_ms: int) -> Verdict:
    suspicion = _suspicion(task.suspicion, outcome, now_ms)
    if suspicion.count >= SUSPICION_ENDS_AT and (
        outcome.evidence == "word" or now_ms - suspicion.since_ms >= PROGRESS_SPAN_MS
    ):
        return _provider_failed(task, outcome.reason, outcome.result, now_ms)
    said = f"the task seems to have failed: {outcome.reason}"
    if now_ms >= task.deadline_ms:
        return End(timed_out(task, now_ms, said))
    changes = _good_answer(task, outcome)
    if suspicion.count < SUSPICION_ENDS_AT and suspicion != task.suspicion:
        changes["suspicion"] = suspicion
    if task.suspicion is None:
        changes["last_error"] = said
    return Wait(changes)


def _suspicion(before: Suspicion | None, outcome: SeemsFailed, now_ms: int) -> Suspicion:
    """Return what is suspected with this answer, which may be the same as before: too early to count."""
    if before is None or before.evidence != outcome.evidence:
        return Suspicion(evidence=outcome.evidence, count=1, since_ms=now_ms, at_ms=now_ms)
    if outcome.evidence == "word" and now_ms - before.at_ms < WORD_APART_MS:
        return before
    return Suspicion(evidence=before.evidence, count=before.count + 1, since_ms=before.since_ms, at_ms=now_ms)


def _without_results(task: WorkItem, outcome: CompletedWithoutResults, now_ms: int) -> Verdict:
    result = outcome.result
    count = task.empty_count + 1
    if count < EMPTY_ENDS_AT and now_ms < task.deadline_ms:
        return Wait(_good_answer(task) | {"empty_count": count})
    if any(map(_is_worth_keeping, result.clips)):
        return _ended(task, Status.COMPLETED, None, result, now_ms)
    reason = "the provider calls it completed and names no audio, video or text"
    if outcome.reason:
        reason += f"; it says: {outcome.reason}"
    if unusable := result.unusable_links[:_LINKS_NAMED_MAX]:
        reason += f"; what cannot be made a link: {', '.join(unusable)}"
    failure = Failure(FailureCode.COMPLETED_WITHOUT_RESULTS, reason)
    return _ended(task, Status.FAILED, failure, result, now_ms)


def _is_worth_keeping(clip: Clip) -> bool:
    """Return whether a clip has any file, or is a text."""
    return bool(
        clip.audio_url
        or clip.audio_source_url
        or clip.video_url
        or clip.text
        or clip.inline
        or clip.cover_url
        or clip.large_cover_url
        or clip.cover_source_url
    )


def _not_found(task: WorkItem, outcome: NotFound, now_ms: int) -> Verdict:
    count = task.not_found_count + 1
    if count < NOT_FOUND_ENDS_AT or now_ms - task.since_ms < NOT_FOUND_MIN_AGE_MS:
        return Wait({"not_found_count": count} if count <= NOT_FOUND_ENDS_AT else {})
    reason = f"the provider {task.key.provider} knows no such task"
    if outcome.detail:
        reason += f": {outcome.detail}"
    return End(_failure(task, FailureCode.NOT_FOUND, reason, now_ms))


def _good_answer(task: WorkItem, outcome: Outcome | None = None) -> dict[str, Any]:
    """Reset what counts in a row, where anything was counted and this answer does not go on with it."""
    goes_on: tuple[str, ...] = ()
    if isinstance(outcome, SeemsFailed):
        goes_on = ("suspicion", "last_error") if task.suspicion is not None else ("suspicion",)
    elif isinstance(outcome, Pending) and not outcome.known and _told_kind(task) == UNKNOWN_WORD:
        goes_on = ("last_error", "trouble")
    counted = {
        "not_found_count": task.not_found_count,
        "empty_count": task.empty_count,
        "suspicion": task.suspicion,
        "last_error": task.last_error,
        "trouble": task.trouble is not None and task.trouble.is_kept,
    }
    return {name: None for name, value in counted.items() if value and name not in goes_on}


def _told_kind(task: WorkItem) -> str | None:
    return None if task.trouble is None else task.trouble.told


def _news(task: WorkItem, answer: Pending) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if answer.phase != task.phase:
        changes["phase"] = answer.phase
    submitted_at_ms = _submitted_at_ms(task, answer.submitted_at)
    if task.submitted_at_ms - submitted_at_ms > _SUBMISSION_WORTH_A_WRITE_MS:
        changes["submitted_at_ms"] = submitted_at_ms
    return changes


def _submitted_at_ms(task: WorkItem, submitted_at: datetime | None) -> int:
    """A provider's clock may be wrong: no task was submitted after it was put into the table."""
    return task.submitted_at_ms if submitted_at is None else min(to_ms(submitted_at), task.submitted_at_ms)


def _ended(task: WorkItem, status: Status, failure: Failure | None, result: TaskResult, now_ms: int) -> End:
    end = TaskEnd(
        status=status,
        failure=failure,
        detected_at_ms=now_ms,
        submitted_at_ms=_submitted_at_ms(task, result.submitted_at),
        finished_at_ms=None if result.finished_at is None else to_ms(result.finished_at),
        clips=result.clips,
        provider_object=json.dumps(result.provider_object, ensure_ascii=False),
        truncated=result.truncated,
    )
    return End(end, result.inline_files)


def _failure(task: WorkItem, code: FailureCode, reason: str, now_ms: int) -> TaskEnd:
    return TaskEnd(
        status=Status.FAILED,
        failure=Failure(code, reason),
        detected_at_ms=now_ms,
        submitted_at_ms=task.submitted_at_ms,
    )
