"""What one poll can mean (docs/provider-contracts.md, "What one poll can mean"): exactly one `Outcome`.

The table's "timed out" is decided by the poller. No text in an outcome holds the provider's key.
"""

from collections.abc import Callable
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

    Clips, playable or not, are in the provider's order. Their JSON takes 100 kB at most, the provider's own object
    200 kB in UTF-8; `truncated` says whether anything was cut for that. `unusable_links` are links to files that cannot
    be made a URL: the field, and the beginning of what it holds.
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

    `word` is the provider's status word, shortened; `known` is false where no document mentions it (row 10). The task
    was `submitted_at`, and the gateway itself last read it at `refreshed_at`, in UTC, if the provider says so. What of
    the answer a recipe could not read is the `problem`.

    `read` returns what the answer says of the task already, None where that is its status alone. Few ask for it, so it
    is read when they do; where not `may_have_clips`, no clip is in it.
    """

    name: ClassVar[str] = "pending"
    phase: Phase
    word: str
    submitted_at: datetime | None = None
    known: bool = True
    refreshed_at: datetime | None = None
    problem: str = ""
    read: Callable[[], TaskResult] | None = field(default=None, compare=False, repr=False)
    may_have_clips: bool = field(default=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SeemsFailed:
    """Not called failed, but it may have: to be believed when repeated. The reason is never empty.

    The evidence is an unknown status word that ends like a failure (``..._FAILED``), or an unfinished status beside a
    progress of 100 % and a reason.
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
    """Not to be polled for a while. Without `asked` no request was sent: the provider is paused."""

    name: ClassVar[str] = "throttled"
    retry_after_s: float | None = None
    asked: bool = True
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unauthorised:
    """The provider itself refuses the key: it is not accepted, or the account has no credit left.

    ``access``: the key is accepted but may not do this (banned, address not allowed, limited to models).
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


Trouble: TypeAlias = Throttled | Unauthorised | Transient
"""The outcomes that are about the provider, not about a task."""

Outcome: TypeAlias = Pending | SeemsFailed | Completed | CompletedWithoutResults | Failed | NotFound | Trouble
