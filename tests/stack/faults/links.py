"""The files of a planned task: what its provider names in the end, and where that lies at the asset host."""

from __future__ import annotations

from typing import Final

from tests.stack.faults.plan import PlannedTask

from tunehook_local.sandbox import Kind
from tunehook_local.sandbox.clips import Clip

FileName = tuple[str, str]
"""A file within its task: the clip's id, and its type as tunehook calls it."""

_ENDINGS: Final[dict[Kind, dict[str, tuple[str, ...]]]] = {
    Kind.MUSICMINT: {"audio": (".mp3",), "cover": (".jpeg",)},
    Kind.QHAIGC: {"audio": (".mp3", "-source.mp3"), "cover": (".jpeg", "-source.jpeg")},
    Kind.SUNO: {"audio": (".mp3",), "cover": (".jpeg",), "large_cover": ("-large.jpeg",)},
}
_CLIPS: Final = {Kind.MUSICMINT: 1, Kind.QHAIGC: 2, Kind.SUNO: 2}


def paths_of(task: PlannedTask) -> dict[FileName, tuple[str, ...]]:
    """Return the files that tunehook has to keep of a task, each with the paths of its links, the preferred first."""
    kind = Kind(task.kind)
    end = task.rule["answers"][-1]
    count = end.get("clips", _CLIPS[kind] if task.status == "completed" else 0)
    endings = _ENDINGS[kind] | ({"video": (".mp4",)} if task.rule.get("video") else {})
    clips = [Clip(kind, task.task_id, index) for index in range(count)]
    return {
        (clip.clip_id, name): tuple(clip.url("", ending).removeprefix("/") for ending in given)
        for clip in clips
        for name, given in endings.items()
    }
