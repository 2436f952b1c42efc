"""What a webhook says about an ended task (`docs/webhook-contract.md`, "The request"), before its links are signed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tunehook.events import ArchivedAsset, ManifestLocation, TaskCompleted, TaskFailed
from tunehook.tasks import Format

_CLIP_FIELDS = ("clip_id", "title", "tags", "duration_s", "prompt", "model", "created_at")
_ASSET_FIELDS = ("type", "status", "key", "content_type", "bytes", "sha256", "reason")


def payload_of(
    format: Format,  # noqa: A002 - the contract's own name for it
    event: TaskCompleted | TaskFailed,
    provider_object: dict[str, Any] | None,
    assets: Sequence[ArchivedAsset],
    manifest: ManifestLocation,
) -> str:
    """Return the JSON that a delivery's record carries.

    Parameters
    ----------
    format : Format
        ``provider``: the provider's own task object is the body. Otherwise: the body's ``data``.
    event : TaskCompleted or TaskFailed
        How the task ended.
    provider_object : dict or None
        The provider's own task object; without one, the event itself is written in a gateway's way.
    assets : sequence of ArchivedAsset
        The kept files.
    manifest : ManifestLocation
        Where everything is.
    """
    content = (
        provider_object or _stand_in(event) if format is Format.PROVIDER else _data(event, assets, manifest)
    )
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _data(
    event: TaskCompleted | TaskFailed, assets: Sequence[ArchivedAsset], manifest: ManifestLocation
) -> dict[str, Any]:
    told = event.model_dump(mode="json")
    return {
        "task_id": event.task_id,
        "provider": event.provider,
        "status": event.status,
        "submitted_at": told["submitted_at"],
        "finished_at": told["finished_at"],
        "detected_at": told["detected_at"],
        "metadata": told["metadata"],
        "clips": [
            {name: clip[name] for name in _CLIP_FIELDS}
            | {"assets": [_asset(asset) for asset in assets if asset.clip_id == clip["clip_id"]]}
            for clip in told["clips"]
        ],
        "failure": told.get("failure"),
        "manifest": manifest.model_dump(mode="json"),
        "truncated": event.truncated,
    }


def _asset(asset: ArchivedAsset) -> dict[str, Any]:
    return asset.model_dump(mode="json", include=set(_ASSET_FIELDS), exclude_none=True)


def _stand_in(event: TaskCompleted | TaskFailed) -> dict[str, Any]:
    """Write an event as the task object of a suno gateway (`docs/provider-contracts.md`, "At a glance")."""
    failure = event.failure if isinstance(event, TaskFailed) else None
    return {
        "task_id": event.task_id,
        "status": "FAILURE" if failure else "SUCCESS",
        "fail_reason": failure.reason if failure else "",
        "progress": "100%",
        "data": [
            {
                "id": clip.clip_id,
                "title": clip.title,
                "tags": ", ".join(clip.tags),
                "prompt": clip.prompt,
                "duration": clip.duration_s,
                "audio_url": clip.audio_url or clip.audio_source_url,
                "image_url": clip.cover_url or clip.cover_source_url,
                "video_url": clip.video_url,
            }
            for clip in event.clips
        ],
    }
