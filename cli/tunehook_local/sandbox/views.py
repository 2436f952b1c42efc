"""A task as a provider sees it at the moment of a question: what the provider modules turn into JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunehook_local.sandbox.clips import Clip
from tunehook_local.sandbox.model import Kind, Phase, Song

if TYPE_CHECKING:
    from datetime import datetime

    from tunehook_local.sandbox.answers import TaskAnswer
    from tunehook_local.sandbox.books import Task

CLIPS_OF_A_SUCCESS = {Kind.MUSICMINT: 1, Kind.QHAIGC: 2, Kind.SUNO: 2}


@dataclass(frozen=True, slots=True)
class TaskView:
    """One answer about one task.

    Parameters
    ----------
    task_id : str
        The task's id.
    phase : Phase
        Where the task stands: queued, processing, completed or failed.
    word : str or None
        The status word that the scenario wants instead of the provider's usual one.
    reason : str
        Why the task failed; empty unless it did.
    song : Song
        What the clips say of their music.
    video : bool
        Whether clips have an mp4.
    lyrics : bool
        Whether the task makes a text instead of clips.
    clips : tuple of Clip
        The clips that this answer carries.
    assets_url : str
        Where the asset host is.
    submitted_at, updated_at, now : datetime
        The task's beginning, when it changed last, the moment of the question; in UTC.
    ended_at : datetime or None
        The task's end; None while it runs.
    """

    task_id: str
    phase: Phase
    word: str | None
    reason: str
    song: Song
    video: bool
    lyrics: bool
    clips: tuple[Clip, ...]
    assets_url: str
    submitted_at: datetime
    updated_at: datetime
    now: datetime
    ended_at: datetime | None


def view_of(task: Task, answer: TaskAnswer, now: datetime, assets_url: str) -> TaskView:
    """Return the view of a task that `answer` gives, which must have a phase.

    `assets_url` is where the sandbox's own asset host is; the task's rule may name another one.
    """
    assert answer.phase is not None
    usual_count = CLIPS_OF_A_SUCCESS[task.kind] if answer.phase is Phase.COMPLETED else 0
    count = usual_count if answer.clips is None else answer.clips
    return TaskView(
        task_id=task.task_id,
        phase=answer.phase,
        word=answer.word,
        reason=answer.reason if answer.phase is Phase.FAILED else "",
        song=task.rule.song,
        video=task.rule.video,
        lyrics=task.rule.lyrics,
        clips=tuple(Clip(task.kind, task.task_id, index, task.rule.signed) for index in range(count)),
        assets_url=task.rule.assets_url or assets_url,
        submitted_at=task.submitted_at,
        updated_at=task.updated_at,
        now=now,
        ended_at=task.ended_at(now),
    )
