"""The manifest: one JSON object in S3 that holds everything that is known of an ended task."""

from __future__ import annotations

import json
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from tunehook.events import ArchivedAsset, TaskCompleted, TaskEnded, TaskFailed
from tunehook.times import iso


class Manifest(BaseModel):
    """What fulfillment decides of a task, and reads again of the manifest that it has written."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    event_id: str
    detected_at: AwareDatetime
    archived_at: AwareDatetime
    assets: tuple[ArchivedAsset, ...]
    provider_object: dict[str, Any] | None
    copied_again: bool = False


def manifest_of(event: TaskEnded, item: dict[str, Any] | None, manifest: Manifest) -> bytes:
    """Return the JSON of an ended task's manifest, in UTF-8. The same input gives the same bytes.

    The task's `item`, if it is still of this run, has what was too long for the event.
    """
    content = event.model_dump(mode="json", exclude={"truncated"})
    if item is not None:
        for name in ("prompt", "text"):
            whole = texts_of(item, name)
            for clip in content["clips"]:
                clip[name] = clip[name] or whole.get(clip["clip_id"])
    content["archived_at"] = iso(manifest.archived_at)
    content["assets"] = [asset.model_dump(mode="json") for asset in manifest.assets]
    content["copied_again"] = manifest.copied_again
    content["provider_object"] = manifest.provider_object
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
