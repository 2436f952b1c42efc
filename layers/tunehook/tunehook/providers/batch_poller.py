"""Poll many tasks with query-many: batches, halved where they fail, and single polls for what they leave out."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from tunehook.providers.adapter import Adapter, ManyUnknown, Screening
from tunehook.providers.fair_semaphore import Priority, WorkerPool
from tunehook.providers.outcomes import Outcome, Throttled, Transient, Trouble, Unauthorised
from tunehook.providers.task_poller import TROUBLE, IsWanted, TaskPoller

if TYPE_CHECKING:
    from tunehook.providers.config import ProviderConfig

_MAX_PAGES = 50
_FAILED_PARTS_AT_FIRST = 8
# How many parts of batches may fail in a row before query-many counts as broken; fewer if none ever succeeded.
_FAILED_PARTS_LATER = 32
# So many pauses in a row for a query-many right after an answered poll show that it alone is throttled.
_MANY_THROTTLED = 3
_Deliver: TypeAlias = Callable[[str, Outcome], None]


class BatchPoller:
    """Poll tasks in as few requests as the provider allows; `works` is whether query-many does, as far as is known."""

    def __init__(
        self, config: ProviderConfig, adapter: Adapter, tasks: TaskPoller, clock: Callable[[], float]
    ) -> None:
        self.works = config.batch and adapter.ids_per_call is not None
        self._concurrency = config.max_concurrency
        self._adapter = adapter
        self._tasks = tasks
        self._clock = clock
        self._has_worked = False
        self._failed_parts = 0
        self._throttled = 0
        self._throttled_until_s = -math.inf
        self._batch_limits: dict[str, int] = {}

    async def poll(
        self, ids: Sequence[str], overdue: frozenset[str], is_wanted: IsWanted, deliver: _Deliver
    ) -> None:
        """Poll tasks in this order, and deliver each outcome as soon as it is known."""
        async with asyncio.TaskGroup() as group:
            usual, late = (WorkerPool(group, self._concurrency) for _ in range(2))
            call = _Call(usual, late, overdue, is_wanted, deliver)
            if not self.works or len(ids) < 2:
                self._poll_singly(ids, call)
                return
            for batch in self._batches(ids):
                if len(batch) == 1 and self._batch_limits:
                    self._poll_singly(batch, call)
                else:
                    call.pool(batch).submit([partial(self._poll_batch, batch, call)])

    def _batches(self, ids: Sequence[str]) -> list[Sequence[str]]:
        """Divide tasks into batches of what is known to succeed, in the order of their first tasks."""
        size = self._adapter.ids_per_call or 1
        if not self._batch_limits:
            return [ids[start : start + size] for start in range(0, len(ids), size)]
        batches: list[Sequence[str]] = []
        filling: dict[int, list[str]] = {}
        for task_id in ids:
            limit = min(size, self._batch_limits.get(task_id, size))
            batch = filling.setdefault(limit, [])
            if not batch:
                batches.append(batch)
            batch.append(task_id)
            if len(batch) == limit:
                del filling[limit]
        return batches

    def _poll_singly(self, ids: Iterable[str], call: _Call) -> None:
        async def poll(pool: WorkerPool, task_id: str) -> None:
            call.deliver(task_id, await self._tasks.poll(task_id, pool, call.is_wanted, call.overdue))

        for pool, members in call.by_pool(ids):
            pool.submit(partial(poll, pool, task_id) for task_id in members)

    async def _poll_batch(self, batch: Sequence[str], call: _Call, half: _Half | None = None) -> None:
        # What has become known since this batch was put together counts.
        ids: list[str] = []
        for task_id in batch:
            if call.is_wanted(task_id):
                ids.append(task_id)
            else:
                call.deliver(task_id, self._tasks.refusal())
        if not self.works:
            self._poll_singly(ids, call)
            return
        # Of what fails about many at once, a single poll shows whether the provider is at fault.
        forgiven: tuple[type[Trouble], ...] = (Transient,)
        unresolved = self._tasks.breaker.unresolved
        if ids and unresolved is not None:
            ids = await self._poll_first(ids, call)
            if unresolved == Unauthorised.name:
                forgiven = (Transient, Unauthorised)
            elif unresolved == Throttled.name and self._throttled == _MANY_THROTTLED - 1:
                forgiven = (Transient, Throttled)
        if not ids:
            return
        result = await self._query_many(ids, call, forgiven)
        if isinstance(result, Throttled) and result.asked:
            self._count_throttled(unresolved)
        match result:
            case ManyUnknown(may_be_limit=True):
                rest = await self._poll_first(ids, call)
                self.works = self._clock() < self._tasks.breaker.open_until
                self._poll_singly(rest, call)
            case Throttled(asked=False):
                call.deliver_all(ids, result)
            case Throttled() | Unauthorised() if type(result) not in forgiven:
                call.deliver_all(ids, result)
            case ManyUnknown() | Throttled() | Unauthorised():
                self.works = False
                self._poll_singly(ids, call)
            case Transient():
                await self._poll_halves(ids, call, half, result)
            case _:
                self._has_worked = True
                self._failed_parts = self._throttled = 0
                for task_id, outcome in result.items():
                    call.deliver(task_id, outcome)
                self._poll_singly([task_id for task_id in ids if task_id not in result], call)

    def _count_throttled(self, unresolved: str | None) -> None:
        """Count a pause for query-many, once of all the calls that are refused, while single polls are answered."""
        open_until = self._tasks.breaker.open_until
        if open_until != self._throttled_until_s:
            self._throttled_until_s = open_until
            self._throttled = self._throttled + 1 if unresolved == Throttled.name else 1

    async def _poll_halves(
        self, ids: Sequence[str], call: _Call, half: _Half | None, trouble: Transient
    ) -> None:
        """Halve a batch that failed, once a single poll has shown that the gateway answers at all."""
        if half is not None:
            if not trouble.is_too_large:
                self._failed_parts += 1
                most = _FAILED_PARTS_LATER if self._has_worked else _FAILED_PARTS_AT_FIRST
                self.works &= self._failed_parts < most
            self._forgive(half)
        elif not trouble.is_too_large and not (ids := await self._poll_first(ids, call)):
            return
        middle = (len(ids) + 1) // 2
        many_request = self._adapter.many_request
        # Where the ids are not in the request, fewer of them make no difference.
        if not self.works or many_request(ids, 1) == many_request(ids[:middle], 1):
            self._poll_singly(ids, call)
            return
        self._batch_limits.update(dict.fromkeys(ids, middle))
        for part, other in ((ids[:middle], ids[middle:]), (ids[middle:], ids[:middle])):
            poll = self._poll_last if len(part) == 1 else self._poll_batch
            if part:
                call.pool(part).submit([partial(poll, part, call, _Half(other, middle))])

    async def _poll_last(self, ids: Sequence[str], call: _Call, half: _Half) -> None:
        """Poll the one task that is left of a batch by halving it."""
        outcome = await self._tasks.poll(ids[0], call.pool(ids), call.is_wanted, call.overdue)
        if isinstance(outcome, Transient):
            self._forgive(half)
        call.deliver(ids[0], outcome)

    def _forgive(self, half: _Half) -> None:
        """Clear the other half of a batch of suspicion: this one explains why it failed."""
        for task_id in half.others:
            if self._batch_limits.get(task_id) == half.limit:
                del self._batch_limits[task_id]

    async def _poll_first(self, ids: Sequence[str], call: _Call) -> list[str]:
        """Poll one task of a batch, and return the others; none where its outcome is all the others'."""
        rest = list(ids)
        while rest:
            # Those that no gateway can read are likely the oldest.
            first = min(reversed(rest), key=self._tasks.risk)
            rest.remove(first)
            outcome = await self._tasks.poll(first, call.pool([first]), call.is_wanted, call.overdue)
            call.deliver(first, outcome)
            if not isinstance(outcome, TROUBLE):
                return rest
            if isinstance(outcome, Throttled) and not outcome.asked and not call.is_wanted(first):
                continue
            if isinstance(outcome, Unauthorised) and self._clock() >= self._tasks.breaker.open_until:
                continue  # that may be about this one task: it is believed when the next one says so too
            call.deliver_all(rest, outcome)
            break
        return []

    async def _query_many(
        self, ids: Sequence[str], call: _Call, forgiven: tuple[type[Trouble], ...]
    ) -> Mapping[str, Outcome] | ManyUnknown | Trouble:
        """Read another page while there are more tasks unseen than pages read: beyond that single polls are cheaper."""
        unseen = dict.fromkeys(ids)
        known: dict[str, Outcome] = {}
        ranks = (self._tasks.priority(task_id, call.overdue) for task_id in call.overdue.intersection(ids))
        priority = Priority.OVERDUE if Priority.OVERDUE in ranks else Priority.NEW
        for page in range(1, _MAX_PAGES + 1):
            request = self._adapter.many_request(list(unseen), page)
            screening = await self._tasks.call(
                request, self._adapter.read_many, call.pool(ids), priority, forgiven=forgiven
            )
            if not isinstance(screening, Screening):
                return known or screening
            for task_id in unseen.keys() & screening.found.keys():
                del unseen[task_id]
                if (outcome := screening.found[task_id]) is not None:
                    known[task_id] = outcome
            if screening.last or len(unseen) <= page:
                break
        return known


@dataclass(frozen=True, slots=True)
class _Half:
    """Of one half of a batch that failed: the other half, and to what size both were limited for it."""

    others: Sequence[str]
    limit: int


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of `BatchPoller.poll`, with two pools: overdue tasks that hang keep no others waiting."""

    usual: WorkerPool
    late: WorkerPool
    overdue: frozenset[str]
    is_wanted: IsWanted
    deliver: _Deliver

    def deliver_all(self, ids: Iterable[str], outcome: Outcome) -> None:
        for task_id in ids:
            self.deliver(task_id, outcome)

    def pool(self, ids: Sequence[str]) -> WorkerPool:
        """Return the pool of these tasks together: that of the overdue if any of them is."""
        return self.usual if self.overdue.isdisjoint(ids) else self.late

    def by_pool(self, ids: Iterable[str]) -> Iterable[tuple[WorkerPool, Iterable[str]]]:
        """Divide tasks by their pools; the pool of the first task comes first."""
        if not self.overdue:
            return [(self.usual, ids)]
        members: dict[WorkerPool, list[str]] = {}
        for task_id in ids:
            members.setdefault(self.late if task_id in self.overdue else self.usual, []).append(task_id)
        return members.items()
