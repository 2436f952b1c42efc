"""The manifest: one JSON object in S3 that holds everything that is known of an ended task."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from tunehook.events import ArchivedAsset, TaskCompleted, TaskEnded, TaskFailed
from tunehook.times import from_ms, iso


class Manifest(BaseModel):
    """What fulfillment reads of a manifest that it has written."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    event_id: str
    detected_at: AwareDatetime
    archived_at: AwareDatetime
    assets: tuple[ArchivedAsset, ...]
    provider_object: dict[str, Any] | None
    copied_again: bool = False


def manifest_of(
    event: TaskEnded,
    item: dict[str, Any] | None,
    assets: Sequence[ArchivedAsset],
    archived_at_ms: int,
    *,
    copied_again: bool = False,
) -> bytes:
    """Write the manifest of an ended task.

    Parameters
    ----------
    event : TaskEnded
        How the task ended.
    item : dict or None
        The task's item, if it is still of this run: it has what was too long for the event.
    assets : sequence of ArchivedAsset
        The kept files.
    archived_at_ms : int
        When they were kept.
    copied_again : bool
        Whether somebody asked for that after the task had been told of.

    Returns
    -------
    bytes
        JSON in UTF-8. The same input gives the same bytes.
    """
    content = event.model_dump(mode="json", exclude={"truncated"})
    if item is not None:
        for name in ("prompt", "text"):
            whole = texts_of(item, name)
            for clip in content["clips"]:
                clip[name] = clip[name] or whole.get(clip["clip_id"])
    content["archived_at"] = iso(from_ms(archived_at_ms))
    content["assets"] = [asset.model_dump(mode="json") for asset in assets]
    content["copied_again"] = copied_again
    content["provider_object"] = provider_object_of(item)
    return json.dumps(content, ensure_ascii=False, indent=2).encode("utf-8", "replace")


def texts_of(item: dict[str, Any] | None, name: str) -> dict[str, str]:
    """Return the texts of a task's clips that its item has, by clip id: an event leaves out what is too long for it."""
    return {
        clip["clip_id"]: clip[name]
        for clip in list_on(item, "clips")
        if isinstance(clip, dict) and isinstance(clip.get("clip_id"), str) and isinstance(clip.get(name), str)
    }


def list_on(item: dict[str, Any] | None, name: str) -> list[Any]:
    """Return what an item has under a name, empty where that is no list: items may be changed by hand."""
    value = (item or {}).get(name)
    return value if isinstance(value, list) else []


def read_manifest(body: bytes) -> Manifest | None:
    """Return the manifest that an object holds; None if it is none, whoever put it there."""
    try:
        return Manifest.model_validate_json(body)
    except ValidationError:
        return None


def event_in(body: bytes) -> TaskEnded | None:
    """Return the event that a manifest was written of; None if it is none. Long texts are in it, too."""
    for kind in (TaskCompleted, TaskFailed):
        try:
            return kind.model_validate_json(body)
        except ValidationError:
            continue
    return None


def provider_object_of(item: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the provider's own task object; None where there is none, or none that can be read."""
    text = (item or {}).get("provider_object")
    if not isinstance(text, str):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
