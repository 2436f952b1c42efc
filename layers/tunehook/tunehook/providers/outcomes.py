"""What one poll can mean: a small closed set (docs/provider-contracts.md, "What one poll can mean").

Whatever a provider answers becomes exactly one `Outcome`. The eighth row of that table, timed out, is no
answer of a provider: it is the poller's to say.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal, TypeAlias

from tunehook.clips import Clip

Phase: TypeAlias = Literal["queued", "processing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """What a provider says about a task that has ended.

    Parameters
    ----------
    clips : tuple of Clip
        All clips, playable or not, in the provider's order; their JSON takes 100 kB at most.
    submitted_at, started_at, finished_at : datetime or None
        In UTC.
    provider_object : dict
        The provider's own task object: at most 200 kB of JSON in UTF-8.
    truncated : bool
        Whether anything was cut to keep those bounds.
    """

    clips: tuple[Clip, ...]
    submitted_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    provider_object: dict[str, Any] = field(repr=False)
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Pending:
    """Not ended, or not known to have ended.

    Parameters
    ----------
    phase : {"queued", "processing"}
    word : str
        The provider's status word as it was written, shortened; empty when there was none.
    submitted_at : datetime or None
        When the task was submitted, in UTC, if the provider says so.
    known : bool
        False for a status word that no document mentions: worth counting (row 10).
    """

    name: ClassVar[str] = "pending"
    phase: Phase
    word: str
    submitted_at: datetime | None = None
    known: bool = True


@dataclass(frozen=True, slots=True)
class Completed:
    """Ended well, with at least one playable clip."""

    name: ClassVar[str] = "completed"
    result: TaskResult


@dataclass(frozen=True, slots=True)
class CompletedWithoutResults:
    """The provider says that it ended well, but no clip is playable (yet)."""

    name: ClassVar[str] = "completed_without_results"
    result: TaskResult


@dataclass(frozen=True, slots=True)
class Failed:
    """The provider says that the task failed; playable clips may be there all the same (row 9).

    Parameters
    ----------
    reason : str
        The provider's reason, shortened; never empty.
    result : TaskResult
    """

    name: ClassVar[str] = "failed"
    reason: str
    result: TaskResult


@dataclass(frozen=True, slots=True)
class NotFound:
    """The provider says that it has no such task; one such answer proves nothing yet."""

    name: ClassVar[str] = "not_found"


@dataclass(frozen=True, slots=True)
class Throttled:
    """Not to be asked for a while.

    Parameters
    ----------
    retry_after_s : float or None
        The wait in seconds that was asked for, if any.
    asked : bool
        False when nothing was sent because the provider is paused: not an answer, not to be counted as one.
    """

    name: ClassVar[str] = "throttled"
    retry_after_s: float | None = None
    asked: bool = True


@dataclass(frozen=True, slots=True)
class Unauthorised:
    """The key is refused.

    Parameters
    ----------
    detail : str
        The provider's words, shortened, never with the key in them.
    """

    name: ClassVar[str] = "unauthorised"
    detail: str


@dataclass(frozen=True, slots=True)
class Transient:
    """No usable answer this time.

    Parameters
    ----------
    cause : str
        What was wrong, in a few words, never with the key in them.
    """

    name: ClassVar[str] = "transient"
    cause: str


Outcome: TypeAlias = (
    Pending | Completed | CompletedWithoutResults | Failed | NotFound | Throttled | Unauthorised | Transient
)
Trouble: TypeAlias = Throttled | Unauthorised | Transient
"""The outcomes that are about the provider, not about a task."""
