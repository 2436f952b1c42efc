"""The `data` of a webhook's body in the format ``standard`` (docs/webhook-contract.md, "The request")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from tunehook.events import ClipDetail, KnownAsset, ManifestLocation, TaskEnded, completeness
from tunehook.fulfillment_requests import ProgressRequest
from tunehook.tasks import Status
from tunehook.times import from_ms, iso

_CLIP_FIELDS = ("clip_id", "title", "tags", "duration_s", "prompt", "model", "created_at")
_ASSET_FIELDS = ("type", "status", "key", "content_type", "bytes", "sha256", "remark", "reason")


def data_of(event: TaskEnded, assets: Sequence[KnownAsset], manifest: ManifestLocation) -> dict[str, Any]:
    """Return the `data` of a webhook's body about an ended task, whose files are as `assets` say.

    A pending file has no link but its provider's; links of archived ones are made when a webhook is sent.
    """
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
            | ({"text": clip["text"]} if clip["text"] is not None else {})
            | {"assets": [_asset(asset) for asset in assets if asset.clip_id == clip["clip_id"]]}
            for clip in told["clips"]
        ],
        "failure": told.get("failure"),
        "archive": completeness(assets),
        "manifest": manifest.model_dump(),
        "truncated": event.truncated,
    }


def _asset(asset: KnownAsset) -> dict[str, Any]:
    told = asset.model_dump(include=set(_ASSET_FIELDS), exclude_none=True)
    # The provider's link dies: it is named only while there is no other.
    return told | {"source_url": asset.source_url} if asset.status == "pending" else told


def whole_data_of(
    event: TaskEnded,
    item: Mapping[str, Any] | None,
    assets: Sequence[KnownAsset],
    manifest: ManifestLocation,
) -> dict[str, Any]:
    """Return what filters look at: `data_of`, with the clips, prompts and texts that were too long for the event.

    The task's `item`, if it is still of this run, has those. `truncated` is false, whatever is left out of the body.
    """
    return data_of(_whole(event, item), assets, manifest) | {"truncated": False}


def _whole(event: TaskEnded, item: Mapping[str, Any] | None) -> TaskEnded:
    if not event.truncated:
        return event
    try:
        clips = tuple(ClipDetail.model_validate(clip) for clip in list_on(item, "clips"))
    except ValidationError:
        return event
    return event.model_copy(update={"clips": clips or event.clips})


def progress_data_of(request: ProgressRequest, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `data` of a webhook's body about a task that has not ended, with its provider's links."""
    return {
        "task_id": request.task_id,
        "provider": request.provider,
        "status": Status.PENDING.value,
        "phase": request.phase,
        "progress": request.progress,
        "submitted_at": iso(from_ms(request.submitted_at_ms)),
        "metadata": dict(metadata),
        "clips": [
            {name: value for name, value in clip.items() if name != "text" or value is not None}
            for clip in request.model_dump(mode="json", include={"clips"})["clips"]
        ],
        "truncated": request.truncated,
    }


def list_on(item: Mapping[str, Any] | None, name: str) -> list[Any]:
    """Return a list of an item, empty where it is none: items may be changed by hand."""
    value = (item or {}).get(name)
    return value if isinstance(value, list) else []
