"""Why a poll says nothing of its task, and when the task's `last_error` says so (`docs/design.md`, "When it cannot be
asked")."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from tunehook.providers.outcomes import NotFound, Outcome, Pending, Throttled, Transient, Unauthorised
from tunehook.tasks import Trouble, WorkItem

REPORT_AT: Final = 3
"""How many polls in a row have a problem before the task's `last_error` says so."""

UNKNOWN_STATUS: Final = "unknown_word"
UNREAD: Final = "unread"
NO_LONGER_ACCEPTED: Final = "the provider no longer accepts the key (used up, expired or revoked)"

_MESSAGE_MAX: Final = 500
_DETAIL = re.compile(r"[\d:(\"'].*", re.DOTALL)
_STATUS = re.compile(r"HTTP \d{3}")


@dataclass(frozen=True, slots=True)
class PollProblem:
    """What a poll met instead of an answer, or in an answer that is not understood.

    The `kind` has no details, so that the same problem has the same kind again. If it `is_certain` that the next poll
    meets it too, one poll is enough to report it.
    """

    kind: str
    message: str
    is_certain: bool = False


def problem_of(outcome: Outcome, *, is_no_longer_accepted: bool = False) -> PollProblem | None:
    """Return the problem in an outcome, or None for an answer that is understood.

    `is_no_longer_accepted` says that the provider accepted the same key before.
    """
    match outcome:
        case Pending(known=False, word=word):
            return PollProblem(
                UNKNOWN_STATUS, f"the provider's status {word!r} is not known: taken for unended"
            )
        case Pending(problem=problem) if problem:
            return PollProblem(UNREAD, f"the recipe cannot read all of it: {problem}"[:_MESSAGE_MAX])
        case Transient(cause=cause):
            status = _STATUS.match(cause)
            head = status.group() if status else _DETAIL.sub("", cause).strip()[:60]
            return PollProblem(f"transient {head}", cause[:_MESSAGE_MAX])
        case Throttled(detail=detail):
            return PollProblem("throttled", _message("the provider throttles", detail))
        case Unauthorised(detail=detail, reason=reason):
            refusal = NO_LONGER_ACCEPTED if is_no_longer_accepted else "the provider refuses the key"
            message = _message(refusal, detail) if reason == "key" else detail[:_MESSAGE_MAX]
            lost = " no longer" if is_no_longer_accepted else ""
            return PollProblem(f"unauthorised {reason}{lost}", message, is_certain=True)
        case NotFound(detail=detail):
            return PollProblem("not_found", _message("the provider knows no such task", detail))
    return None


def _message(text: str, detail: str) -> str:
    return f"{text}: {detail}"[:_MESSAGE_MAX] if detail else text


def record_problem(
    task: WorkItem, problem: PollProblem, now_ms: int, *, was_polled: bool = True
) -> tuple[Trouble, dict[str, str | Trouble]]:
    """Count a problem in a row of polls, and return the task's new trouble and the changes of its item.

    There are none before the `REPORT_AT`th poll, and where the item says so already. A task was not polled if every
    poll of its provider has this problem.
    """
    before = task.trouble
    if before is None:
        before = Trouble(kind=problem.kind, count=0, since_ms=now_ms)
    # After one kind was reported, another has to come `REPORT_AT` times in a row by itself.
    goes_on = before.told is None or before.kind == problem.kind
    count = (before.count if goes_on else 0) + was_polled
    trouble = replace(before, kind=problem.kind, count=min(count, REPORT_AT))
    is_due = count >= REPORT_AT or problem.is_certain or not was_polled
    if trouble.told == problem.kind or not is_due:
        return trouble, {}
    trouble_told = replace(trouble, told=problem.kind, is_kept=True)
    return trouble, {"last_error": problem.message, "trouble": trouble_told}
