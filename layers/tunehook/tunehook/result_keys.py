"""The names of the kept files in S3."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from tunehook.ids import digest

_PART_MAX_LENGTH: Final = 200


def task_prefix(provider: str, task_id: str) -> str:
    """Return what the keys of all files of a task begin with, slash included."""
    return f"results/{safe_part(provider)}/{safe_part(task_id)}/"


def manifest_key(provider: str, task_id: str) -> str:
    """Return the key of a task's manifest."""
    return f"{task_prefix(provider, task_id)}manifest.json"


def asset_key(provider: str, task_id: str, clip_id: str, name: str, extension: str) -> str:
    """Return the key of one file of a clip."""
    return f"{task_prefix(provider, task_id)}{safe_part(clip_id)}/{name}.{extension}"


def inline_key(event_id: str, clip_id: str, name: str) -> str:
    """Return where the poller puts a file that came inside a provider's answer, for fulfillment to keep."""
    return f"inline/{event_id}/{safe_part(clip_id)}/{name}"


def notice_key(event_id: str) -> str:
    """Return where fulfillment notes who is told of a task before all of its files are settled."""
    return f"notices/{safe_part(event_id)}.json"


def safe_part(text: str) -> str:
    """Return `text` as one part of a key: ASCII without slash, never ``.`` or ``..``, and different for every text.

    Letters, digits, ``-``, ``_`` and inner dots stay as they are, the rest is percent-encoded UTF-8. What would be
    longer than 200 characters ends in a digest, set off by ``~``, which no other part holds.
    """
    encoded = quote(text, safe="", errors="surrogatepass").replace("~", "%7E")
    if not encoded.strip("."):
        encoded = encoded.replace(".", "%2E")
    if len(encoded) > _PART_MAX_LENGTH:
        return f"{encoded[: _PART_MAX_LENGTH - 33]}~{digest(text)}"
    return encoded
