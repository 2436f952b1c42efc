"""DNS under the guard: all addresses of a name are checked, and only those are connected to."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult

from tunehook.executors import UnawaitedThreads
from tunehook.http.guard import NetworkPolicy, check_address

_Answers: TypeAlias = Sequence[tuple[Any, ...]]
Lookup: TypeAlias = Callable[[str, int, socket.AddressFamily], _Answers]
"""A function of host, port and family with the answers of `socket.getaddrinfo`."""

KEPT_S: Final = 10.0
"""How long the addresses of a name are good for, by the wall clock: Lambda halts a process, and its other clocks."""

MAX_LOOKUPS: Final = 128
"""Look-ups at a time in this process: a name whose servers do not answer keeps a thread while the system asks them."""

_NAMES_KEPT: Final = 1000
_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

_Key: TypeAlias = tuple[Lookup, str, int, socket.AddressFamily]


def system_lookup(host: str, port: int, family: socket.AddressFamily) -> _Answers:
    """Return a name's addresses as the operating system knows them, of the families that this machine can reach.

    ``localhost`` and ``*.localhost`` are this machine in both families (RFC 6761, section 6.3): a server may listen on
    ``::1`` alone, and the system may name ``127.0.0.1`` alone.
    """
    name = host.rstrip(".").lower()
    if name != "localhost" and not name.endswith(".localhost"):
        return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [
        answer
        for address in ("127.0.0.1", "::1")
        for answer in socket.getaddrinfo(address, port, socket.AF_UNSPEC, socket.SOCK_STREAM)
        if family in (socket.AF_UNSPEC, answer[0])
    ]


class GuardedResolver(AbstractResolver):
    """Resolve names for aiohttp and refuse those with a forbidden address.

    Look-ups run in threads of the process: one that hangs holds up neither other work nor the end of the event loop,
    and other requests for the same name, in whatever client, wait for that one.
    """

    def __init__(
        self, policy: NetworkPolicy, lookup: Lookup = system_lookup, clock: Callable[[], float] = time.time
    ) -> None:
        self._policy = policy
        self._lookup = lookup
        self._clock = clock
        self._kept: OrderedDict[_Key, tuple[float, _Answers]] = OrderedDict()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of `host`, or raise `ForbiddenAddress` if any is forbidden, `OSError` if none."""
        answers = await self._answers((self._lookup, host, port, family))
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        for *_, address in answers:
            check_address(address[0], self._policy)
        return [
            ResolveResult(
                hostname=host, host=address[0], port=port, family=family, proto=protocol, flags=_NUMERIC
            )
            for family, _, protocol, _, address in answers
        ]

    async def _answers(self, key: _Key) -> _Answers:
        at_s, kept = self._kept.get(key, (float("-inf"), ()))
        if kept and 0 <= self._clock() - at_s < KEPT_S:
            return kept
        answers = await _shared_lookup(key)
        self._kept[key] = (self._clock(), answers)
        self._kept.move_to_end(key)
        if len(self._kept) > _NAMES_KEPT:
            self._kept.popitem(last=False)
        return answers

    async def close(self) -> None:
        """Forget what was resolved; nobody waits for look-ups that hang."""
        self._kept.clear()


_under_way: dict[_Key, Future[_Answers]] = {}
_lock = threading.Lock()


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return UnawaitedThreads(MAX_LOOKUPS, thread_name_prefix="lookup")


async def _shared_lookup(key: _Key) -> _Answers:
    """Look a name up in a thread, or wait for the look-up of the same name that is under way."""
    loop = asyncio.get_running_loop()
    is_over = asyncio.Event()

    def wake(_: Future[_Answers]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(is_over.set)

    with _lock:
        if (running := _under_way.get(key)) is None:
            lookup, host, port, family = key
            running = _under_way[key] = _threads().submit(lookup, host, port, family)
            running.add_done_callback(lambda _: _under_way.pop(key, None))
    running.add_done_callback(wake)
    await is_over.wait()
    try:
        return running.result()
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "not a name that DNS can carry") from None
