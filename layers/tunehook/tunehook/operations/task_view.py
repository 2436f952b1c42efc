"""A tolerant view of an item of the Tasks table: users edit items by hand, so that any attribute may hold anything.

The view has what tunehook writes, or nothing, so that whatever shows a task needs no checks of types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from tunehook.tasks import Status


def _as_text(value: object) -> object:
    return value if value is None or isinstance(value, str) else str(value)


def _mappings(value: object) -> object:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


Text: TypeAlias = Annotated[str | None, BeforeValidator(_as_text)]
"""What is shown as text, of whatever type."""


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, defer_build=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _nothing_if_unreadable(cls, value: object, check: Callable[[object], object]) -> object:
        try:
            return check(value)
        except ValidationError:
            return None


class ClipView(_View):
    clip_id: Text = None
    title: str | None = None
    text: str | None = None


class AssetView(_View):
    clip_id: Text = None
    type: Text = None
    status: str | None = None
    key: str | None = None
    bytes: int | None = None
    content_type: str | None = None
    remark: str | None = None
    reason: Text = None


class FailureView(_View):
    code: Text = None
    reason: Text = None


class TaskView(_View):
    """A task.

    `item` is what was read; `status` is ``new`` where there is none yet. `has_event`, `is_archived`, `is_in_index` and
    `streams` say whether ``event_id``, ``archived_at_ms``, ``queue`` and ``streaming_since_ms`` hold anything.
    `unreadable` names the attributes of which nothing, or not all, can be shown.
    """

    item: dict[str, Any] = Field(repr=False)
    task_id: str
    provider: str
    status: str
    phase: str | None = None
    submitted_at_ms: int | None = None
    finished_at_ms: int | None = None
    detected_at_ms: int | None = None
    deadline_ms: int | None = None
    archived_at_ms: int | None = None
    event_id: str | None = None
    failure: FailureView | None = None
    last_error: str | None = None
    notify_hook: str | None = None
    notify_format: str | None = None
    metadata: Any = None
    clips: Annotated[list[ClipView], BeforeValidator(_mappings)] = []
    assets: Annotated[list[AssetView], BeforeValidator(_mappings)] = []
    has_event: bool
    is_archived: bool
    is_in_index: bool
    streams: bool
    unreadable: tuple[str, ...]

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Self:
        """Return the view of an item, or of a part of one.

        >>> TaskView.of({"task_id": "t", "provider": "suno", "phase": 7}).unreadable
        ('phase',)
        """
        status = item.get("status")
        derived = {
            "status": "new" if status is None else str(status),
            "has_event": item.get("event_id") is not None,
            "is_archived": item.get("archived_at_ms") is not None,
            "is_in_index": item.get("queue") is not None,
            "streams": item.get("streaming_since_ms") is not None,
        }
        view = cls.model_validate({**item, **derived, "unreadable": (), "item": dict(item)})
        unreadable = tuple(name for name in cls.model_fields if not view._shows(name, item.get(name)))
        return view.model_copy(update={"unreadable": unreadable})

    def _shows(self, name: str, given: object) -> bool:
        shown = getattr(self, name)
        if given is None or shown is given:
            return True
        if isinstance(shown, list):
            return isinstance(given, list) and len(given) == len(shown)
        return shown is not None

    @property
    def is_pending(self) -> bool:
        """Whether a run of the task is under way; a new item counts."""
        return self.status in ("new", Status.PENDING)

    @property
    def is_cancelled(self) -> bool:
        """Whether its user ended it: then there is no event, no file and no webhook."""
        return self.status == Status.CANCELLED
