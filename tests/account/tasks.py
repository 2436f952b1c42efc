"""The tasks of a run: what the providers make of them, which way they come, and how each is to end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from tests.account.sandbox.app import enlarged
from tests.account.sandbox.books import PlannedTask

from tunehook_local.sandbox.clips import Clip
from tunehook_local.sandbox.model import Kind
from tunehook_local.sandbox.task_snapshot import CLIPS_OF_A_SUCCESS

FAILS_FOR: Final = "the content filter said no"

MUSICMINT, QHAIGC, SUNO = Kind.MUSICMINT, Kind.QHAIGC, Kind.SUNO


class Way(StrEnum):
    """How the stack learns of a task: PutItem, the HTTP API, or nothing but its provider's callback."""

    TABLE = "table"
    API = "api"
    CALLBACK = "callback"


@dataclass(frozen=True)
class SmokeTask:
    """A task of a run.

    Parameters
    ----------
    plan : PlannedTask
        What its provider makes of it.
    way : Way
        How the stack learns of it.
    ends : str
        The status that its item has in the end.
    hooked : bool
        Whether it has a `notify_hook` of its own.
    attributes : dict
        What else its item carries.
    """

    plan: PlannedTask
    way: Way = Way.TABLE
    ends: str = "completed"
    hooked: bool = False
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def task_id(self) -> str:
        """The task's id."""
        return self.plan.task_id

    @property
    def provider(self) -> str:
        """The name of its provider, which is that of the family."""
        return str(self.plan.kind)

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield each audio file and cover that is to be kept: its kind, and the SHA-256 of what the provider serves."""
        if self.ends != "completed" or self.plan.lyrics:
            return
        for index in range(CLIPS_OF_A_SUCCESS[self.plan.kind]):
            files = Clip(self.plan.kind, self.task_id, index).files()
            audio = files[".mp3"].read_bytes()
            yield "audio", digest(enlarged(audio) if self.plan.large else audio)
            yield "cover", digest(files[".jpeg"].read_bytes())


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


TASKS: Final = (
    SmokeTask(PlannedTask(MUSICMINT, "smoke-01-song", 5), attributes={"metadata": {"order": 17}}),
    SmokeTask(PlannedTask(MUSICMINT, "smoke-02-song", 20), Way.API),
    SmokeTask(PlannedTask(MUSICMINT, "smoke-03-hooked", 10), hooked=True),
    SmokeTask(PlannedTask(QHAIGC, "smoke-04-song", 8)),
    SmokeTask(PlannedTask(QHAIGC, "smoke-05-large", 15)),
    SmokeTask(PlannedTask(QHAIGC, "smoke-06-slow", 40)),
    SmokeTask(PlannedTask(SUNO, "smoke-07-video", 12, video=True)),
    SmokeTask(PlannedTask(SUNO, "smoke-08-lyrics", 6, lyrics=True)),
    SmokeTask(PlannedTask(SUNO, "smoke-09-fails", 9, fails_for=FAILS_FOR), ends="failed"),
    SmokeTask(PlannedTask(MUSICMINT, "smoke-10-bad", 5), ends="rejected", attributes={"timeout_s": 1}),
    SmokeTask(PlannedTask(QHAIGC, "smoke-11-told", 5), Way.CALLBACK),
)
