"""The resolver of the guarded client: all addresses of a name are judged, and only those are dialled."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from tunehook.http.guard import NetworkPolicy, check_address

Lookup = Callable[[str, int, socket.AddressFamily], Sequence[tuple[Any, ...]]]
"""A function of host, port and family with the answers of `socket.getaddrinfo`."""

_MAX_LOOKUPS = 32
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


def system_lookup(host: str, port: int, family: socket.AddressFamily) -> Sequence[tuple[Any, ...]]:
    """Ask the operating system for a name's addresses, of the families that this machine can reach."""
    return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)


class GuardedResolver(AbstractResolver):
    """Resolve names for aiohttp and refuse those with a forbidden address.

    Look-ups run in threads of their own: one that hangs holds up neither other work nor the end of the
    event loop.

    Parameters
    ----------
    policy : NetworkPolicy
        What is forbidden.
    lookup : callable
        Where the answers come from.
    """

    def __init__(self, policy: NetworkPolicy, lookup: Lookup = system_lookup) -> None:
        self._policy = policy
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(_MAX_LOOKUPS, thread_name_prefix="lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of `host`, every one of them checked.

        Raises
        ------
        ForbiddenAddress
            If any of the addresses is forbidden.
        OSError
            If the name does not resolve.
        """
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._threads, self._lookup, host, port, family)
        except UnicodeError:
            raise socket.gaierror(socket.EAI_NONAME, "not a name that DNS can carry") from None
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

    async def close(self) -> None:
        """Let go of the threads without waiting for look-ups that hang."""
        self._threads.shutdown(wait=False, cancel_futures=True)
