"""Asking a live provider once, and what its answer means in words."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tunehook.aws.errors import AWS_FAULTS
from tunehook.errors import Misconfigured, TunehookError
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
from tunehook.providers.client import key_digest
from tunehook.providers.config import better_base_urls
from tunehook_cli import output
from tunehook_cli.faults import in_words as fault_in_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tunehook.providers.config import ProviderConfig
    from tunehook_cli.stack import Stack

_BASE_URL_STATUSES: Final = (200, 404, 405)
"""With these a web server answers where no API is; with others something stands before one."""


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
    status : int or None
        The answer's HTTP status.
    is_page : bool
        Whether the answer is a web page.
    """

    task_id: str
    answer: str | None
    seconds: float
    outcome: Outcome
    status: int | None = None
    is_page: bool = False

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
        outcome = await Provider(config, noting).poll(task_id)
        seconds = time.monotonic() - started
        return Probe(task_id, noting.answer, seconds, outcome, noting.status, noting.is_page)


class _Noting:
    """Notes the answer that another transport brings."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.answer: str | None = None
        self.status: int | None = None
        self.is_page = False

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_bytes: int
    ) -> Reply:
        reply = await self._transport.send(method, url, headers, body, max_bytes=max_bytes)
        content_type = reply.headers.get("content-type", "no content type")
        self.answer = f"HTTP {reply.status}, {content_type}"
        self.status = reply.status
        self.is_page = "html" in content_type or reply.body.lstrip().startswith(b"<")
        return reply


def better_places(config: ProviderConfig, task_id: str | None) -> list[str]:
    """Ask where the base URL was probably meant to lead, and return where the provider was found."""
    return [
        base_url
        for base_url in better_base_urls(config.kind, config.base_url)
        if ask_once(config.model_copy(update={"base_url": base_url}), task_id).useful
    ]


def is_known_key(stack: Stack, config: ProviderConfig) -> bool:
    """Return whether the provider has accepted this very key before, as far as that is remembered and can be read."""
    with _told("whether the key was accepted before cannot be read"):
        return stack.provider_states.get(config.name).is_no_longer_accepted(_digest(config))
    return False


def remember(stack: Stack, config: ProviderConfig) -> None:
    """Have remembered that the provider has accepted this key."""
    with _told("that the key was accepted cannot be remembered"):
        stack.provider_states.accept(config.name, _digest(config))


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Tell what could not be done, where AWS refuses it: the answer of the provider is worth printing all the same."""
    try:
        yield
    except Misconfigured:  # a stack of an earlier version, which remembers nothing
        return
    except (TunehookError, *AWS_FAULTS) as error:
        if (words := str(error) if isinstance(error, TunehookError) else fault_in_words(error)) is None:
            raise
        output.note(f"{what}: {words}")


def _digest(config: ProviderConfig) -> str:
    return key_digest(config.name, config.api_key.get_secret_value())


def advice(
    probe: Probe, config: ProviderConfig, better: Sequence[str] = (), *, was_accepted: bool
) -> str | None:
    """Return what would be right; None where nothing is wrong, or nobody can know.

    Parameters
    ----------
    probe : Probe
    config : ProviderConfig
        Who was asked.
    better : sequence of str
        Base URLs at which the provider was found.
    was_accepted : bool
        Whether the key was accepted before.
    """
    if better:
        return f"the provider is at {better[0]}: set it as the base URL"
    match probe.outcome:
        case Unauthorised(reason="credit"):
            return "top up the account, or give another key"
        case Unauthorised(reason="key") if was_accepted:
            return "the key was accepted before: look whether it is used up, expired or withdrawn"
        case Unauthorised(reason="key"):
            return f"give the right key with `tunehook providers set {config.name}`"
        case Unauthorised():
            return (
                "make a key without a model list; if it has none, look whether the account is blocked, or the key "
                "is for other addresses"
            )
        case Transient() if probe.is_page and probe.status not in _BASE_URL_STATUSES:
            return "something before the gateway answers: have it let requests through, from AWS too"
        case Transient() if probe.is_page:
            origin = "/".join(config.base_url.split("/")[:3])
            meant = f"usually {origin}" if origin != config.base_url else "which may be another host"
            return f"the base URL leads to a web page: give the API's address, {meant}"
        case Transient() if probe.status == 404:
            return "the gateway has no such path: look at the base URL and the kind"
    return None


def in_words(probe: Probe, *, was_accepted: bool = False) -> str:
    """Return what the outcome of a probe means; `was_accepted` says whether its key was accepted before."""
    match probe.outcome:
        case Completed(result):
            return f"completed, with {_count(len(result.clips), 'clip')}"
        case CompletedWithoutResults():
            return "completed, but there is no audio, video or text (yet)"
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
        case NotFound(detail):
            return f"not found: the provider takes the key and knows no such task{f': {detail}' if detail else ''}"
        case Throttled(retry_after_s, detail=detail):
            wait = "" if retry_after_s is None else f", for {retry_after_s:.0f} s"
            said = f": {detail}" if detail else ""
            return f"throttled: the provider does not want to be asked now{wait}{said}"
        case Unauthorised(detail, reason="key") if was_accepted:
            return f"unauthorised: the provider no longer accepts the key (used up, expired or withdrawn): {detail}"
        case Unauthorised(detail):
            return f"unauthorised: the provider refuses the key: {detail}"
        case Transient(cause):
            return f"no usable answer: {cause}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
