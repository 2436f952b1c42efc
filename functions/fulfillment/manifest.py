"""The manifest: one JSON object in S3 that holds everything that is known of an ended task."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tunehook.events import ArchivedAsset, TaskCompleted, TaskFailed


def manifest_of(
    event: TaskCompleted | TaskFailed, item: dict[str, Any] | None, assets: Sequence[ArchivedAsset]
) -> bytes:
    """Write the manifest of an ended task.

    Parameters
    ----------
    event : TaskCompleted or TaskFailed
        How the task ended.
    item : dict or None
        The task's item, if it is still of this run: it has what was too long for the event.
    assets : sequence of ArchivedAsset
        The kept files.

    Returns
    -------
    bytes
        JSON in UTF-8. The same input gives the same bytes.
    """
    content = event.model_dump(mode="json", exclude={"truncated"})
    if item is not None:
        prompts = {clip["clip_id"]: clip["prompt"] for clip in item.get("clips", ()) if "prompt" in clip}
        for clip in content["clips"]:
            clip["prompt"] = clip["prompt"] or prompts.get(clip["clip_id"])
    content["assets"] = [asset.model_dump(mode="json") for asset in assets]
    content["provider_object"] = provider_object_of(item)
    return json.dumps(content, ensure_ascii=False, indent=2).encode()


def provider_object_of(item: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the provider's own task object, or None where the task ended without one."""
    text = (item or {}).get("provider_object")
    return None if text is None else dict(json.loads(text))
