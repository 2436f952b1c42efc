"""What one poll can mean: a small closed set (docs/provider-contracts.md, "What one poll can mean").

Whatever a provider answers becomes exactly one `Outcome`. The eighth row of that table, timed out, is no
answer of a provider: the poller decides it. No text in an outcome holds the provider's key.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal, TypeAlias

from tunehook.clips import Clip

Phase: TypeAlias = Literal["queued", "processing"]


@dataclass(frozen=True, slots=True)
class InlineFile:
    """A file that came inside an answer, as a ``data:`` URI; `type` is one of the `Clip.inline` of its clip."""

    clip_id: str
    type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """What a provider says about a task that has ended; its times are in UTC.

    Parameters
    ----------
    clips : tuple of Clip
        All clips, playable or not, in the provider's order; their JSON takes 100 kB at most.
    provider_object : dict
        The provider's own task object: at most 200 kB of JSON in UTF-8.
    truncated : bool
        Whether anything was cut to keep those bounds.
    inline_files : tuple of InlineFile
        The files that came inside the answer; they are nowhere else in the result.
    unusable_links : tuple of str
        Links to files that cannot be made a URL: the field, and the beginning of what it holds.
    """

    clips: tuple[Clip, ...]
    submitted_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    provider_object: dict[str, Any] = field(repr=False)
    truncated: bool = False
    inline_files: tuple[InlineFile, ...] = ()
    unusable_links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pending:
    """Not ended, or not known to have ended.

    Parameters
    ----------
    word : str
        The provider's status word as it was written, shortened; empty when there was none.
    submitted_at, refreshed_at : datetime or None
        When the task was submitted, and when the gateway itself last read it, in UTC, if the provider says so.
    known : bool
        False for a status word that no document mentions: worth counting (row 10).
    """

    name: ClassVar[str] = "pending"
    phase: Phase
    word: str
    submitted_at: datetime | None = None
    known: bool = True
    refreshed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SeemsFailed:
    """Not called failed, and yet it may well have: to be believed when repeated. The reason is never empty.

    Its evidence is either an unknown status word that ends like a failure (``..._FAILED``), or an unfinished status
    beside a progress of 100% and a reason.
    """

    name: ClassVar[str] = "seems_failed"
    reason: str
    result: TaskResult
    evidence: Literal["word", "progress"]


@dataclass(frozen=True, slots=True)
class Completed:
    """Ended well, with a clip with audio, a video, or a text; one that is streaming may still get its file."""

    name: ClassVar[str] = "completed"
    result: TaskResult
    is_streaming: bool = False


@dataclass(frozen=True, slots=True)
class CompletedWithoutResults:
    """Called complete without audio, video or text (yet); `reason` is why a clip failed, empty if none says so."""

    name: ClassVar[str] = "completed_without_results"
    result: TaskResult
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The provider says that the task failed, for a reason that is never empty; clips may be playable (row 9)."""

    name: ClassVar[str] = "failed"
    reason: str
    result: TaskResult


@dataclass(frozen=True, slots=True)
class NotFound:
    """The provider says that it has no such task, or left it out (without `detail`); one answer proves nothing yet."""

    name: ClassVar[str] = "not_found"
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Throttled:
    """Not to be polled for a while.

    Parameters
    ----------
    asked : bool
        False when no request was sent because the provider is paused: not to be counted as an answer.
    detail : str
        The provider's message, shortened.
    """

    name: ClassVar[str] = "throttled"
    retry_after_s: float | None = None
    asked: bool = True
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unauthorised:
    """The provider itself refuses the key.

    Parameters
    ----------
    detail : str
        What is refused in plain words, then the provider's own, shortened.
    reason : {"key", "credit", "access"}
        ``key``: the key is not accepted. ``credit``: the account has no credit left. ``access``: the key is accepted
        but may not do this (banned, address not allowed, limited to models).
    """

    name: ClassVar[str] = "unauthorised"
    detail: str
    reason: Literal["key", "credit", "access"] = "key"


@dataclass(frozen=True, slots=True)
class Transient:
    """No usable answer this time; if it was too large to be read, fewer tasks in one request may help."""

    name: ClassVar[str] = "transient"
    cause: str
    is_too_large: bool = False


Outcome: TypeAlias = (
    Pending
    | SeemsFailed
    | Completed
    | CompletedWithoutResults
    | Failed
    | NotFound
    | Throttled
    | Unauthorised
    | Transient
)
Trouble: TypeAlias = Throttled | Unauthorised | Transient
"""The outcomes that are about the provider, not about a task."""
