"""One configured provider, asked over HTTP within its limits."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar
from urllib.parse import quote, urlsplit

from aiolimiter import AsyncLimiter

from tunehook.providers.adapter import Answer, ManyUnknown, Request, Screening
from tunehook.providers.bodies import MAX_BODY_BYTES, UnusableBodyError, plain_body
from tunehook.providers.causes import cause_of
from tunehook.providers.circuit_breaker import SLOW_S, Admission, CircuitBreaker
from tunehook.providers.fair_semaphore import FairSemaphore, Priority, WorkerPool
from tunehook.providers.kinds import ADAPTERS
from tunehook.providers.outcomes import NotFound, Outcome, Throttled, Transient, Trouble, Unauthorised
from tunehook.providers.payload import redact
from tunehook.times import SteadySeconds

if TYPE_CHECKING:
    from tunehook.cadence import Pace
    from tunehook.http.reply import Transport
    from tunehook.providers.config import ProviderConfig

REQUEST_DEADLINE_S = 10.0

_MAX_PAGES = 50
_FAILED_PARTS_AT_FIRST = 8
_FAILED_PARTS_LATER = 32
"""How many parts of batches may fail in a row before query-many counts as broken; fewer if none ever succeeded."""

_MANY_THROTTLED = 3
"""How many pauses in a row, each for a call of query-many right after a question that was answered, show that the
provider throttles query-many alone."""

_DIGEST_ROUNDS = 10_000
_TROUBLE = (Throttled, Unauthorised, Transient)
_URL_PUNCTUATION = "%!$&'()*+,/:;=@[]~"
_NONE: frozenset[str] = frozenset()

_Read = TypeVar("_Read")
_Deliver: TypeAlias = Callable[[str, Outcome], None]
_IsWanted: TypeAlias = Callable[[str], bool]


def _anything(_: str) -> bool:
    return True


def key_digest(name: str, api_key: str) -> str:
    """Return a digest of a provider's name and key, by which the key is known again without being kept.

    It is slow on purpose: a key may be short enough to be guessed.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    return hashlib.pbkdf2_hmac("sha256", api_key.encode(), name.encode(), _DIGEST_ROUNDS, 16).hex()


class Provider:
    """Asks one provider about tasks, and never faster, longer or more than it should.

    It belongs to one event loop and one pass of the poller: what it learns (a pause, a gateway without
    query-many, tasks that spoil a batch) is forgotten with it.

    Parameters
    ----------
    config : ProviderConfig
    http : Transport
        Such as `tunehook.http.transport.HttpTransport`. Shared with other providers; must allow `max_concurrency`
        connections.
    clock : callable
        Seconds that never go back, for the pauses, such as `tunehook.times.SteadySeconds`.
    utc_now : callable
        The time of day, for `Retry-After` dates.
    """

    def __init__(
        self,
        config: ProviderConfig,
        http: Transport,
        *,
        clock: Callable[[], float] | None = None,
        utc_now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.config = config
        self._adapter = ADAPTERS[config.kind]
        self._http = http
        self._utc_now = utc_now
        self._clock = clock or SteadySeconds()
        self._pauses = CircuitBreaker(self._clock)
        self._base_url = quote(config.base_url, safe=_URL_PUNCTUATION)
        self._host = urlsplit(config.base_url).hostname or ""
        self._secret = config.api_key.get_secret_value()
        self._headers = {"accept": "application/json", "authorization": f"Bearer {self._secret}"}
        self._slots = FairSemaphore(config.max_concurrency)
        rate = config.requests_per_second
        self._bucket: AsyncLimiter | None = None if rate is None else AsyncLimiter(1, 1 / rate)
        self._bucket_turns = FairSemaphore(1)
        self._ranks: dict[str, Priority] = {}
        self._hung: set[str] = set()
        # Of tasks whose last question failed: how many good answers had come before.
        self._failed_after: dict[str, int] = {}
        self._wanted = 0
        self._knows_many = config.batch and self._adapter.ids_per_call is not None
        self._many_worked = False
        self._failed_parts = 0
        self._many_throttled = 0
        self._many_throttled_at_s = -math.inf
        self._batch_limits: dict[str, int] = {}

    @property
    def name(self) -> str:
        """The name that tasks carry."""
        return self.config.name

    @property
    def kind(self) -> str:
        """The kind of provider."""
        return self.config.kind

    @property
    def knows_many(self) -> bool:
        """Whether query-many works, as far as is known."""
        return self._knows_many

    @cached_property
    def key_digest(self) -> str:
        """The digest of name and key: see `key_digest`."""
        return key_digest(self.name, self._secret)

    @property
    def paused_until(self) -> float:
        """The clock's time at which the latest pause ends or ended; minus infinity before the first."""
        return self._pauses.until

    @property
    def pause_reason(self) -> str | None:
        """The name of the outcome that the latest pause began for; None before the first."""
        return self._pauses.reason

    @property
    def pace(self) -> Pace:
        """How often a task is asked about, as far as query-many is known to work."""
        return self._adapter.pace if self._knows_many else self._adapter.pace_one_by_one

    @property
    def tasks_at_a_time(self) -> int:
        """How many tasks may be asked about at the same time, as far as query-many is known to work."""
        together = self._adapter.ids_per_call if self._knows_many else None
        return self.config.max_concurrency * (together or 1)

    @property
    def pause_detail(self) -> str:
        """What the provider said when the latest pause began, as far as it said anything."""
        return self._pauses.detail

    def restore_pause(self, seconds: float, reason: str, detail: str = "") -> None:
        """Go on with a pause that an earlier pass began. It ends with one probe, as any other.

        Parameters
        ----------
        seconds : float
            How long from now; at most 300 count, and none where it is not above 0.
        reason : str
            The name of the outcome that it began for.
        detail : str
            What the provider said then.
        """
        self._pauses.restore(seconds, reason, detail)

    def is_paused(self, now: float | None = None) -> bool:
        """Return whether asking is of no use at `now` (the clock's time; the present one by default)."""
        return self._pauses.is_paused(now)

    def finish(self) -> None:
        """Send no more requests: those under way may be answered, whoever waits is refused as while it is paused."""
        self._slots.close()
        self._bucket_turns.close()

    async def ask(self, task_id: str) -> Outcome:
        """Ask about one task.

        Returns
        -------
        Outcome
            While the provider is paused `Throttled` with `asked` false, at once and without a request. An id
            that no URL can carry is `NotFound`. Nothing is raised but `asyncio.CancelledError`.
        """
        self._wanted += 1
        try:
            return await self._ask(task_id, object(), _anything, _NONE)
        finally:
            self._wanted -= 1

    async def ask_many(
        self,
        task_ids: Iterable[str],
        *,
        old: Iterable[str] = (),
        overdue: Iterable[str] = (),
        is_wanted: Callable[[str], bool] = _anything,
    ) -> AsyncGenerator[tuple[str, Outcome], None]:
        """Ask about tasks in as few calls as the provider allows.

        The overdue go first; then tasks not asked about before, calls of this method at the same time in turns; then
        those that got an answer, and as many of those that got none the last time. The latter, the overdue, and the
        `old` that were not asked about before, never have the last quarter of the requests at a time to themselves:
        where they hang, the others need not wait. An overdue task that hung, or failed while others did not, is no
        longer before them.

        A batch that fails as a whole, for its answer is too large or for tasks in it that the gateway cannot read, is
        halved until the parts succeed. What was learnt of it counts for later calls: fewer tasks a batch, and tasks
        that spoil one asked about singly.

        Parameters
        ----------
        task_ids : iterable of str
        old : iterable of str
            Those among them that have been waiting for so long that they may well hang.
        overdue : iterable of str
            Those among them whose deadline has passed.
        is_wanted : callable, optional
            Tells, when the turn of a task comes, whether the question is still wanted. One that is not is never sent,
            and comes to what it does while the provider is paused.

        Yields
        ------
        tuple of str and Outcome
            Each task once, as soon as its outcome is known. A task that a query-many answer left out was
            asked about singly. Nothing is raised but `asyncio.CancelledError`; leaving early stops the
            requests under way when the iterator is closed (`contextlib.aclosing`).
        """
        for task_id in old:
            self._ranks.setdefault(task_id, Priority.DOUBTED)
        late = frozenset(overdue)
        ids = sorted(dict.fromkeys(task_ids), key=partial(self._rank, overdue=late))
        known: deque[tuple[str, Outcome]] = deque()
        news = asyncio.Event()
        unanswered = len(ids)
        self._wanted += unanswered

        def deliver(task_id: str, outcome: Outcome) -> None:
            nonlocal unanswered
            unanswered -= 1
            self._wanted -= 1
            known.append((task_id, outcome))
            news.set()

        work = asyncio.create_task(self._ask_all(ids, late, is_wanted, deliver))
        work.add_done_callback(lambda _: news.set())
        try:
            while not work.done():
                await news.wait()
                news.clear()
                while known:
                    yield known.popleft()
            await work
        finally:
            work.cancel()
            await asyncio.wait([work])
            self._wanted -= unanswered

    async def _ask_all(
        self, ids: Sequence[str], overdue: frozenset[str], is_wanted: _IsWanted, deliver: _Deliver
    ) -> None:
        async with asyncio.TaskGroup() as group:
            call = _Call(group, self.config.max_concurrency, overdue, is_wanted, deliver)
            if not self._knows_many or len(ids) < 2:
                self._ask_singly(ids, call)
                return
            for batch in self._batches(ids):
                if len(batch) == 1 and self._batch_limits:
                    self._ask_singly(batch, call)
                else:
                    call.crew(batch).add([partial(self._ask_together, batch, call)])

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

    def _ask_singly(self, ids: Iterable[str], call: _Call) -> None:
        async def ask(crew: WorkerPool, task_id: str) -> None:
            call.deliver(task_id, await self._ask(task_id, crew, call.is_wanted, call.overdue))

        for crew, members in call.by_crew(ids):
            crew.add(partial(ask, crew, task_id) for task_id in members)

    async def _ask_together(self, ids: Sequence[str], call: _Call, part: _Part | None = None) -> None:
        # What has become known since this batch was put together counts.
        for task_id in itertools.filterfalse(call.is_wanted, ids):
            call.deliver(task_id, self._refusal())
        if not (ids := [task_id for task_id in ids if call.is_wanted(task_id)]):
            return
        if not self._knows_many:
            self._ask_singly(ids, call)
            return
        # Of what fails about many at once, a single question tells whether the provider is at fault.
        forgiven: tuple[type[Trouble], ...] = (Transient,)
        if (unresolved := self._pauses.unresolved) is not None:
            ids = await self._ask_first(ids, call)
            if unresolved == Unauthorised.name:
                forgiven = (Transient, Unauthorised)
            elif unresolved == Throttled.name and self._many_throttled == _MANY_THROTTLED - 1:
                forgiven = (Transient, Throttled)
        if not ids:
            return
        screened = await self._screen(ids, call, forgiven)
        if isinstance(screened, Throttled) and screened.asked:
            self._count_throttled(unresolved)
        if isinstance(screened, Throttled | Unauthorised) and (
            type(screened) not in forgiven or (isinstance(screened, Throttled) and not screened.asked)
        ):
            for task_id in ids:
                call.deliver(task_id, screened)
        elif isinstance(screened, ManyUnknown) and screened.may_be_limit:
            rest = await self._ask_first(ids, call)
            self._knows_many = self._clock() < self._pauses.until
            self._ask_singly(rest, call)
        elif isinstance(screened, ManyUnknown | Unauthorised | Throttled):
            self._knows_many = False
            self._ask_singly(ids, call)
        elif isinstance(screened, Transient):
            await self._ask_in_parts(ids, call, part, screened)
        else:
            self._many_worked = True
            self._failed_parts = self._many_throttled = 0
            for task_id, outcome in screened.items():
                call.deliver(task_id, outcome)
            self._ask_singly([task_id for task_id in ids if task_id not in screened], call)

    def _count_throttled(self, unresolved: str | None) -> None:
        """Count a pause for query-many, once of all the calls that are refused, while single questions are answered."""
        if self._pauses.until != self._many_throttled_at_s:
            self._many_throttled_at_s = self._pauses.until
            self._many_throttled = self._many_throttled + 1 if unresolved == Throttled.name else 1

    async def _ask_in_parts(
        self, ids: Sequence[str], call: _Call, part: _Part | None, trouble: Transient
    ) -> None:
        """Halve a batch that failed; once a single question has shown that the gateway answers at all."""
        if not trouble.is_too_large:
            if part is None and not (ids := await self._ask_first(ids, call)):
                return
            if part is not None:
                self._failed_parts += 1
                most = _FAILED_PARTS_LATER if self._many_worked else _FAILED_PARTS_AT_FIRST
                self._knows_many &= self._failed_parts < most
        if part is not None:
            self._forgive(part)
        middle = (len(ids) + 1) // 2
        if not self._knows_many or not self._is_told_by_ids(ids, ids[:middle]):
            self._ask_singly(ids, call)
            return
        self._batch_limits.update(dict.fromkeys(ids, middle))
        for half, other in ((ids[:middle], ids[middle:]), (ids[middle:], ids[:middle])):
            half_of = _Part(other, middle)
            if len(half) == 1:
                call.crew(half).add([partial(self._ask_last, half[0], call, half_of)])
            elif half:
                call.crew(half).add([partial(self._ask_together, half, call, half_of)])

    async def _ask_last(self, task_id: str, call: _Call, part: _Part) -> None:
        """Ask singly about what is left of a batch by halving it."""
        outcome = await self._ask(task_id, call.crew([task_id]), call.is_wanted, call.overdue)
        if isinstance(outcome, Transient):
            self._forgive(part)
        call.deliver(task_id, outcome)

    def _forgive(self, part: _Part) -> None:
        """Clear the other half of a batch of suspicion: this one explains why it failed."""
        for task_id in part.others:
            if self._batch_limits.get(task_id) == part.limit:
                del self._batch_limits[task_id]

    def _is_told_by_ids(self, ids: Sequence[str], fewer: Sequence[str]) -> bool:
        return self._adapter.many_request(ids, 1) != self._adapter.many_request(fewer, 1)

    async def _ask_first(self, ids: Sequence[str], call: _Call) -> Sequence[str]:
        """Ask about one task of a batch, and return the others; none where its outcome is all the others'."""
        rest = list(ids)
        while rest:
            first = min(
                reversed(rest), key=self._trust
            )  # those that no gateway can read are likely the oldest
            rest.remove(first)
            outcome = await self._ask(first, call.crew([first]), call.is_wanted, call.overdue)
            call.deliver(first, outcome)
            if not isinstance(outcome, _TROUBLE):
                return rest
            if isinstance(outcome, Throttled) and not outcome.asked and not call.is_wanted(first):
                continue
            if isinstance(outcome, Unauthorised) and self._clock() >= self._pauses.until:
                continue  # that may be about this one task: it is believed when the next one says so too
            for task_id in rest:
                call.deliver(task_id, outcome)
            break
        return ()

    def _trust(self, task_id: str) -> tuple[bool, bool]:
        """Rank tasks by how likely a question about one fails: the least likely first."""
        return task_id in self._failed_after, self._rank(task_id) is Priority.DOUBTED

    async def _screen(
        self, ids: Sequence[str], call: _Call, forgiven: tuple[type[Trouble], ...]
    ) -> Mapping[str, Outcome] | ManyUnknown | Trouble:
        """Ask for many, page by page; what is missing in the answer needs a single query.

        Another page is asked for only while there are more tasks unseen than pages asked: beyond that single
        queries are the cheaper way.
        """
        unseen = dict.fromkeys(ids)
        known: dict[str, Outcome] = {}
        ranks = (self._rank(task_id, call.overdue) for task_id in ids if task_id in call.overdue)
        rank = Priority.OVERDUE if Priority.OVERDUE in ranks else Priority.NEW
        for page in range(1, _MAX_PAGES + 1):
            request = self._adapter.many_request(list(unseen), page)
            screening = await self._call(
                request, self._adapter.read_many, call.crew(ids), rank, forgiven=forgiven
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

    async def _ask(
        self, task_id: str, line: Hashable, is_wanted: _IsWanted, overdue: frozenset[str]
    ) -> Outcome:
        try:
            request = self._adapter.request(task_id)
        except ValueError:
            return NotFound()
        outcome = await self._call(
            request,
            self._adapter.read,
            line,
            self._rank(task_id, overdue),
            task_id,
            is_wanted=partial(is_wanted, task_id),
        )
        if isinstance(outcome, Transient | Unauthorised):
            self._ranks[task_id] = Priority.DOUBTED
            self._failed_after[task_id] = self._pauses.good_answers
        elif not isinstance(outcome, Throttled) or outcome.asked:
            self._ranks[task_id] = Priority.KNOWN
            if self._failed_after:
                self._failed_after.pop(task_id, None)
                self._hung.discard(task_id)
        return outcome

    def _rank(self, task_id: str, overdue: frozenset[str] = _NONE) -> Priority:
        if task_id in overdue and task_id not in self._hung and not self._is_own_trouble(task_id):
            return Priority.OVERDUE
        return self._ranks.get(task_id, Priority.NEW)

    def _is_own_trouble(self, task_id: str) -> bool:
        """Return whether the last question about a task failed, and others have been answered since."""
        good_answers = self._failed_after.get(task_id)
        return good_answers is not None and good_answers < self._pauses.good_answers

    async def _call(
        self,
        request: Request,
        read: Callable[[Answer], _Read],
        line: Hashable,
        rank: Priority,
        task_id: str | None = None,
        *,
        forgiven: tuple[type[Trouble], ...] = (),
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> _Read | Throttled | Transient:
        """Send one request when its turn has come, and learn from what became of it.

        Parameters
        ----------
        task_id : str or None
            The one task that is asked about.
        forgiven : tuple of types
            The troubles that say nothing new of the provider.
        is_wanted : callable
            Whether the request is still wanted when its turn has come.
        """
        if self._clock() < self._pauses.until or not is_wanted():
            return self._refusal()
        if not await self._take_slot(line, rank, is_wanted):
            return self._refusal()
        try:
            admission = await self._pauses.admit()
            if admission is None:
                return self._refusal()
            try:
                result = await self._send(request, read)
                if isinstance(result, ManyUnknown) and result.may_be_limit:
                    pass  # no good answer, and perhaps no trouble either: a single question will tell
                elif isinstance(result, _TROUBLE):
                    self._learn(admission, result, task_id, forgiven)
                else:
                    self._pauses.settle(admission, None)
            finally:
                self._pauses.release(admission)
        finally:
            self._slots.give_back(rank)
        return result

    def _learn(
        self,
        admission: Admission,
        trouble: Trouble,
        task_id: str | None,
        forgiven: tuple[type[Trouble], ...],
    ) -> None:
        """Learn from a trouble, of the provider or of the one task that was asked about."""
        if task_id is not None and self._clock() - admission.at_s >= SLOW_S:
            self._hung.add(task_id)
        if not isinstance(trouble, forgiven) and not self._is_of_the_task(trouble, task_id):
            is_doubtful = task_id is not None and self._may_be_refused_alone(task_id)
            self._pauses.settle(admission, trouble, is_doubtful=is_doubtful)

    def _is_of_the_task(self, trouble: Trouble, task_id: str | None) -> bool:
        """Return whether a trouble is one of the tasks that were asked about, and not of the provider."""
        if isinstance(trouble, Transient) and trouble.is_too_large:
            return True
        return task_id is not None and not isinstance(trouble, Throttled) and self._is_own_trouble(task_id)

    def _may_be_refused_alone(self, task_id: str) -> bool:
        """Return whether a refusal of the key may be about this task: it never got an answer, and others may."""
        never_answered = self._ranks.get(task_id) is not Priority.KNOWN
        return never_answered and (self._wanted > 1 or self._pauses.was_well_lately)

    async def _take_slot(self, line: Hashable, rank: Priority, is_wanted: Callable[[], bool]) -> bool:
        """Take a place for one request; return False if it is not to be made any more."""
        if self._bucket is None:
            return await self._take_wanted(self._slots, line, rank, is_wanted)
        # One at a time before the bucket: it knows no lines, and what it gave must not pile up behind a probe.
        if not await self._take_wanted(self._bucket_turns, line, rank, is_wanted):
            return False
        try:
            if not await self._slots.take(line, rank):
                return False
            try:
                await self._pauses.probe_ended()
                if self._clock() >= self._pauses.until:
                    await self._bucket.acquire()
            except BaseException:
                self._slots.give_back(rank)
                raise
        finally:
            self._bucket_turns.give_back(rank)
        if self._slots.is_closed:
            self._slots.give_back(rank)
            return False
        return True

    async def _take_wanted(
        self, turns: FairSemaphore, line: Hashable, rank: Priority, is_wanted: Callable[[], bool]
    ) -> bool:
        if not await turns.take(line, rank):
            return False
        if not is_wanted():
            turns.give_back(rank)
            return False
        return True

    def _refusal(self) -> Throttled:
        return Throttled(max(0.0, self._pauses.until - self._clock()), asked=False)

    async def _send(self, request: Request, read: Callable[[Answer], _Read]) -> _Read | Transient:
        headers, content = self._headers, request.content()
        if content is not None:
            headers = {**headers, "content-type": "application/json"}
        try:
            async with asyncio.timeout(REQUEST_DEADLINE_S) as limit:
                reply = await self._http.send(
                    request.method, self._base_url + request.path, headers, content, max_bytes=MAX_BODY_BYTES
                )
            body = plain_body(reply)
            answer = Answer(
                reply.status, reply.headers, body, self._utc_now(), self._secret, self.config.base_url
            )
            return read(answer)
        except UnusableBodyError as error:
            return Transient(str(error), is_too_large=error.is_too_large)
        except Exception as error:  # noqa: BLE001 - whatever a transport raises becomes an outcome
            if isinstance(error, TimeoutError) and limit.expired():
                return Transient(f"no answer within {REQUEST_DEADLINE_S:g} s")
            return Transient(redact(cause_of(error, self._host), self._secret))


@dataclass(frozen=True, slots=True)
class _Part:
    """Of one half of a batch that failed: the other half, and to what size both were limited for it."""

    others: Sequence[str]
    limit: int


class _Call:
    """One call of `ask_many`: whom it tells, and two crews, so that overdue tasks that hang keep no others waiting."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        size: int,
        overdue: frozenset[str],
        is_wanted: _IsWanted,
        deliver: _Deliver,
    ) -> None:
        self.overdue = overdue
        self.is_wanted = is_wanted
        self.deliver = deliver
        self._late = WorkerPool(group, size)
        self._usual = WorkerPool(group, size)

    def crew(self, ids: Sequence[str]) -> WorkerPool:
        """Return who asks about these tasks together: those for the overdue if any of them is."""
        return self._usual if self.overdue.isdisjoint(ids) else self._late

    def by_crew(self, ids: Iterable[str]) -> Iterable[tuple[WorkerPool, Iterable[str]]]:
        """Divide tasks by who asks about them singly; the crew of the first task comes first."""
        if not self.overdue:
            return [(self._usual, ids)]
        members: dict[WorkerPool, list[str]] = {}
        for task_id in ids:
            members.setdefault(self._late if task_id in self.overdue else self._usual, []).append(task_id)
        return members.items()
