"""What the demonstration does, and what has to come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class DemoTask:
    """A task of ``sandbox/scenarios/demo.toml``.

    Parameters
    ----------
    provider, task_id : str
        The task.
    status : str
        How it must end.
    files : mapping of str to int
        How many files of each content type must lie in S3, the manifest aside.
    has_hook : bool
        Whether it names a webhook of its own.
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
