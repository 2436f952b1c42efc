"""The events that tunehook puts on its bus. Their JSON Schemas in ``events/schemas/`` are generated from here."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from tunehook.clips import Clip
from tunehook.ids import digest
from tunehook.keys import HashKey, RangeKey
from tunehook.tasks import EndedTask, Status, TaskKey
from tunehook.times import from_ms, iso

SOURCE: Final = "tunehook"
DETAIL_MAX_BYTES: Final = 200_000


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside the years 1 to 9999 of UTC") from None


Moment = Annotated[
    AwareDatetime,
    AfterValidator(_in_utc),
    PlainSerializer(iso, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class _Detail(BaseModel):
    # No function uses every event, so each is built when it is first used (`benchmarks/imports.py`).
    model_config = ConfigDict(
        frozen=True, extra="ignore", json_schema_serialization_defaults_required=True, defer_build=True
    )


class ClipDetail(_Detail):
    """One clip of a task, with the provider's own links, which die within days."""

    model_config = ConfigDict(from_attributes=True)

    clip_id: str
    title: str | None = None
    tags: tuple[str, ...] = ()
    prompt: str | None = None
    duration_s: float | None = None
    model: str | None = None
    created_at: Moment | None = None
    expires_at: Moment | None = None
    audio_url: str | None = None
    audio_source_url: str | None = None
    cover_url: str | None = None
    cover_source_url: str | None = None
    large_cover_url: str | None = None
    video_url: str | None = None
    stream_url: str | None = None
    stream_source_url: str | None = None
    text: str | None = Field(None, description="A text that is itself the result, such as lyrics.")
    inline: tuple[str, ...] = Field(
        (), description="Types of the files that came inside the provider's answer, and have no link."
    )
    image_url: str | None = Field(None, exclude_if=operator.not_)
    file_url: str | None = Field(None, exclude_if=operator.not_)
    is_output: bool = Field(
        False,
        description="True where the clip is one file of a task that makes other than music; else not there.",
        exclude_if=operator.not_,
    )

    def to_clip(self) -> Clip:
        """Return the clip that this part of an event describes."""
        return Clip(**dict(self))


class FailureDetail(_Detail):
    """Why a task failed: `code` for programs, `reason` for people."""

    code: str
    reason: str


class _Event(_Detail):
    version: Literal["1"] = "1"
    event_id: str


class _TaskEnded(_Event):
    task_id: HashKey
    provider: RangeKey
    submitted_at: Moment
    finished_at: Moment | None = None
    detected_at: Moment
    metadata: dict[str, Any] = Field(default_factory=dict)
    clips: tuple[ClipDetail, ...] = ()
    truncated: bool = Field(
        False, description="True where prompts or texts were left out; the manifest in S3 has them."
    )


class TaskCompleted(_TaskEnded):
    """A task has ended with results."""

    status: Literal["completed"] = "completed"


class TaskFailed(_TaskEnded):
    """A task has ended without being completed; a playable clip may be there all the same."""

    status: Literal["failed", "rejected"]
    failure: FailureDetail


TaskEnded: TypeAlias = TaskCompleted | TaskFailed
"""What follows from a task that has ended, either way."""


AssetType: TypeAlias = Literal["audio", "cover", "large_cover", "video", "lyrics", "image", "file"]
"""Which file of a clip it is. `image` and `file`, and never a cover or lyrics, where the clip is an output."""


class _Asset(_Detail):
    clip_id: str
    type: AssetType
    source_url: str | None = None


class ArchivedAsset(_Asset):
    """One file of a task: where it lies, or why it could not be had."""

    status: Literal["archived", "unavailable"]
    key: str | None = None
    content_type: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    remark: str | None = Field(
        None,
        description='"unrecognised" where the kind of the file is not known and its host\'s word is all there is; '
        '"unexpected" where an output is of another kind than its type says.',
    )
    reason: str | None = None


class PendingAsset(_Asset):
    """A file of a task that may still come; `reason` says why it has not, where it has been asked for."""

    status: Literal["pending"] = "pending"
    reason: str | None = None


KnownAsset: TypeAlias = ArchivedAsset | PendingAsset
"""A file as it is known while others may still come."""


class ManifestLocation(_Detail):
    """The S3 object that holds everything that is known of a task."""

    bucket: str
    key: str


class TaskArchived(_Event):
    """The results of an ended task lie in S3 for good."""

    task_event_id: str
    task_id: str
    provider: str
    archived_at: Moment
    archive: Literal["complete", "partial", "empty"]
    manifest: ManifestLocation
    assets: tuple[ArchivedAsset, ...] = ()
    truncated: bool = Field(
        False, description="True where links or files were left out; the manifest in S3 has them."
    )


class SubscriptionFailing(_Event):
    """Every attempt to reach a subscription has failed for a while; it is disabled if that goes on."""

    subscription_id: str
    failing_since: Moment
    percent: Literal[50, 70, 90] = Field(description="How much of the time until it is disabled has passed.")
    disabled_at: Moment = Field(description="When it is disabled, if nothing is delivered until then.")


class SubscriptionDisabled(_Event):
    """Nothing is delivered to a subscription any more, until somebody enables it."""

    subscription_id: str
    disabled_at: Moment
    failing_since: Moment
    reason: str


class ProviderUnauthorised(_Event):
    """A provider refuses the key: no task of its is asked about until it accepts it, or another one is set."""

    provider: str
    reason: Literal["key", "credit", "access"] = Field(
        description="What it refuses: the key itself, or what the key may do; `credit` where none is left."
    )
    message: str = Field(description="What the provider says, never with the key in it.")
    was_accepted: bool = Field(description="Whether it has accepted this very key before.")
    since: Moment
    tasks_waiting: int = Field(
        description="How many tasks of this provider the poller that found it watches: all, where ShardCount is 1."
    )


class DeadLettersFound(_Event):
    """A dead-letter queue is not empty: something was not done, and waits for somebody to look at it."""

    queue: Literal["fulfillment", "deliveries", "intake", "poller"]
    messages: int = Field(description="About how many messages it has.")
    since: Moment = Field(description="When it was first found not to be empty.")
    found_at: Moment


OperationalEvent: TypeAlias = (
    SubscriptionFailing | SubscriptionDisabled | ProviderUnauthorised | DeadLettersFound
)
"""What is said of trouble of the stack, rather than of a task."""

EVENT_MODELS: Final[Mapping[str, type[BaseModel]]] = {
    model.__name__: model for model in (TaskCompleted, TaskFailed, TaskArchived, *get_args(OperationalEvent))
}
"""The model of each detail type."""


def task_ended(task: EndedTask) -> TaskCompleted | TaskFailed:
    """Return the event that says how a run of a task ended: the same one whenever it is asked for.

    It has at most `DETAIL_MAX_BYTES` of JSON. Where it would be longer, first the prompts and texts are left out, then
    all clips; ``truncated`` says so.
    """
    end = task.end
    kind = _kind(end.status)
    clips = tuple(ClipDetail.model_validate(clip) for clip in end.clips)
    fields: dict[str, Any] = {
        "event_id": event_id_of(task.key, end.status, task.since_ms),
        "task_id": task.key.task_id,
        "provider": task.key.provider,
        "status": end.status.value,
        "submitted_at": from_ms(end.submitted_at_ms),
        "finished_at": None if end.finished_at_ms is None else from_ms(end.finished_at_ms),
        "detected_at": from_ms(end.detected_at_ms),
        "metadata": task.metadata,
        "truncated": end.truncated,
    }
    if end.failure is not None:
        fields["failure"] = FailureDetail(code=end.failure.code.value, reason=end.failure.reason)
    event = kind(**fields, clips=clips)
    if size_of(event) > DETAIL_MAX_BYTES:
        without_texts = tuple(clip.model_copy(update={"prompt": None, "text": None}) for clip in clips)
        event = kind(**fields | {"clips": without_texts, "truncated": True})
    if size_of(event) > DETAIL_MAX_BYTES:
        event = kind(**fields | {"truncated": True})
    return event


def event_id_of(key: TaskKey, status: Status, run_ms: int) -> str:
    """Return the identifier of the event that a run of a task, accepted at `run_ms`, leads to when it ends so."""
    return f"evt_{digest(_kind(status).__name__, key.provider, key.task_id, str(run_ms))}"


PROGRESS_EVENT: Final = "evt_progress_"
"""With what the identifiers of events begin that tell of progress."""


def progress_event_id(key: TaskKey, run_ms: int, number: int) -> str:
    """Return the identifier of what a run of a task, accepted at `run_ms`, is told of its progress as the `number`-th.

    It is on no bus.
    """
    return PROGRESS_EVENT + digest("TaskProgress", key.provider, key.task_id, str(run_ms), str(number))


def archived_event_id(task_event_id: str, again_ms: int | None = None) -> str:
    """Return the identifier of a task's ``TaskArchived``; archived again because somebody asked, it is another one."""
    parts = () if again_ms is None else (str(again_ms),)
    return f"evt_{digest('TaskArchived', task_event_id, *parts)}"


def archived_part(assets: Sequence[ArchivedAsset]) -> Literal["complete", "partial", "empty"]:
    """Return how much is kept of what the provider named, once that is settled."""
    if not assets:
        return "empty"
    return "complete" if all(asset.status == "archived" for asset in assets) else "partial"


def completeness(assets: Sequence[KnownAsset]) -> Literal["complete", "partial", "empty", "pending"]:
    """Return how much is kept of what the provider named; ``pending`` while some of it may still come."""
    settled = [asset for asset in assets if isinstance(asset, ArchivedAsset)]
    return archived_part(settled) if len(settled) == len(assets) else "pending"


def _kind(status: Status) -> type[TaskCompleted] | type[TaskFailed]:
    return TaskCompleted if status is Status.COMPLETED else TaskFailed


def size_of(event: BaseModel) -> int:
    """Return the length of an event's detail in bytes of UTF-8."""
    return len(event.model_dump_json().encode())
