"""One configured provider, asked over HTTP within its limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from aiolimiter import AsyncLimiter

from tunehook.providers.adapter import Answer, ManyUnknown, Request, Screening
from tunehook.providers.bodies import UnusableBodyError, read_body
from tunehook.providers.kinds import ADAPTERS
from tunehook.providers.outcomes import NotFound, Outcome, Throttled, Transient, Trouble, Unauthorised
from tunehook.providers.pauses import Pauses
from tunehook.providers.payload import redact

if TYPE_CHECKING:
    import httpx

    from tunehook.providers.config import ProviderConfig

REQUEST_DEADLINE_S = 10.0

_MAX_CAUSE = 300
_MAX_PAGES = 50

_Read = TypeVar("_Read")
_Deliver: TypeAlias = Callable[[str, Outcome], None]


class Provider:
    """Asks one provider about tasks, and never faster, longer or more than it should.

    It belongs to one event loop and one pass of the poller: what it learns (a pause, a gateway without
    query-many) is forgotten with it.

    Parameters
    ----------
    config : ProviderConfig
    http : httpx.AsyncClient
        Shared with other providers; must allow `max_concurrency` connections, and use no proxy of the
        environment.
    clock : callable
        A monotonic clock in seconds, for the pauses.
    utc_now : callable
        The time of day, for `Retry-After` dates.
    """

    def __init__(
        self,
        config: ProviderConfig,
        http: httpx.AsyncClient,
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
        self._slots = asyncio.Semaphore(config.max_concurrency)
        rate = config.requests_per_second
        self._bucket: AsyncLimiter | None = None if rate is None else AsyncLimiter(1, 1 / rate)
        self._knows_many = config.batch and self._adapter.ids_per_call is not None

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
        """The name of the outcome that the provider paused for, until a good answer; None otherwise."""
        return self._pauses.reason

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
        try:
            request = self._adapter.request(task_id)
        except ValueError:
            return NotFound()
        return await self._call(request, self._adapter.read)

    async def ask_many(self, task_ids: Iterable[str]) -> AsyncGenerator[tuple[str, Outcome], None]:
        """Ask about tasks in as few calls as the provider allows.

        Yields
        ------
        tuple of str and Outcome
            Each task once, as soon as its outcome is known. A task that a query-many answer left out was
            asked about singly. Nothing is raised but `asyncio.CancelledError`; leaving early stops the
            requests under way when the iterator is closed (`contextlib.aclosing`).
        """
        ids = list(dict.fromkeys(task_ids))
        known: asyncio.Queue[tuple[str, Outcome] | None] = asyncio.Queue()
        work = asyncio.create_task(
            self._ask_all(ids, lambda task_id, outcome: known.put_nowait((task_id, outcome)))
        )
        work.add_done_callback(lambda _: known.put_nowait(None))
        try:
            while (item := await known.get()) is not None:
                yield item
            await work
        finally:
            work.cancel()
            await asyncio.wait([work])

    async def _ask_all(self, ids: Sequence[str], deliver: _Deliver) -> None:
        size = self._adapter.ids_per_call
        if size is None or not self._knows_many or len(ids) < 2:
            await self._ask_singly(ids, deliver)
            return
        async with asyncio.TaskGroup() as group:
            for start in range(0, len(ids), size):
                group.create_task(self._ask_together(ids[start : start + size], deliver))

    async def _ask_singly(self, ids: Iterable[str], deliver: _Deliver) -> None:
        async def ask(task_id: str) -> None:
            deliver(task_id, await self.ask(task_id))

        async with asyncio.TaskGroup() as group:
            for task_id in ids:
                group.create_task(ask(task_id))

    async def _ask_together(self, ids: Sequence[str], deliver: _Deliver) -> None:
        screened = await self._screen(ids)
        if isinstance(screened, Throttled | Unauthorised):
            for task_id in ids:
                deliver(task_id, screened)
            return
        if isinstance(screened, ManyUnknown):
            self._knows_many = False
        elif isinstance(screened, Transient):
            # A gateway whose query-many is broken, or whose answer about these tasks is too large, may still
            # answer singly.
            first, *ids = ids
            outcome = await self.ask(first)
            deliver(first, outcome)
            if isinstance(outcome, Throttled | Unauthorised | Transient):
                for task_id in ids:
                    deliver(task_id, outcome)
                return
        else:
            for task_id, outcome in screened.items():
                deliver(task_id, outcome)
            ids = [task_id for task_id in ids if task_id not in screened]
        await self._ask_singly(ids, deliver)

    async def _screen(self, ids: Sequence[str]) -> Mapping[str, Outcome] | ManyUnknown | Trouble:
        """Ask for many, page by page; what is missing in the answer needs a single query.

        Another page is asked for only while there are more tasks unseen than pages asked: beyond that single
        queries are the cheaper way.
        """
        unseen = dict.fromkeys(ids)
        known: dict[str, Outcome] = {}
        for page in range(1, _MAX_PAGES + 1):
            screening = await self._call(
                self._adapter.many_request(list(unseen), page), self._adapter.read_many
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

    async def _call(self, request: Request, read: Callable[[Answer], _Read]) -> _Read | Throttled | Transient:
        if self._clock() < self._pauses.until:
            return self._refusal()
        async with self._slots:
            if self._bucket is not None and self._clock() >= self._pauses.until:
                await self._bucket.acquire()
            admission = await self._pauses.admit()
            if admission is None:
                return self._refusal()
            try:
                result = await self._send(request, read)
                trouble = result if isinstance(result, Throttled | Unauthorised | Transient) else None
                self._pauses.settle(admission, trouble)
            finally:
                self._pauses.release(admission)
        return result

    def _refusal(self) -> Throttled:
        return Throttled(max(0.0, self._pauses.until - self._clock()), asked=False)

    async def _send(self, request: Request, read: Callable[[Answer], _Read]) -> _Read | Transient:
        secret = self.config.api_key.get_secret_value()
        headers = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "authorization": f"Bearer {secret}",
        }
        content = request.content()
        if content is not None:
            headers["content-type"] = "application/json"
        try:
            async with (
                asyncio.timeout(REQUEST_DEADLINE_S),
                self._http.stream(
                    request.method,
                    self.config.base_url + request.path,
                    headers=headers,
                    content=content,
                    follow_redirects=False,
                    timeout=REQUEST_DEADLINE_S,
                ) as response,
            ):
                body = await read_body(response)
                return read(Answer(response.status_code, response.headers, body, self._utc_now(), secret))
        except TimeoutError:
            return Transient(f"no answer within {REQUEST_DEADLINE_S:g} s")
        except UnusableBodyError as error:
            return Transient(str(error))
        except Exception as error:  # noqa: BLE001 - whatever a transport raises becomes an outcome
            return Transient(redact(f"{type(error).__name__}: {error}", secret)[:_MAX_CAUSE])
