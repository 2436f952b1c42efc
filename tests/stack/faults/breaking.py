"""Breaks what the plan of a run says, when it says so, and keeps what that hit."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from operator import attrgetter
from random import Random
from typing import Any, Final

from tests.stack.driving import HANG_S
from tests.stack.faults.deployment import FUNCTIONS, Deployment
from tests.stack.faults.kills import halt_worker, kill_worker
from tests.stack.faults.plan import Moment
from tests.support.aws_proxy import (
    Act,
    Answer,
    Call,
    Forward,
    Rule,
    broken,
    delayed,
    doubled,
    dropped,
    throttled,
    unanswered,
)

from tunehook.aws.errors import AWS_FAULTS
from tunehook.errors import Unavailable
from tunehook.times import now_ms

BUSY_WITHIN_S: Final = 12.0
"""How long a kill waits for a worker that is at work, once there is a worker; after that it takes an idle one."""

APPEARS_WITHIN_S: Final = HANG_S
"""How long it waits while there is no worker: on a busy machine the first work for a function comes late."""

LOOK_EVERY_S: Final = 0.25
"""How often a window that is to be over looks whether a call was hit."""

DELAYS_S: Final = (0.5, 5.0)
"""How long a delayed call waits; a function gives an answer up after 10 s."""

_NAMING: Final = ("task_id", "delivery_id", "subscription_id", "receiver")
"""The members of what a call says that tell what it is about, none of which is secret."""

_TAKE_IN_WITHIN_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class HitCall:
    """A call to AWS that something was done to.

    Attributes
    ----------
    at_ms : int
        When it came.
    service, operation : str
        As `tests.support.aws_proxy.Call` has them.
    about : tuple of str
        What it names: ids of tasks, of deliveries, of subscriptions, keys of objects. No secret.
    function : str or None
        Which function's it was (``intake``, ``poller``, ``fulfillment``, ``webhooks``), if that can be told.
    """

    at_ms: int
    service: str
    operation: str
    about: tuple[str, ...]
    function: str | None


@dataclass(frozen=True, slots=True)
class Done:
    """A moment of the plan that has come.

    Attributes
    ----------
    moment : Moment
        What was planned.
    at_ms : int
        When it began.
    what : str
        What was done, in words.
    calls : tuple of HitCall
        The calls that it hit.
    often : int
        How much of it was done: 0 if there was nothing to do it to.
    """

    moment: Moment
    at_ms: int
    what: str
    calls: tuple[HitCall, ...] = ()
    often: int = 1


class Breaking:
    """Executes moments in a thread of its own.

    A window in which no call was hit stays open for the first one, as a kill waits for a worker: on a busy machine the
    work may come after it. Nobody has to wait for that: such calls may never come.

    Parameters
    ----------
    deployment : Deployment
        What is broken.
    moments : iterable of Moment
        When, what, and to whom.
    started_at_s : float
        When the run began, in seconds since the epoch; moments count from it.
    seed : int
        Which worker is killed, which calls are the share of a window's, and how long one is delayed.
    """

    def __init__(
        self, deployment: Deployment, moments: Iterable[Moment], started_at_s: float, *, seed: int = 0
    ) -> None:
        self._deployment = deployment
        self._moments = tuple(moments)
        self._started_at_s = started_at_s
        self._seed = seed
        self._done: list[Done] = []
        self._functions: dict[str, str] = {}
        self._awaited = len(self._moments)
        self._errors: list[BaseException] = []
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._execute, name="breaking", daemon=True)

    @property
    def done(self) -> list[Done]:
        """What has been done so far, in the order of its beginning; a window is in it once it is over."""
        return sorted(self._done, key=attrgetter("at_ms"))

    @property
    def is_over(self) -> bool:
        """Whether every moment has come, but for calls that a window waits for, or one could not be executed."""
        return not self._thread.is_alive() or not self._awaited

    def check(self) -> None:
        """Raise what stopped it, if something has."""
        if self._errors:
            raise self._errors[0]

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End what is under way, and leave out what has not come yet.

        Raises
        ------
        BaseException
            If a moment could not be executed.
        """
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()
        self._loop.close()
        self.check()

    def _execute(self) -> None:
        try:
            self._loop.run_until_complete(self._come())
        except BaseException as error:  # noqa: BLE001 - `stop` raises it
            self._errors.append(error)

    async def _come(self) -> None:
        async with asyncio.TaskGroup() as group:
            for moment in self._moments:
                group.create_task(self._one(moment))

    async def _one(self, moment: Moment) -> None:
        if await self._is_due(moment.at_s):
            await self._execute_one(moment)
        self._awaited -= 1

    async def _execute_one(self, moment: Moment) -> None:
        # The same plan breaks the same share, whatever else comes at the same time.
        chance = Random(f"{self._seed} {moment}")
        self._functions |= await asyncio.to_thread(self._deployment.function_keys)
        match moment.act:
            case "kill":
                await self._kill(moment, chance)
            case "halt":
                await self._halt(moment, chance)
            case "edit":
                await self._edit(moment, chance)
            case "move":
                await self._move(moment)
            case "restart":
                await self._restart(moment)
            case _:
                await self._window(moment, chance)

    async def _is_due(self, after_s: float) -> bool:
        """Wait until that long after the start; return False if it is stopped first."""
        try:
            async with asyncio.timeout(self._started_at_s + after_s - time.time()):
                await self._stopped.wait()
        except TimeoutError:
            return True
        return False

    async def _kill(self, moment: Moment, chance: Random) -> None:
        function = moment.target
        assert function in FUNCTIONS, f"no function is called {function}"
        came_at_ms = now_ms()
        killed = await asyncio.to_thread(
            kill_worker,
            self._deployment.home,
            self._deployment.function_name(function),
            chance,
            within_s=BUSY_WITHIN_S,
            appears_within_s=APPEARS_WITHIN_S,
        )
        if killed is None:
            self._done.append(Done(moment, came_at_ms, f"{function} had no worker to kill", often=0))
            return
        state = "at work" if killed.was_busy else "idle"
        what = f"killed a worker of {function} ({killed.pid}), which was {state}"
        self._done.append(Done(moment, killed.at_ms, what))

    async def _halt(self, moment: Moment, chance: Random) -> None:
        function = moment.target
        assert function in FUNCTIONS, f"no function is called {function}"
        came_at_ms = now_ms()
        halted = await asyncio.to_thread(
            halt_worker,
            self._deployment.home,
            self._deployment.function_name(function),
            chance,
            within_s=BUSY_WITHIN_S,
            appears_within_s=APPEARS_WITHIN_S,
        )
        if halted is None:
            self._done.append(Done(moment, came_at_ms, f"{function} had no worker to halt", often=0))
            return
        try:
            await self._is_due(time.time() - self._started_at_s + moment.for_s)
        finally:
            halted.resume()
        state = "at work" if halted.was_busy else "idle"
        what = f"halted a worker of {function} ({halted.pid}), which was {state}, for {moment.for_s:g} s"
        self._done.append(Done(moment, halted.at_ms, what))

    async def _edit(self, moment: Moment, chance: Random) -> None:
        began_at_ms = now_ms()
        edited = await asyncio.to_thread(self._deployment.edit_items, chance, moment.share)
        self._done.append(Done(moment, began_at_ms, f"edited {edited} items by hand", often=edited))

    async def _move(self, moment: Moment) -> None:
        began_at_ms = now_ms()
        url = await asyncio.to_thread(self._deployment.move_subscription, moment.target, began_at_ms)
        what = f"moved {moment.target} to {url}" if url else f"did not move {moment.target}: AWS is away"
        self._done.append(Done(moment, began_at_ms, what, often=int(url is not None)))

    async def _restart(self, moment: Moment) -> None:
        began_at_ms = now_ms()
        await asyncio.to_thread(self._deployment.restart)
        lasted_s = (now_ms() - began_at_ms) / 1000
        taken_in = await self._take_in()
        what = f"stopped the embedded AWS and started it again, in {lasted_s:.1f} s; {taken_in}"
        self._done.append(Done(moment, began_at_ms, what))

    async def _window(self, moment: Moment, chance: Random) -> None:
        service, _, operation = moment.target.partition(":")
        hit: list[tuple[str, HitCall]] = []
        rule = Rule(
            service,
            operation,
            _noting(_act(moment, chance), hit),
            where=lambda _call: chance.random() < moment.share,
        )
        began_at_ms = now_ms()
        self._deployment.proxy.add(rule)
        try:
            if await self._is_due(moment.at_s + moment.for_s) and not hit:
                self._awaited -= 1
                while not hit and await self._is_due(time.time() - self._started_at_s + LOOK_EVERY_S):
                    pass
                self._awaited += 1
        finally:
            self._deployment.proxy.remove(rule)
        self._functions |= await asyncio.to_thread(self._deployment.function_keys)
        calls = tuple(replace(call, function=self._functions.get(key)) for key, call in hit)
        what = f"{moment.act}: {len(calls)} calls of {moment.target}"
        if any(call.service == "dynamodb" and call.function in ("intake", None) for call in calls):
            what += f"; {await self._take_in()}"
        self._done.append(Done(moment, began_at_ms, what, calls))

    async def _take_in(self) -> str:
        """Have that done which AWS would do by itself; return in words what it was."""
        deadline = time.monotonic() + _TAKE_IN_WITHIN_S
        while True:
            try:
                result = await asyncio.to_thread(self._deployment.take_in_what_the_stream_lost)
            except (Unavailable, *AWS_FAULTS):
                # Others may be breaking things at the same time.
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(1)
                continue
            return f"{result.taken_in} items taken in that the stream did not bring again"


def _noting(act: Act, hit: list[tuple[str, HitCall]]) -> Act:
    """Note each call, by the key that it is signed with, before it is acted upon. Its body is not kept."""

    async def noted(call: Call, forward: Forward) -> Answer | None:
        named = tuple(sorted(set(about(call))))
        hit.append((call.access_key_id, HitCall(now_ms(), call.service, call.operation, named, None)))
        return await act(call, forward)

    return noted


def _act(moment: Moment, chance: Random) -> Act:
    acts: dict[str, Callable[[], Act]] = {
        "throttle": throttled,
        "fail": broken,
        "drop": dropped,
        "unanswered": unanswered,
        "delay": lambda: _delayed(chance),
        "double": doubled,
    }
    return acts[moment.act]()


def _delayed(chance: Random) -> Act:
    async def act(call: Call, forward: Forward) -> Answer | None:
        return await delayed(chance.uniform(*DELAYS_S))(call, forward)

    return act


def about(call: Call) -> Iterator[str]:
    """Yield what a call names: the object, or the ids in its body and in the JSON within that."""
    if call.service == "s3":
        # After the method and the bucket.
        yield call.operation.split("/", 2)[-1]
    elif call.body.startswith(b"{"):
        yield from _named(json.loads(call.body))


def _named(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for name, member in value.items():
                if name not in _NAMING:
                    yield from _named(member)
                    continue
                # As DynamoDB writes it, or plain.
                plain = member.get("S") if isinstance(member, dict) else member
                if isinstance(plain, str):
                    yield plain
        case list():
            for member in value:
                yield from _named(member)
        case str() if value.startswith("{"):
            try:
                yield from _named(json.loads(value))
            except ValueError:
                return
