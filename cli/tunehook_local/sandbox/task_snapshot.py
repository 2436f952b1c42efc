"""What one answer says of one task: the provider modules turn it into JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tunehook_local.sandbox.clips import Clip
from tunehook_local.sandbox.model import Kind, Phase, Song

if TYPE_CHECKING:
    from datetime import datetime

    from tunehook_local.sandbox.ledger import Task
    from tunehook_local.sandbox.scripted_answers import TaskAnswer

CLIPS_OF_A_SUCCESS = {Kind.MUSICMINT: 1, Kind.QHAIGC: 2, Kind.SUNO: 2}


@dataclass(frozen=True, slots=True)
class TaskSnapshot:
    """What one answer says of one task, all times in UTC.

    `word` is the status word that the scenario wants instead of the provider's usual one. `reason` is empty unless the
    task failed, `ended_at` is None while it runs. `lyrics` tasks make a text instead of clips. `echo` is what a
    provider repeats of the submission in each answer.
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
    echo: Mapping[str, Any] = field(default_factory=dict)


def snapshot_of(task: Task, answer: TaskAnswer, now: datetime, assets_url: str) -> TaskSnapshot:
    """Return what `answer`, which must have a phase, says of a task; its rule may name another asset host."""
    assert answer.phase is not None
    usual_count = CLIPS_OF_A_SUCCESS[task.kind] if answer.phase is Phase.COMPLETED else 0
    count = usual_count if answer.clips is None else answer.clips
    return TaskSnapshot(
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
        echo=_echo(task),
    )


def _echo(task: Task) -> dict[str, Any]:
    if task.callback is None:
        return {}
    hook = {"endpoint": task.callback.url, "secret": task.rule.callbacks.secret or task.callback.secret}
    return {"notify_hook": task.callback.url, "config": {"webhook_config": hook}}
