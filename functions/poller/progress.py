"""Tells of the progress of pending tasks, by what the answers say: a change of phase, the first clip with a link.

Each time is noted on the task's item first, on condition that it is pending and nothing else was told since. So two
pollers never tell the same, nor within 5 s of each other, and nothing is told of a task that has ended. Then one
message asks fulfillment for the deliveries. What is lost between the two is not told again: the next change is.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from aws_lambda_powertools import Logger

from poller.background import BackgroundTasks
from poller.metrics import Metrics
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.aws.task_items import progress_on
from tunehook.aws.tasks import TasksTable
from tunehook.cache import Cache
from tunehook.clips import Clip
from tunehook.errors import Unavailable
from tunehook.fulfillment_requests import ProgressClip, ProgressRequest
from tunehook.providers.outcomes import Completed, Outcome, Pending, Phase, TaskResult
from tunehook.providers.results import file_link, percentage, stream_link
from tunehook.tasks import ProgressTold, TaskKey, WorkItem
from tunehook.times import to_ms

logger = Logger(child=True)

APART_MS: Final = 5_000
"""How long after progress of a task was told it is told again, at the earliest."""

CACHED_S: Final = 15.0

MESSAGE_MAX_BYTES: Final = 200_000
"""Of a request's JSON: as long as an event of the bus, and below what fulfillment reads."""

EVENT: Final = "task.progress"
"""As subscriptions name it (`tunehook.subscriptions.WebhookType`, which checks more than a poller needs)."""

_Run: TypeAlias = tuple[TaskKey, int]


@dataclass(frozen=True, slots=True)
class Wanting:
    """The providers of whose tasks some enabled subscription wants the progress; `everything` if one names none."""

    everything: bool = False
    providers: frozenset[str] = frozenset()

    def wants(self, provider: str) -> bool:
        """Return whether anybody wants the progress of a provider's tasks."""
        return self.everything or provider in self.providers


class Wanted:
    """Reads who wants progress, once every 15 s at most; or as it was if that fails. Threads may share it."""

    def __init__(self, table: SubscriptionsTable, clock: Callable[[], int]) -> None:
        self._table = table
        self._cache: Cache[None, Wanting] = Cache(
            lambda _: self._read(),
            max_age_s=CACHED_S,
            on_fault=lambda fault: logger.warning("subscriptions_not_read", error=code_of(fault)),
            clock=lambda: clock() / 1000,
        )

    def get(self) -> Wanting:
        """Return who wants progress; may block, and raise boto3's errors."""
        return self._cache.get(None)

    def is_known_unwanted(self, provider: str) -> bool:
        """Return whether it was read lately that nobody wants a provider's; never blocks."""
        is_known, wanting = self._cache.peek(None)
        return is_known and wanting is not None and not wanting.wants(provider)

    def _read(self) -> Wanting:
        # Whether each is acceptable fulfillment checks, before it makes a delivery.
        enabled = [each for each in self._table.naming(EVENT) if each.get("enabled") is not False]
        lists = [each.get("providers") or () for each in enabled]
        named = (name for each in lists if isinstance(each, list | tuple | set) for name in each)
        return Wanting(not all(lists), frozenset(map(str, named)))


@dataclass(frozen=True, slots=True)
class ProgressChannel:
    """By what a poller tells: who wants it, and how a request is sent, which may block."""

    wanted: Wanted
    send: Callable[[ProgressRequest], None]


@dataclass(frozen=True, slots=True)
class _State:
    """How a task stands by one answer; the answer's `result` is None where that says nothing but a phase."""

    phase: Phase
    has_clip: bool
    result: TaskResult | None

    def is_news(self, told: ProgressTold | None) -> bool:
        return told is None or self.phase != told.phase or (self.has_clip and not told.has_clip)


@dataclass(slots=True)
class _Telling:
    """A run of a task in this pass: its latest state that is worth telling, what was told last, and who tells it."""

    state: _State | None = None
    has_clip: bool = False
    told: ProgressTold | None = None
    teller: asyncio.Task[None] | None = None

    @property
    def is_under_way(self) -> bool:
        return self.teller is not None and not self.teller.done()


@dataclass(slots=True)
class ProgressTeller:
    """Tells of the tasks of one pass, in the background: no poll waits for it. `writes` are the writes of the pass."""

    tasks: TasksTable
    channel: ProgressChannel
    metrics: Metrics
    clock: Callable[[], int]
    writes: BackgroundTasks
    _runs: dict[_Run, _Telling] = field(default_factory=dict)

    def observe(self, task: WorkItem, outcome: Outcome) -> None:
        """Note what an answer says of a task that goes on."""
        match outcome:
            case Pending(phase=phase):
                read, may_have_clips = outcome.read, outcome.may_have_clips
            case Completed(result=result):
                phase, read, may_have_clips = "processing", (lambda: result), True
            case _:
                return
        is_changed = phase != task.phase
        telling = self._runs.get((task.key, task.since_ms))
        is_under_way = telling is not None and telling.is_under_way
        if not (is_changed or is_under_way):
            is_known = telling is not None and telling.has_clip
            if not may_have_clips or is_known or self.channel.wanted.is_known_unwanted(task.key.provider):
                return
        # Beside the answers of the same poll: what is read of one must not hold up the others.
        self.writes.start(self._look(task, phase, read, is_changed=is_changed))

    def forget(self, task: WorkItem) -> None:
        """Tell no more of a run that has ended."""
        telling = self._runs.pop((task.key, task.since_ms), None)
        if telling is not None and telling.teller is not None:
            telling.teller.cancel()

    async def _look(
        self, task: WorkItem, phase: Phase, read: Callable[[], TaskResult] | None, *, is_changed: bool
    ) -> None:
        result = None if read is None else read()
        telling = self._runs.setdefault((task.key, task.since_ms), _Telling())
        has_clip = telling.has_clip or (result is not None and any(map(_has_link, result.clips)))
        if not (is_changed or telling.is_under_way or has_clip != telling.has_clip):
            return
        telling.has_clip = has_clip
        telling.state = _State(phase, has_clip, result)
        if not telling.is_under_way:
            telling.teller = self.writes.start(self._tell(task, telling))

    async def _tell(self, task: WorkItem, telling: _Telling) -> None:
        """Tell the latest state, and after 5 s the one after it, until there is none that was not told."""
        key = task.key
        try:
            while (state := telling.state) is not None and state.is_news(before := telling.told):
                if not (await asyncio.to_thread(self.channel.wanted.get)).wants(key.provider):
                    return
                at_ms = self.clock()
                if before is not None and (wait_ms := before.at_ms + APART_MS - at_ms) > 0:
                    if wait_ms > 2 * APART_MS:
                        return  # told by a clock that is wrong, or by hand
                    await asyncio.sleep(wait_ms / 1000)
                    continue
                told = ProgressTold(
                    number=1 if before is None else before.number + 1,
                    at_ms=at_ms,
                    phase=state.phase,
                    has_clip=state.has_clip or (before is not None and before.has_clip),
                )
                write = await asyncio.to_thread(self.tasks.tell_progress, task, told, before)
                if not write.done:
                    found = None if write.item is None else progress_on(write.item)
                    if found is None or found == before:
                        return  # the task has ended, or was put again
                    telling.told = found
                    continue
                telling.told = told
                await asyncio.to_thread(self.channel.send, request_of(task, state, told))
                self.metrics.told_progress(key.provider)
                logger.info(
                    "progress_told",
                    task_id=key.task_id,
                    provider=key.provider,
                    phase=told.phase,
                    has_clip=told.has_clip,
                )
        except (*AWS_FAULTS, Unavailable) as error:
            logger.warning("progress_not_told", task_id=key.task_id, error=code_of(error))


def request_of(task: WorkItem, state: _State, told: ProgressTold) -> ProgressRequest:
    """Return the request that has a state told, at most `MESSAGE_MAX_BYTES` of JSON long.

    What is too long goes without the texts, then without the provider's own object, then without the clips.
    """
    result = state.result
    submitted_at_ms = task.submitted_at_ms
    if result is not None and result.submitted_at is not None:
        submitted_at_ms = max(0, min(submitted_at_ms, to_ms(result.submitted_at)))
    provider_object = None
    if result is not None:
        written = json.dumps(result.provider_object, ensure_ascii=False, separators=(",", ":"))
        provider_object = written.encode("utf-8", "replace").decode()
    request = ProgressRequest(
        task_id=task.key.task_id,
        provider=task.key.provider,
        since_ms=task.since_ms,
        number=told.number,
        at_ms=told.at_ms,
        submitted_at_ms=submitted_at_ms,
        phase=state.phase,
        progress=None if result is None else percentage(result.provider_object),
        clips=() if result is None else tuple(map(_told_clip, result.clips)),
        provider_object=provider_object,
        truncated=result is not None and result.truncated,
    )
    without_texts = tuple(each.model_copy(update={"prompt": None, "text": None}) for each in request.clips)
    for left_out in ({"clips": without_texts}, {"provider_object": None}, {"clips": ()}):
        if len(request.model_dump_json().encode()) <= MESSAGE_MAX_BYTES:
            break
        request = request.model_copy(update={**left_out, "truncated": True})
    return request


def _has_link(clip: Clip) -> bool:
    return stream_link(clip) is not None or file_link(clip) is not None


def _told_clip(clip: Clip) -> ProgressClip:
    return ProgressClip(
        clip_id=clip.clip_id,
        title=clip.title,
        tags=clip.tags,
        duration_s=clip.duration_s,
        prompt=clip.prompt,
        model=clip.model,
        created_at=clip.created_at,
        text=clip.text,
        stream_url=stream_link(clip),
        source_url=file_link(clip),
    )
