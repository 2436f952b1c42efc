"""The tasks of the demonstration, and the results that they must have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class DemoTask:
    """A task of ``sandbox/scenarios/demo.toml``, and the `status` with which it must end.

    `files` are the numbers of files that must be in S3 by content type, the manifest aside. `has_hook` says whether the
    task names a webhook of its own.
    """

    provider: str
    task_id: str
    status: str
    files: dict[str, int]
    has_hook: bool = False


TASKS: Final = (
    DemoTask("musicmint", "demo-sunrise", "completed", {"audio/mpeg": 1, "image/jpeg": 1}),
    DemoTask("qhaigc", "demo-spring", "completed", {"audio/mpeg": 2, "image/jpeg": 2}, has_hook=True),
    DemoTask("suno", "demo-city-lights", "completed", {"audio/mpeg": 2, "image/jpeg": 4, "video/mp4": 2}),
    DemoTask("suno", "demo-failure", "failed", {}),
)

SUBSCRIBED: Final = "subscribed"
HOOK: Final = "notify-hook"
"""The names of the two receivers."""
