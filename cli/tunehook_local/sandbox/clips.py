"""The clips of a task and the files behind their links."""

from __future__ import annotations

import base64
import hashlib
import uuid
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tunehook_local.sandbox.model import MAX_CLIPS, Kind

MEDIA = Path(__file__).with_name("media")


@dataclass(frozen=True, slots=True)
class Track:
    """One of the recordings that the sandbox has; clips take them in turn."""

    audio: Path
    cover: Path
    duration_s: float


TRACKS = (
    Track(MEDIA / "morning.mp3", MEDIA / "cover-morning.jpeg", 6.03),
    Track(MEDIA / "evening.mp3", MEDIA / "cover-evening.jpeg", 8.05),
)
LARGE_COVER = MEDIA / "cover-large.jpeg"
VIDEO = MEDIA / "video.mp4"


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip of a task: its id, and a link for each file a provider may name; `index` counts from 0."""

    kind: Kind
    task_id: str
    index: int
    signed: bool = False

    @property
    def clip_id(self) -> str:
        """The clip's id: a UUID made from the task and the index."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.kind}/{self.task_id}/{self.index}"))

    @property
    def track(self) -> Track:
        return TRACKS[self.index % len(TRACKS)]

    def url(self, assets_url: str, ending: str) -> str:
        """Return the link of one of the clip's files; `ending` is one of the keys of `files`."""
        path = f"{self.kind}/{quote(self.task_id, safe='')}/{self.clip_id}{ending}"
        return f"{assets_url}/{path}{f'?{signature(path)}' if self.signed else ''}"

    def files(self) -> dict[str, Path]:
        return {
            ".mp3": self.track.audio,
            "-source.mp3": self.track.audio,
            "-stream.mp3": self.track.audio,
            ".jpeg": self.track.cover,
            "-source.jpeg": self.track.cover,
            "-large.jpeg": LARGE_COVER,
            ".mp4": VIDEO,
        }


def signature(path: str) -> str:
    """Return the query of a signed link: base64, whose slashes and equals signs are percent-encoded."""
    digest = base64.b64encode(hashlib.sha256(path.encode()).digest()).decode()
    return f"Signature={quote(f'v1/{digest}', safe='')}"


def file_behind(kind: Kind, task_id: str, name: str) -> Path | None:
    """Return the file behind the last part of a clip's link, or None if no clip has such a link."""
    for index in range(MAX_CLIPS):
        clip = Clip(kind, task_id, index)
        if name.startswith(clip.clip_id):
            return clip.files().get(name.removeprefix(clip.clip_id))
    return None
