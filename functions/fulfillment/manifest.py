"""The manifest: one JSON object in S3 that holds everything that is known of an ended task."""

from __future__ import annotations

import json
from typing import Any

from aws_lambda_powertools import Logger
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from tunehook.events import ArchivedAsset, TaskCompleted, TaskEnded, TaskFailed
from tunehook.times import iso
from tunehook.webhook_data import list_on

logger = Logger(child=True)


class Manifest(BaseModel):
    """What fulfillment decides of a task; it reads that again from the manifest in the bucket."""

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
    content["assets"] = [asset.model_dump() for asset in manifest.assets]
    content["copied_again"] = manifest.copied_again
    content["provider_object"] = manifest.provider_object
    return json.dumps(content, ensure_ascii=False, indent=2).encode("utf-8", "replace")


def texts_of(item: dict[str, Any] | None, name: str) -> dict[str, str]:
    """Return the texts of an item's clips by clip id: an event leaves out what is too long for it."""
    return {
        clip["clip_id"]: clip[name]
        for clip in list_on(item, "clips")
        if isinstance(clip, dict) and isinstance(clip.get("clip_id"), str) and isinstance(clip.get(name), str)
    }


def assets_on(item: dict[str, Any] | None) -> list[ArchivedAsset]:
    """Return the files of which an item says that they are archived, or unavailable."""
    found: list[ArchivedAsset] = []
    if item is None:
        return found
    for written in list_on(item, "assets"):
        try:
            found.append(ArchivedAsset.model_validate(written))
        except ValidationError:
            if not (isinstance(written, dict) and written.get("status") == "pending"):
                logger.warning("asset_unreadable", task_id=item["task_id"], provider=item["provider"])
    return found


def read_manifest(body: bytes) -> Manifest | None:
    """Return the manifest that an object holds, if it is one."""
    try:
        return Manifest.model_validate_json(body)
    except ValidationError:
        return None


def event_in(body: bytes) -> TaskEnded | None:
    """Return the event that a manifest was written of, long texts included; None if it is no manifest."""
    for kind in (TaskCompleted, TaskFailed):
        try:
            return kind.model_validate_json(body)
        except ValidationError:
            continue
    return None


def provider_object_of(item: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the provider's own task object, if it is there and can be read."""
    try:
        found = json.loads((item or {})["provider_object"])
    except (KeyError, TypeError, ValueError):
        return None
    return found if isinstance(found, dict) else None
