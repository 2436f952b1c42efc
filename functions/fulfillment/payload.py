"""What a webhook says about an ended task (`docs/webhook-contract.md`, "The request"), before its links are signed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from tunehook.events import ClipDetail, KnownAsset, ManifestLocation, TaskEnded, TaskFailed
from tunehook.fulfillment_requests import ProgressRequest
from tunehook.tasks import Format
from tunehook.webhook_data import data_of

PAYLOAD_MAX_BYTES: Final = 300_000
"""Of the text on a delivery's record, which DynamoDB limits to 400 kB an item."""


def payload_of(
    format: Format,  # noqa: A002 - the contract's own name for it
    event: TaskEnded,
    provider_object: dict[str, Any] | None,
    assets: Sequence[KnownAsset],
    manifest: ManifestLocation,
) -> str:
    """Return the JSON of a delivery's record, at most `PAYLOAD_MAX_BYTES` long.

    In the format ``provider`` that is the provider's own task object, or without one the event as a gateway's. In the
    others it is the body's ``data``, without the prompts and texts if that is too long, then without the clips.
    """
    if format is Format.PROVIDER:
        return _json(provider_object or _stand_in(event))
    data = data_of(event, assets, manifest)
    text = _json(data)
    if _is_too_long(text):
        data["truncated"] = True
        for clip in data["clips"]:
            clip["prompt"] = None
            clip.pop("text", None)
        text = _json(data)
    return _json(data | {"clips": []}) if _is_too_long(text) else text


def progress_payload_of(
    format: Format,  # noqa: A002 - the contract's own name for it
    request: ProgressRequest,
    data: dict[str, Any],
) -> str:
    """Return the JSON of the record of a delivery about progress, as long as the request at most.

    In the format ``provider`` that is the provider's own task object, or without one what a gateway would have.
    """
    if format is not Format.PROVIDER:
        return _json(data)
    return request.provider_object or _json(
        {
            "task_id": request.task_id,
            "status": "QUEUED" if request.phase == "queued" else "IN_PROGRESS",
            "fail_reason": "",
            "progress": "" if request.progress is None else f"{request.progress}%",
            "data": [],
        }
    )


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _is_too_long(text: str) -> bool:
    return len(text.encode("utf-8", "replace")) > PAYLOAD_MAX_BYTES


def _stand_in(event: TaskEnded) -> dict[str, Any]:
    """Write an event as the task object of a suno gateway (`docs/provider-contracts.md`, "At a glance")."""
    failure = event.failure if isinstance(event, TaskFailed) else None
    clips = [_clip(clip) for clip in event.clips]
    # A lyrics task has an object where others have a list.
    is_text = len(clips) == 1 and "text" in clips[0]
    return {
        "task_id": event.task_id,
        "status": "FAILURE" if failure else "SUCCESS",
        "fail_reason": failure.reason if failure else "",
        "progress": "100%",
        "data": clips[0] if is_text else clips,
    }


def _clip(clip: ClipDetail) -> dict[str, Any]:
    if clip.text is not None and not (clip.audio_url or clip.audio_source_url):
        return {"id": clip.clip_id, "title": clip.title, "text": clip.text, "status": "complete"}
    if clip.is_output:
        links = ("image_url", "audio_url", "video_url", "file_url")
        told = {name: url for name in links if (url := getattr(clip, name)) is not None}
        return {"id": clip.clip_id, "title": clip.title, "prompt": clip.prompt, **told}
    return {
        "id": clip.clip_id,
        "title": clip.title,
        "tags": ", ".join(clip.tags),
        "prompt": clip.prompt,
        "duration": clip.duration_s,
        "audio_url": clip.audio_url or clip.audio_source_url,
        "image_url": clip.cover_url or clip.cover_source_url,
        "video_url": clip.video_url,
    }
