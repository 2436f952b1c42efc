"""Asking a live provider once, and what its answer means in words."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunehook.http.reply import Reply, Transport
from tunehook.http.transport import HttpTransport
from tunehook.providers import (
    Completed,
    CompletedWithoutResults,
    Failed,
    NotFound,
    Outcome,
    Pending,
    Provider,
    SeemsFailed,
    Throttled,
    Transient,
    Unauthorised,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tunehook.providers.config import ProviderConfig


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of one question.

    Parameters
    ----------
    task_id : str
        The task that was asked about.
    answer : str or None
        The HTTP answer in a few words; None if there was none.
    seconds : float
        How long it took.
    outcome : Outcome
        What the provider layer makes of it.
    """

    task_id: str
    answer: str | None
    seconds: float
    outcome: Outcome

    @property
    def useful(self) -> bool:
        """Whether the provider has taken the key and answered the question."""
        return self.answer is not None and not isinstance(self.outcome, Throttled | Unauthorised | Transient)


def ask_once(config: ProviderConfig, task_id: str | None) -> Probe:
    """Ask a provider about one task.

    Parameters
    ----------
    config : ProviderConfig
        The provider.
    task_id : str or None
        The task; by default one that cannot be there, which tells whether the key is taken.
    """
    return asyncio.run(_ask(config, task_id or f"tunehook-check-{secrets.token_hex(8)}"))


async def _ask(config: ProviderConfig, task_id: str) -> Probe:
    async with HttpTransport() as http:
        noting = _Noting(http)
        started = time.monotonic()
        outcome = await Provider(config, noting).ask(task_id)
        return Probe(task_id, noting.answer, time.monotonic() - started, outcome)


class _Noting:
    """Notes the answer that another transport brings."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.answer: str | None = None

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_bytes: int
    ) -> Reply:
        reply = await self._transport.send(method, url, headers, body, max_bytes=max_bytes)
        self.answer = f"HTTP {reply.status}, {reply.headers.get('content-type', 'no content type')}"
        return reply


def in_words(probe: Probe) -> str:
    """Return what the outcome of a probe means."""
    match probe.outcome:
        case Completed(result):
            return f"completed, with {_count(len(result.clips), 'clip')}"
        case CompletedWithoutResults():
            return "completed, but no clip has a link to its audio file (yet)"
        case Failed(reason):
            return f"failed at the provider: {reason}"
        case SeemsFailed(reason):
            return f"pending, but it seems to have failed: {reason}"
        case Pending(phase, word, known=known):
            written = f'its status word is "{word}"' if word else "it names no status"
            return f"pending ({phase}): {written}" + (
                "" if known else ", which tunehook does not know and takes for pending"
            )
        case NotFound() if probe.answer is None:
            return "not asked: no request can carry this task id"
        case NotFound():
            return "not found: the provider takes the key and knows no such task"
        case Throttled(retry_after_s):
            wait = "" if retry_after_s is None else f", for {retry_after_s:.0f} s"
            return f"throttled: the provider does not want to be asked now{wait}"
        case Unauthorised(detail):
            return f"unauthorised: the provider refuses the key: {detail}"
        case Transient(cause):
            return f"no usable answer: {cause}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
