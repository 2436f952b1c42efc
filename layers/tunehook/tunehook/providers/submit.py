"""Submit a task to a provider: one request, made once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from tunehook.http.errors import was_sent
from tunehook.http.reply import Transport
from tunehook.providers.adapter import Answer, Request
from tunehook.providers.adapters import adapter_of
from tunehook.providers.causes import cause_of
from tunehook.providers.destination import Destination
from tunehook.providers.payload import MAX_BODY_BYTES, UnreadablePayloadError, plain_body, redact
from tunehook.providers.submission_answers import Refused, SubmissionAnswer, Submitted, Unclear

if TYPE_CHECKING:
    from tunehook.providers.config import ProviderConfig

SUBMIT_DEADLINE_S: Final = 20.0
"""Gateways ask the service behind them before they answer; an HTTP API of AWS waits for 30 s at most."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """There was no connection, so the provider has seen nothing of the task."""

    reason: str


SubmitResult: TypeAlias = SubmissionAnswer | NotSent


async def submit(
    config: ProviderConfig,
    request: Request,
    http: Transport,
    *,
    hidden: Sequence[str] = (),
    deadline_s: float = SUBMIT_DEADLINE_S,
) -> SubmitResult:
    """Send what `Adapter.submission` has made and return what came of it. Raises nothing but `asyncio.CancelledError`.

    `http` is to have no connection yet: over one that was used before, a request may be sent twice. Neither a secret of
    the provider nor a text of `hidden` (the callback URL) is in the result.
    """
    secrets = (*config.secrets, *hidden)
    return _struck_out(await _send(config, request, http, secrets, deadline_s), secrets)


async def _send(
    config: ProviderConfig, request: Request, http: Transport, secrets: tuple[str, ...], deadline_s: float
) -> SubmitResult:
    adapter = adapter_of(config)
    destination = Destination(config, adapter)
    url, headers = destination.url(request), destination.headers(request)
    try:
        async with asyncio.timeout(deadline_s) as limit:
            reply = await http.send(request.method, url, headers, request.content(), max_bytes=MAX_BODY_BYTES)
        answer = Answer(reply.status, reply.headers, plain_body(reply), secret=secrets)
        return adapter.read_submission(answer)
    except UnreadablePayloadError as error:
        return Unclear(f"HTTP {reply.status}: {error}")
    except Exception as error:  # noqa: BLE001 - whatever a transport raises leaves the outcome open
        if isinstance(error, TimeoutError) and limit.expired():
            return Unclear(f"no answer within {deadline_s:g} s")
        cause = cause_of(error, destination.host)
        return Unclear(cause) if was_sent(error) else NotSent(cause)


def _struck_out(result: SubmitResult, secrets: tuple[str, ...]) -> SubmitResult:
    match result:
        case Submitted(task_id):
            is_secret = redact(task_id, secrets) != task_id
            return Unclear("its task id holds a secret") if is_secret else result
        case Refused():
            return result  # its body was read without them
    return replace(result, reason=redact(result.reason, secrets))
