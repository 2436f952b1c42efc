"""Decide what an outcome means for a task: a pure function (`docs/provider-contracts.md`, "What one poll can mean")."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeAlias

from poller.poll_problems import problem_of
from tunehook.clips import Clip
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
)
from tunehook.tasks import Failure, FailureCode, Status, Suspicion, TaskEnd, WorkItem
from tunehook.times import from_ms, iso, to_ms

NOT_FOUND_ENDS_AT: Final = 3
NOT_FOUND_MIN_AGE_MS: Final = 60_000
EMPTY_ENDS_AT: Final = 4
"""One answer without results, and a few more polls."""

SUSPICION_ENDS_AT: Final = 3
WORD_APART_MS: Final = 30_000
"""The least time between two answers that count, where a status word only seems to mean a failure."""

PROGRESS_SPAN_MS: Final = 60_000
"""How long unfinished answers with a progress of 100 % and a reason go on before they count as a failure."""

STREAMING_MAX_MS: Final = 600_000
"""How long the poller waits for the file of a clip that still streams."""

GIVE_UP_AFTER_MS: Final = 24 * 3_600_000
"""How long beyond its deadline a task waits while polls of it get no answer."""

_SUBMISSION_WORTH_A_WRITE_MS: Final = 20_000
"""Below this, the provider's own submission time changes too little of when the task is due."""

_LINKS_NAMED_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class Wait:
    """The task goes on; `changes` are the attributes that are worth a write (None removes one), mostly none."""

    changes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class End:
    """The task has ended; `inline_files` came inside the answer and are stored before the event is emitted."""

    end: TaskEnd
    inline_files: tuple[InlineFile, ...] = ()


Decision: TypeAlias = Wait | End


def decide(task: WorkItem, outcome: Outcome, now_ms: int, problem: str | None = None) -> Decision:
    """Decide what the outcome of one poll means for a pending task.

    An answer after the deadline that calls the task unended ends it; without an answer it waits on for
    `GIVE_UP_AFTER_MS`. The caller may know more of the `problem` than the outcome says.
    """
    match outcome:
        case Pending():
            if now_ms >= task.deadline_ms:
                unread = problem_of(outcome)
                return timed_out(task, now_ms, None if unread is None else unread.message)
            return Wait(_resets(task, outcome) | _news(task, outcome))
        case Completed():
            return _completed(task, outcome, now_ms)
        case Failed(reason, result):
            return _end(task, now_ms, Failure(FailureCode.PROVIDER_FAILED, reason), result)
        case SeemsFailed():
            return _seems_failed(task, outcome, now_ms)
        case CompletedWithoutResults():
            return _without_results(task, outcome, now_ms)
        case NotFound():
            decision = _not_found(task, outcome, now_ms)
        case _:
            decision = Wait({})
    if isinstance(decision, Wait) and should_give_up(task, now_ms):
        return given_up(task, now_ms, problem or _message(outcome))
    return decision


def timed_out(task: WorkItem, now_ms: int, last: str | None = None) -> End:
    """End a task that an answer after its deadline called unended; `last` is what was unusual in it."""
    last = last or task.last_error
    return _not_in_time(task, now_ms, f"; last: {last}" if last else "")


def given_up(task: WorkItem, now_ms: int, problem: str, since_ms: int | None = None) -> End:
    """End a task that waited for an answer until now; the problem began at `since_ms`, if the task has no trouble."""
    if task.trouble is not None:
        since_ms = task.trouble.since_ms
    since = "" if since_ms is None else f" (since {iso(from_ms(since_ms))})"
    return _not_in_time(task, now_ms, f"; could not be asked after that{since}: {problem}")


def should_give_up(task: WorkItem, now_ms: int) -> bool:
    """Return whether a task has waited long enough for an answer."""
    return now_ms >= task.deadline_ms + GIVE_UP_AFTER_MS


def _not_in_time(task: WorkItem, now_ms: int, detail: str) -> End:
    timeout_s = (task.deadline_ms - task.since_ms) // 1000
    return _end(task, now_ms, Failure(FailureCode.TIMED_OUT, f"not ended within {timeout_s} s{detail}"))


def _message(outcome: Outcome) -> str:
    problem = problem_of(outcome)
    return outcome.name if problem is None else problem.message


def _completed(task: WorkItem, outcome: Completed, now_ms: int) -> Decision:
    if outcome.is_streaming and now_ms < task.deadline_ms:
        changes = _resets(task, outcome)
        if task.streaming_since_ms is None:
            return Wait(changes | {"streaming_since_ms": now_ms})
        if now_ms - task.streaming_since_ms < STREAMING_MAX_MS:
            return Wait(changes)
    return _end(task, now_ms, None, outcome.result)


def _seems_failed(task: WorkItem, outcome: SeemsFailed, now_ms: int) -> Decision:
    suspicion = _suspicion(task.suspicion, outcome, now_ms)
    if suspicion.count >= SUSPICION_ENDS_AT and (
        outcome.evidence == "word" or now_ms - suspicion.since_ms >= PROGRESS_SPAN_MS
    ):
        failure = Failure(FailureCode.PROVIDER_FAILED, outcome.reason)
        return _end(task, now_ms, failure, outcome.result)
    said = f"the task seems to have failed: {outcome.reason}"
    if now_ms >= task.deadline_ms:
        return timed_out(task, now_ms, said)
    changes = _resets(task, outcome)
    if suspicion.count < SUSPICION_ENDS_AT and suspicion != task.suspicion:
        changes["suspicion"] = suspicion
    if task.suspicion is None:
        changes["last_error"] = said
    return Wait(changes)


def _suspicion(before: Suspicion | None, outcome: SeemsFailed, now_ms: int) -> Suspicion:
    """Count an answer that seems to mean a failure, unless it comes too early after the one before."""
    if before is None or before.evidence != outcome.evidence:
        return Suspicion(evidence=outcome.evidence, count=1, since_ms=now_ms, at_ms=now_ms)
    if outcome.evidence == "word" and now_ms - before.at_ms < WORD_APART_MS:
        return before
    return Suspicion(evidence=before.evidence, count=before.count + 1, since_ms=before.since_ms, at_ms=now_ms)


def _without_results(task: WorkItem, outcome: CompletedWithoutResults, now_ms: int) -> Decision:
    result = outcome.result
    count = task.empty_count + 1
    if count < EMPTY_ENDS_AT and now_ms < task.deadline_ms:
        return Wait(_resets(task) | {"empty_count": count})
    if any(map(_has_content, result.clips)):
        return _end(task, now_ms, None, result)
    missing = "file" if any(clip.is_output for clip in result.clips) else "audio, video or text"
    reason = f"the provider calls it completed and names no {missing}"
    if outcome.reason:
        reason += f"; it says: {outcome.reason}"
    if unusable := result.unusable_links[:_LINKS_NAMED_MAX]:
        reason += f"; what cannot be made a link: {', '.join(unusable)}"
    return _end(task, now_ms, Failure(FailureCode.COMPLETED_WITHOUT_RESULTS, reason), result)


def _has_content(clip: Clip) -> bool:
    audio_or_video = clip.audio_url or clip.audio_source_url or clip.video_url
    covers = clip.cover_url or clip.large_cover_url or clip.cover_source_url
    output = clip.image_url or clip.file_url
    return bool(audio_or_video or covers or output or clip.text or clip.inline)


def _not_found(task: WorkItem, outcome: NotFound, now_ms: int) -> Decision:
    count = task.not_found_count + 1
    if count < NOT_FOUND_ENDS_AT or now_ms - task.since_ms < NOT_FOUND_MIN_AGE_MS:
        return Wait({"not_found_count": count} if count <= NOT_FOUND_ENDS_AT else {})
    reason = f"the provider {task.key.provider} knows no such task"
    if outcome.detail:
        reason += f": {outcome.detail}"
    return _end(task, now_ms, Failure(FailureCode.NOT_FOUND, reason))


def _resets(task: WorkItem, outcome: Outcome | None = None) -> dict[str, Any]:
    """Return the changes that reset what is counted in a row, except what this answer counts further."""
    goes_on: tuple[str, ...] = ()
    if isinstance(outcome, SeemsFailed):
        goes_on = ("suspicion", "last_error") if task.suspicion is not None else ("suspicion",)
    elif isinstance(outcome, Pending) and (unread := problem_of(outcome)) is not None:
        is_told = task.trouble is not None and task.trouble.told == unread.kind
        goes_on = ("last_error", "trouble") if is_told else ()
    counted = {
        "not_found_count": task.not_found_count,
        "empty_count": task.empty_count,
        "suspicion": task.suspicion,
        "last_error": task.last_error,
        "trouble": task.trouble is not None and task.trouble.is_kept,
    }
    return {name: None for name, value in counted.items() if value and name not in goes_on}


def _news(task: WorkItem, answer: Pending) -> dict[str, Any]:
    changes: dict[str, Any] = {"phase": answer.phase} if answer.phase != task.phase else {}
    submitted_at_ms = _submitted_at_ms(task, answer.submitted_at)
    if task.submitted_at_ms - submitted_at_ms > _SUBMISSION_WORTH_A_WRITE_MS:
        changes["submitted_at_ms"] = submitted_at_ms
    return changes


def _submitted_at_ms(task: WorkItem, submitted_at: datetime | None) -> int:
    """A provider's clock may be wrong: no task was submitted after it was put into the table."""
    return task.submitted_at_ms if submitted_at is None else min(to_ms(submitted_at), task.submitted_at_ms)


def _end(task: WorkItem, now_ms: int, failure: Failure | None, result: TaskResult | None = None) -> End:
    end = TaskEnd(
        status=Status.COMPLETED if failure is None else Status.FAILED,
        failure=failure,
        detected_at_ms=now_ms,
        submitted_at_ms=task.submitted_at_ms,
    )
    if result is None:
        return End(end)
    end = replace(
        end,
        submitted_at_ms=_submitted_at_ms(task, result.submitted_at),
        finished_at_ms=None if result.finished_at is None else to_ms(result.finished_at),
        clips=result.clips,
        provider_object=json.dumps(result.provider_object, ensure_ascii=False),
        truncated=result.truncated,
    )
    return End(end, result.inline_files)
