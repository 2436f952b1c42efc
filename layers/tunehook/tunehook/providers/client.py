"""One configured provider, asked over HTTP within its limits."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar
from urllib.parse import quote

from aiolimiter import AsyncLimiter

from tunehook.providers.adapter import Answer, ManyUnknown, Request, Screening
from tunehook.providers.bodies import MAX_BODY_BYTES, UnusableBodyError, plain_body
from tunehook.providers.kinds import ADAPTERS
from tunehook.providers.outcomes import NotFound, Outcome, Throttled, Transient, Trouble, Unauthorised
from tunehook.providers.pauses import Pauses
from tunehook.providers.payload import redact
from tunehook.providers.turns import Crew, Rank, Turns

if TYPE_CHECKING:
    from tunehook.http.reply import Transport
    from tunehook.providers.config import ProviderConfig

REQUEST_DEADLINE_S = 10.0

_MAX_CAUSE = 300
_MAX_PAGES = 50
_MANY_FAILURES = 8
"""So many batches in a row that fail although single questions are answered mean that query-many does not work."""

_SMALLEST_BATCH = 4
"""Fewer tasks than that are asked about singly, rather than in halves again."""

_TROUBLE = (Throttled, Unauthorised, Transient)
_URL_PUNCTUATION = "%!$&'()*+,/:;=@[]~"

_Read = TypeVar("_Read")
_Deliver: TypeAlias = Callable[[str, Outcome], None]


def key_digest(name: str, api_key: str) -> str:
    """Return a digest of a provider's name and key, by which the key is known again without being kept."""
    return hashlib.sha256(f"{name}\0{api_key}".encode()).hexdigest()[:32]


class Provider:
    """Asks one provider about tasks, and never faster, longer or more than it should.

    It belongs to one event loop and one pass of the poller: what it learns (a pause, a gateway without
    query-many) is forgotten with it.

    Parameters
    ----------
    config : ProviderConfig
    http : Transport
        Such as `tunehook.http.transport.HttpTransport`. Shared with other providers; must allow `max_concurrency`
        connections.
    clock : callable
        A monotonic clock in seconds, for the pauses.
    utc_now : callable
        The time of day, for `Retry-After` dates.
    """

    def __init__(
        self,
        config: ProviderConfig,
        http: Transport,
        *,
        clock: Callable[[], float] = time.monotonic,
        utc_now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.config = config
        self._adapter = ADAPTERS[config.kind]
        self._http = http
        self._utc_now = utc_now
        self._pauses = Pauses(clock)
        self._clock = clock
        self._base_url = quote(config.base_url, safe=_URL_PUNCTUATION)
        self._secret = config.api_key.get_secret_value()
        self._headers = {"accept": "application/json", "authorization": f"Bearer {self._secret}"}
        self._slots = Turns(config.max_concurrency)
        rate = config.requests_per_second
        self._bucket: AsyncLimiter | None = None if rate is None else AsyncLimiter(1, 1 / rate)
        self._bucket_turns = Turns(1)
        self._ranks: dict[str, Rank] = {}
        self._knows_many = config.batch and self._adapter.ids_per_call is not None
        self._many_failures = 0
        self._spoilers: set[str] = set()

    @property
    def name(self) -> str:
        """The name that tasks carry."""
        return self.config.name

    @property
    def kind(self) -> str:
        """The kind of provider."""
        return self.config.kind

    @property
    def poll_every_s(self) -> int:
        """How often asking about one young task gains anything, in seconds."""
        return self._adapter.poll_every_s

    @property
    def paused_until(self) -> float:
        """The clock's time at which the latest pause ends or ended; minus infinity before the first."""
        return self._pauses.until

    @property
    def pause_reason(self) -> str | None:
        """The name of the outcome that the latest pause began for; None before the first."""
        return self._pauses.reason

    @property
    def knows_many(self) -> bool:
        """Whether query-many works, as far as is known."""
        return self._knows_many

    @property
    def key_digest(self) -> str:
        """A digest of name and key, by which a key is known again without being kept: 32 hexadecimal characters."""
        return key_digest(self.name, self._secret)

    def restore_pause(self, seconds: float, reason: str) -> None:
        """Go on with a pause that an earlier pass began, for `seconds` from now; `reason` is an outcome's name."""
        self._pauses.restore(seconds, reason)

    def is_paused(self, now: float | None = None) -> bool:
        """Return whether asking is of no use at `now` (the clock's time; the present one by default)."""
        return self._pauses.is_paused(now)

    async def ask(self, task_id: str) -> Outcome:
        """Ask about one task.

        Returns
        -------
        Outcome
            While the provider is paused `Throttled` with `asked` false, at once and without a request. An id
            that no URL can carry is `NotFound`. Nothing is raised but `asyncio.CancelledError`.
        """
        return await self._ask(task_id, line=object())

    async def ask_many(
        self, task_ids: Iterable[str], *, old: Iterable[str] = (), overdue: Iterable[str] = ()
    ) -> AsyncGenerator[tuple[str, Outcome], None]:
        """Ask about tasks in as few calls as the provider allows.

        Overdue tasks go first, then those not asked about before, calls of this method at the same time in turns; then
        those that got an answer, and as many of those that got none the last time. The latter, the overdue, and the
        `old` that were not asked about before, never have the last quarter of the requests at a time to themselves:
        where they hang, the others need not wait.

        Parameters
        ----------
        task_ids : iterable of str
        old : iterable of str
            Those among them that have been waiting for so long that they may well hang.
        overdue : iterable of str
            Those among them whose deadline has passed: they go before all others.

        Yields
        ------
        tuple of str and Outcome
            Each task once, as soon as its outcome is known. A task that a query-many answer left out was
            asked about singly. Nothing is raised but `asyncio.CancelledError`; leaving early stops the
            requests under way when the iterator is closed (`contextlib.aclosing`).
        """
        for task_id in old:
            self._ranks.setdefault(task_id, Rank.DOUBTED)
        self._ranks |= dict.fromkeys(overdue, Rank.OVERDUE)
        ids = sorted(dict.fromkeys(task_ids), key=self._rank)
        known: deque[tuple[str, Outcome]] = deque()
        news = asyncio.Event()

        def deliver(task_id: str, outcome: Outcome) -> None:
            known.append((task_id, outcome))
            news.set()

        work = asyncio.create_task(self._ask_all(ids, deliver))
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

    async def _ask_all(self, ids: Sequence[str], deliver: _Deliver) -> None:
        size = self._adapter.ids_per_call
        async with asyncio.TaskGroup() as group:
            crew = Crew(group, self.config.max_concurrency)
            if size is None or not self._knows_many or len(ids) < 2:
                self._ask_singly(ids, deliver, crew)
            else:
                alone = [task_id for task_id in ids if task_id in self._spoilers]
                ids = [task_id for task_id in ids if task_id not in self._spoilers]
                batches = (ids[start : start + size] for start in range(0, len(ids), size))
                crew.add(partial(self._ask_together, batch, deliver, crew) for batch in batches)
                self._ask_singly(alone, deliver, crew)

    def _ask_singly(self, ids: Iterable[str], deliver: _Deliver, crew: Crew) -> None:
        async def ask(task_id: str) -> None:
            deliver(task_id, await self._ask(task_id, line=crew))

        crew.add(partial(ask, task_id) for task_id in ids)

    async def _ask_together(
        self, ids: Sequence[str], deliver: _Deliver, crew: Crew, *, is_well: bool = False
    ) -> None:
        # What another batch has learnt since this one was put together counts.
        screened = await self._screen(ids, line=crew) if self._knows_many and ids else ManyUnknown()
        if isinstance(screened, Throttled | Unauthorised):
            for task_id in ids:
                deliver(task_id, screened)
            return
        if isinstance(screened, ManyUnknown):
            self._knows_many = False
        elif isinstance(screened, Transient):
            await self._ask_in_halves(ids, screened, deliver, crew, is_well=is_well)
            return
        else:
            self._many_failures = 0
            for task_id, outcome in screened.items():
                deliver(task_id, outcome)
            ids = [task_id for task_id in ids if task_id not in screened]
        self._ask_singly(ids, deliver, crew)

    async def _ask_in_halves(
        self, ids: Sequence[str], trouble: Transient, deliver: _Deliver, crew: Crew, *, is_well: bool
    ) -> None:
        """Ask once more about a batch that failed as a whole, half by half: what spoils it may be one of its tasks.

        An answer that was too large says so, and that the gateway is well. After any other failure a single question
        tells whether it is, before more are sent; the task that it was about is known then. Where it `is_well`, since
        the question about another part of the batch was answered, only that task is in trouble.
        """
        if not trouble.is_too_large:
            first, *ids = ids
            outcome = await self._ask(first, line=crew)
            deliver(first, outcome)
            if isinstance(outcome, Transient):
                self._spoilers.add(first)
            if isinstance(outcome, Throttled | Unauthorised) or (
                isinstance(outcome, Transient) and not is_well
            ):
                for task_id in ids:
                    deliver(task_id, outcome)
                return
            self._many_failures += 1
            self._knows_many &= self._many_failures < _MANY_FAILURES
        if len(ids) < _SMALLEST_BATCH:
            self._spoilers |= set(ids)
            self._ask_singly(ids, deliver, crew)
            return
        middle = len(ids) // 2
        halves = (ids[:middle], ids[middle:])
        crew.add(partial(self._ask_together, half, deliver, crew, is_well=True) for half in halves)

    async def _screen(
        self, ids: Sequence[str], line: Hashable
    ) -> Mapping[str, Outcome] | ManyUnknown | Trouble:
        """Ask for many, page by page; what is missing in the answer needs a single query.

        Another page is asked for only while there are more tasks unseen than pages asked: beyond that single
        queries are the cheaper way.
        """
        unseen = dict.fromkeys(ids)
        known: dict[str, Outcome] = {}
        for page in range(1, _MAX_PAGES + 1):
            screening = await self._call(
                self._adapter.many_request(list(unseen), page), self._adapter.read_many, line, Rank.NEW
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

    async def _ask(self, task_id: str, line: Hashable) -> Outcome:
        try:
            request = self._adapter.request(task_id)
        except ValueError:
            return NotFound()
        outcome = await self._call(request, self._adapter.read, line, self._rank(task_id))
        if isinstance(outcome, Transient):
            self._ranks[task_id] = Rank.DOUBTED
        elif not (isinstance(outcome, Throttled) and not outcome.asked):
            self._ranks[task_id] = Rank.KNOWN
        return outcome

    def _rank(self, task_id: str) -> Rank:
        return self._ranks.get(task_id, Rank.NEW)

    async def _call(
        self, request: Request, read: Callable[[Answer], _Read], line: Hashable, rank: Rank
    ) -> _Read | Throttled | Transient:
        if self._clock() < self._pauses.until:
            return self._refusal()
        await self._take_slot(line, rank)
        try:
            admission = await self._pauses.admit()
            if admission is None:
                return self._refusal()
            try:
                result = await self._send(request, read)
                trouble = result if isinstance(result, _TROUBLE) else None
                self._pauses.settle(admission, trouble)
            finally:
                self._pauses.release(admission)
        finally:
            self._slots.give_back(rank)
        return result

    async def _take_slot(self, line: Hashable, rank: Rank) -> None:
        if self._bucket is None:
            await self._slots.take(line, rank)
            return
        # One at a time before the bucket: it knows no lines, and what it gave must not pile up behind a probe.
        await self._bucket_turns.take(line, rank)
        try:
            await self._slots.take(line, rank)
            try:
                await self._pauses.probe_ended()
                if self._clock() >= self._pauses.until:
                    await self._bucket.acquire()
            except BaseException:
                self._slots.give_back(rank)
                raise
        finally:
            self._bucket_turns.give_back(rank)

    def _refusal(self) -> Throttled:
        return Throttled(max(0.0, self._pauses.until - self._clock()), asked=False)

    async def _send(self, request: Request, read: Callable[[Answer], _Read]) -> _Read | Transient:
        headers, content = self._headers, request.content()
        if content is not None:
            headers = {**headers, "content-type": "application/json"}
        try:
            async with asyncio.timeout(REQUEST_DEADLINE_S):
                reply = await self._http.send(
                    request.method, self._base_url + request.path, headers, content, max_bytes=MAX_BODY_BYTES
                )
            body = plain_body(reply)
            return read(
                Answer(reply.status, reply.headers, body, self._utc_now(), self._secret, self.config.base_url)
            )
        except TimeoutError:
            return Transient(f"no answer within {REQUEST_DEADLINE_S:g} s")
        except UnusableBodyError as error:
            return Transient(str(error), is_too_large=error.is_too_large)
        except Exception as error:  # noqa: BLE001 - whatever a transport raises becomes an outcome
            return Transient(redact(f"{type(error).__name__}: {error}", self._secret)[:_MAX_CAUSE])
