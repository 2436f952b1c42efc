"""Why a task does not go on, in words, and when that is worth a write (`docs/design.md`, "When it cannot be asked")."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from tunehook.providers import NotFound, Outcome, Pending, Throttled, Transient, Unauthorised
from tunehook.tasks import Trouble, WorkItem

TOLD_AT: Final = 3
"""The question in a row that came to nothing with which a task's `last_error` says why."""

UNKNOWN_WORD: Final = "unknown_word"
NO_LONGER_ACCEPTED: Final = "the provider no longer accepts the key (used up, expired or withdrawn)"

_WORDS_MAX: Final = 500
_DETAIL = re.compile(r"[\d:(\"'].*", re.DOTALL)
_STATUS = re.compile(r"HTTP \d{3}")


@dataclass(frozen=True, slots=True)
class Cause:
    """What stands in the way of an answer about a task, or of understanding it.

    Attributes
    ----------
    kind : str
        Without details: the same thing met again has the same kind.
    words : str
        In the words of whoever stands in the way.
    is_certain : bool
        Whether one question is enough to tell the task's user, since the next one will meet the same.
    """

    kind: str
    words: str
    is_certain: bool = False


def cause_of(outcome: Outcome, *, is_no_longer_accepted: bool = False) -> Cause | None:
    """Return what stood in the way of an answer, or None for an answer that is understood.

    Parameters
    ----------
    outcome : Outcome
    is_no_longer_accepted : bool
        Whether the provider accepted the very key before that it refuses now.
    """
    match outcome:
        case Pending(known=False, word=word):
            return Cause(UNKNOWN_WORD, f"the provider's status {word!r} is not known: taken for unended")
        case Transient(cause=cause):
            return Cause(f"transient {_head(cause)}", cause[:_WORDS_MAX])
        case Throttled(detail=detail):
            return Cause("throttled", _with("the provider throttles", detail))
        case Unauthorised(reason=reason):
            words = _refusal(outcome, is_no_longer_accepted=is_no_longer_accepted)
            lost = " no longer" if is_no_longer_accepted else ""
            return Cause(f"unauthorised {reason}{lost}", words, is_certain=True)
        case NotFound(detail=detail):
            return Cause("not_found", _with("the provider knows no such task", detail))
    return None


def _refusal(outcome: Unauthorised, *, is_no_longer_accepted: bool) -> str:
    if outcome.reason != "key":
        return outcome.detail[:_WORDS_MAX]
    return _with(
        NO_LONGER_ACCEPTED if is_no_longer_accepted else "the provider refuses the key", outcome.detail
    )


def _with(said: str, detail: str) -> str:
    return f"{said}: {detail}"[:_WORDS_MAX] if detail else said


def _head(cause: str) -> str:
    """Return what a cause has in common with others of its kind: its HTTP status, or its first words."""
    status = _STATUS.match(cause)
    return status.group() if status else _DETAIL.sub("", cause).strip()[:60]


def noted(
    task: WorkItem, cause: Cause, now_ms: int, *, is_question: bool = True
) -> tuple[Trouble, dict[str, str | Trouble]]:
    """Count a question that came to nothing.

    Parameters
    ----------
    task : WorkItem
        The task as it was known.
    cause : Cause
        What the question met.
    now_ms : int
        The present moment in milliseconds since 1970.
    is_question : bool
        False where the task was not asked about, because everybody who asks its provider meets that.

    Returns
    -------
    trouble : Trouble
        What is known of the task's trouble from now on.
    changes : dict
        Attributes of the task that tell its user; empty where it is too early for that, or where they tell already.
    """
    before = task.trouble
    if before is None:
        before = Trouble(kind=cause.kind, count=0, since_ms=now_ms)
    # Told of one thing, the user is told of another only when that goes on too.
    goes_on = before.told is None or before.kind == cause.kind
    count = (before.count if goes_on else 0) + is_question
    trouble = replace(before, kind=cause.kind, count=min(count, TOLD_AT))
    is_due = count >= TOLD_AT or cause.is_certain or not is_question
    if trouble.told == cause.kind or not is_due:
        return trouble, {}
    return trouble, {"last_error": cause.words, "trouble": replace(trouble, told=cause.kind, is_kept=True)}
