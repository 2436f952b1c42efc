"""Poll a live provider once, and say what its answer means."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tunehook.aws.error_messages import describe_error
from tunehook.aws.errors import AWS_FAULTS
from tunehook.errors import Misconfigured, TunehookError
from tunehook.http.reply import Reply, Transport
from tunehook.http.transport import HttpTransport
from tunehook.operations.explaining import Explanation, describe_outcome, explain
from tunehook.operations.stack import Stack
from tunehook.providers.adapter import Answer
from tunehook.providers.adapters import adapter_of
from tunehook.providers.client import Provider, key_digest
from tunehook.providers.config import ProviderConfig, better_base_urls
from tunehook.providers.outcomes import Outcome, Throttled, Transient, Unauthorised
from tunehook.providers.payload import UnreadablePayloadError, plain_body

_BASE_URL_STATUSES: Final = (200, 404, 405)
"""With these a web server answers where no API is; with others something stands before one."""

Note = Callable[[str], None]
"""Is told what could not be read or written on the way."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of one poll: the HTTP `answer` in a few words, None if there was none, and its `outcome`.

    `replies` are the answers themselves, two where the first leads to another request.
    """

    task_id: str
    answer: str | None
    seconds: float
    outcome: Outcome
    status: int | None = None
    is_page: bool = False
    replies: tuple[Reply, ...] = field(default=(), repr=False)

    @property
    def useful(self) -> bool:
        """Whether the provider has accepted the key and answered."""
        return self.answer is not None and not isinstance(self.outcome, Throttled | Unauthorised | Transient)


@dataclass(frozen=True, slots=True)
class ProviderCheck:
    """A probe of a provider, what it means, and what to do, where that is anything; how its answers were read."""

    probe: Probe
    outcome: str
    advice: str | None
    explanations: tuple[Explanation, ...]


def check_provider(
    stack: Stack, config: ProviderConfig, task_id: str | None = None, note: Note = lambda _: None
) -> ProviderCheck:
    """Poll a provider once, and elsewhere where that is of no use; remember a key that is accepted.

    >>> check_provider(stack, get_provider(stack, "suno")).probe.useful
    False
    """
    probe = poll_once(config, task_id)
    was_accepted = is_known_key(stack, config, note)
    better = [] if probe.useful else better_places(config, task_id)
    if probe.useful:
        with _noting("that the key was accepted cannot be remembered", note):
            stack.provider_states.accept(config.name, _digest(config))
    return ProviderCheck(
        probe,
        describe_probe(probe, was_accepted=was_accepted),
        advise(probe, config, better, was_accepted=was_accepted),
        tuple(_explained(probe, config)),
    )


def _explained(probe: Probe, config: ProviderConfig) -> list[Explanation]:
    answers = []
    for reply in probe.replies:
        # What cannot be read has no JSON in which anything was found: the outcome says why.
        with contextlib.suppress(UnreadablePayloadError):
            body = plain_body(reply)
            answers.append(
                Answer(reply.status, reply.headers, body, secret=config.secrets, base_url=config.base_url)
            )
    return explain(adapter_of(config), answers)


def poll_once(config: ProviderConfig, task_id: str | None = None) -> Probe:
    """Poll a task; by default one that cannot be there, which tells whether the key is accepted.

    >>> poll_once(get_provider(stack, "suno")).answer is None
    True
    """
    return asyncio.run(_poll(config, task_id or f"tunehook-check-{secrets.token_hex(8)}"))


async def _poll(config: ProviderConfig, task_id: str) -> Probe:
    async with HttpTransport() as http:
        recorder, started = _Recorder(http), time.monotonic()
        outcome = await Provider(config, recorder).poll(task_id)
        seconds = time.monotonic() - started
        return Probe(
            task_id,
            recorder.answer,
            seconds,
            outcome,
            recorder.status,
            recorder.is_page,
            tuple(recorder.replies),
        )


@dataclass(slots=True)
class _Recorder:
    """A transport that records the answers of another one; what is said of them is of the last."""

    transport: Transport
    answer: str | None = None
    status: int | None = None
    is_page: bool = False
    replies: list[Reply] = field(default_factory=list)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_bytes: int
    ) -> Reply:
        reply = await self.transport.send(method, url, headers, body, max_bytes=max_bytes)
        self.replies.append(reply)
        content_type = reply.headers.get("content-type", "no content type")
        self.answer = f"HTTP {reply.status}, {content_type}"
        self.status = reply.status
        self.is_page = "html" in content_type or reply.body.lstrip().startswith(b"<")
        return reply


def better_places(config: ProviderConfig, task_id: str | None) -> list[str]:
    """Poll at where the base URL was probably meant to lead, and return where the provider was found."""
    return [
        base_url
        for base_url in better_base_urls(config.base_url)
        if poll_once(config.model_copy(update={"base_url": base_url}), task_id).useful
    ]


def is_known_key(stack: Stack, config: ProviderConfig, note: Note = lambda _: None) -> bool:
    """Return whether the provider is known to have accepted this very key before."""
    with _noting("whether the key was accepted before cannot be read", note):
        return stack.provider_states.get(config.name).is_no_longer_accepted(_digest(config))
    return False


@contextlib.contextmanager
def _noting(what: str, note: Note) -> Iterator[None]:
    """Note what AWS refuses, and go on: the provider's answer counts all the same."""
    try:
        yield
    except Misconfigured:  # a stack of an earlier version, which remembers nothing
        return
    except (TunehookError, *AWS_FAULTS) as error:
        if (message := describe_error(error)) is None:
            raise
        note(f"{what}: {message}")


def _digest(config: ProviderConfig) -> str:
    return key_digest(config.name, config.api_key.get_secret_value())


def advise(
    probe: Probe, config: ProviderConfig, better: Sequence[str] = (), *, was_accepted: bool
) -> str | None:
    """Return what to do, if that is known; at the base URLs of `better` the provider was found."""
    if better:
        return f"the provider is at {better[0]}: set it as the base URL"
    match probe.outcome:
        case Unauthorised(reason="credit"):
            return "top up the account, or give another key"
        case Unauthorised(reason="key") if was_accepted:
            return "the key was accepted before: check whether it is used up, expired or revoked"
        case Unauthorised(reason="key"):
            return f"give the right key with `tunehook providers set {config.name}`"
        case Unauthorised():
            blocked = "look whether the account is blocked, or the key is for other addresses"
            return f"make a key without a model list; if it has none, {blocked}"
        case Transient() if probe.is_page and probe.status not in _BASE_URL_STATUSES:
            return "something before the gateway answers: have it let requests through, from AWS too"
        case Transient() if probe.is_page:
            origin = "/".join(config.base_url.split("/")[:3])
            meant = f"usually {origin}" if origin != config.base_url else "which may be another host"
            return f"the base URL leads to a web page: give the API's address, {meant}"
        case Transient() if probe.status == 404:
            return "the gateway has no such path: check the base URL and the kind"
    return None


def verdict(probe: Probe) -> str:
    """Say in plain words whether the key is accepted."""
    if probe.useful:
        return "ok: the key is accepted"
    match probe.outcome:
        case Unauthorised(reason="credit"):
            return "refused: the account has no credit left"
        case Unauthorised():
            return "refused: the provider does not accept the key"
        case Throttled():
            return "not known: the provider is throttling requests"
        case Transient():
            return "not known: there was no usable response"
    return "not known: this task id cannot be part of a request"


def describe_probe(probe: Probe, *, was_accepted: bool = False) -> str:
    """Say what the outcome of a probe means; `was_accepted`: whether its key was accepted before."""
    return describe_outcome(probe.outcome, was_asked=probe.answer is not None, was_accepted=was_accepted)
