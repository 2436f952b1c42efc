"""Tasks as the tests need them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tunehook.clips import Clip
from tunehook.tasks import EndedTask, Status, TaskEnd, TaskKey, WorkItem

NOW_MS = 1_800_000_000_000
KEY = TaskKey("task-1", "suno")


def clip(clip_id: str = "clip-1", **fields: Any) -> Clip:
    values: dict[str, Any] = dict.fromkeys(Clip.__slots__) | {
        "clip_id": clip_id,
        "title": "我的曲目",
        "tags": ("流行", "欢快"),
        "prompt": "[Verse]\nWalking down the streets",
        "duration_s": 87.4,
        "model": "chirp-v4",
        "created_at": datetime(2026, 11, 20, 16, 1, 57, 123_000, tzinfo=UTC),
        "audio_url": f"https://cdn.example.com/{clip_id}.mp3",
        "cover_url": f"https://cdn.example.com/{clip_id}.jpeg",
    }
    return Clip(**values | {"inline": (), "is_output": False} | fields)


def pending(key: TaskKey = KEY, **fields: Any) -> WorkItem:
    values: dict[str, Any] = {
        "queue": "work#0",
        "since_ms": NOW_MS,
        "submitted_at_ms": NOW_MS,
        "deadline_ms": NOW_MS + 3_600_000,
    }
    return WorkItem(key=key, **values | fields)


def completed(**fields: Any) -> TaskEnd:
    values: dict[str, Any] = {
        "status": Status.COMPLETED,
        "detected_at_ms": NOW_MS + 60_000,
        "submitted_at_ms": NOW_MS - 500,
        "finished_at_ms": NOW_MS + 58_000,
        "clips": (clip("clip-1"), clip("clip-2", prompt=None, duration_s=None)),
        "provider_object": '{"task_id": "task-1", "status": "SUCCESS"}',
    }
    return TaskEnd(**values | fields)


def ended(key: TaskKey = KEY, end: TaskEnd | None = None, **fields: Any) -> EndedTask:
    values: dict[str, Any] = {"queue": "work#0", "since_ms": NOW_MS, "metadata": {"order": 7}}
    return EndedTask(key=key, end=end or completed(), **values | fields)
