"""Submit tasks through tunehook: to the provider with the stack's key, and then at once into the table of tasks.

A submission costs money, so it is made once. The intention is written before the call, under the caller's idempotency
key; the answer, together with the task's item, right after it. Who sends the same again gets that answer, or learns
that nobody knows what became of it: the provider is never asked a second time (decision 038).
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from tunehook.aws.api_requests import Answer, ApiRequests, Request, State, body_digest, idempotent_id
from tunehook.aws.errors import AWS_FAULTS
from tunehook.callback_schemes import CallbackScheme
from tunehook.errors import Conflict, InvalidInput, TunehookError, Unavailable
from tunehook.http.transport import HttpTransport
from tunehook.operations.callbacks import callback_url_of
from tunehook.operations.providers import get_provider
from tunehook.operations.stack import Stack
from tunehook.operations.tasks import Submission
from tunehook.providers import adapter
from tunehook.providers.adapters import adapter_of
from tunehook.providers.refusals import own_status, refusal
from tunehook.providers.submission_answers import Refused, Submitted, Unclear
from tunehook.providers.submit import SUBMIT_DEADLINE_S, NotSent, SubmitResult, submit
from tunehook.signatures import derive_secret, notify_hook_subscription_id
from tunehook.tasks import check_request
from tunehook.times import now_ms

if TYPE_CHECKING:
    from tunehook.operations.kept_secrets import KeptSecrets
    from tunehook.providers.config import ProviderConfig

DEFAULT_ACTION: Final = "music"
BODY_MAX_BYTES: Final = 256 * 1024

_ROUTE: Final = "submissions"
_CONNECT_S: Final = 5.0
_PAUSES_S: Final = (0.1, 0.4)
"""Before the second and the third try to record an answer; boto3 repeats each of its calls by itself."""

_AGAIN_S: Final = 5.0
"""What must be left of the provider's time for a second call, with a key that is newer than the one it refused."""

_KEY_MAX_LENGTH: Final = 255
_CREATED, _REFUSED, _UNCLEAR = 201, 502, 504
_PLACEHOLDER: Final = "id-to-come"

Send = Callable[["ProviderConfig", adapter.Request, Sequence[str]], SubmitResult]
"""Sends a submission to a provider, once; the texts may stand in nothing that is told of it."""


class OutcomeUnknown(Conflict):
    """An earlier try with the same idempotency key has left no clear answer: the provider may have taken the task."""


class KeyReused(InvalidInput):
    """The idempotency key was used for another submission."""


class SubmissionUnclear(TunehookError):
    """The provider gave no clear answer: it may have taken the task. `reason` says what came in place of one."""

    def __init__(self, provider: str, reason: str) -> None:
        super().__init__(
            f"whether {provider} took the task is unknown: {reason}. It is not submitted again with the same key"
        )
        self.reason = reason


class ProviderRefused(TunehookError):
    """The provider has not taken the task; its HTTP status and its words, JSON or text."""

    def __init__(self, provider: str, provider_status: int, provider_body: Any) -> None:
        words = (
            provider_body if isinstance(provider_body, str) else json.dumps(provider_body, ensure_ascii=False)
        )
        super().__init__(f"{provider} refused the task: HTTP {provider_status} {words[:500]}".rstrip())
        self.provider_status = provider_status
        self.provider_body = provider_body


class NotSubmitted(Unavailable):
    """There was no connection to the provider, so that nothing was submitted: the same can be sent again."""


class NotRecorded(TunehookError):
    """The provider has taken the task, and DynamoDB did not take its id: `task_id` is to be submitted by itself."""

    def __init__(self, provider: str, task_id: str) -> None:
        super().__init__(
            f"{provider} took the task as {task_id}, which could not be recorded: submit that id, so that it is watched"
        )
        self.provider = provider
        self.task_id = task_id


class ProviderSubmission(BaseModel, frozen=True, defer_build=True):
    """A task that was submitted to its provider, and is watched.

    `action` is what was asked for, `with_callback` whether the provider was given the stack's URL to call back,
    `submitted_at_ms` when it answered; `is_repeated` is whether that was to an earlier request of the same key.
    """

    submission: Submission
    action: str
    with_callback: bool
    submitted_at_ms: int
    is_repeated: bool


def submit_through(
    stack: Stack,
    provider: str,
    action: str,
    body: Mapping[str, Any],
    *,
    idempotency_key: str | None = None,
    key_id: str = "",
    kept: KeptSecrets | None = None,
    send: Send | None = None,
    deadline_s: float = SUBMIT_DEADLINE_S,
    sleep: Callable[[float], None] = time.sleep,
    **options: Any,
) -> ProviderSubmission:
    """Submit a task to a provider with the provider's own `body`, and watch the task that comes of it.

    `options` are ``notify_hook``, ``notify_format``, ``metadata`` and ``timeout_s`` of the task. `idempotency_key`
    counts for 24 hours, for who has the API key `key_id`; without one nothing can be sent again. The provider has
    `deadline_s` to answer.

    The secrets are read at each call, but for those that are `kept`. A kept key that the provider refuses is read anew;
    if it is another one now, the task is submitted with it at once, as a refused key has submitted nothing.

    Raises `NotFound` and `InvalidInput` by the field before anything is written or sent; `KeyReused`;
    `ProviderRefused`; `NotSubmitted`; `SubmissionUnclear`, and `OutcomeUnknown` for who sends the same again then, or
    while it is under way; `NotRecorded`, with the id.

    >>> submit_through(stack, "suno", "video", {"prompt": "rain"})
    Traceback (most recent call last):
    tunehook.errors.InvalidInput: action: must be one of lyrics, music
    """
    config = _usable(stack, provider, kept)
    kind = adapter_of(config)
    kind.submission(action, body)
    given = {name: value for name, value in options.items() if value is not None}
    check_request({"task_id": _PLACEHOLDER, "provider": provider, **given}, stack.network_policy)
    _check_body(body)
    key = secrets.token_hex(16) if idempotency_key is None else _checked(idempotency_key)
    secret = _signing_secret(stack, given.get("notify_hook"))
    callback_url = _callback_url(stack, config, body, kept)
    if callback_url is None and kind.callback_required and kind.wants_callback(body):
        raise InvalidInput(
            f"body.{kind.callback_field}",
            "is missing: the provider refuses a submission without one, and this stack has none to give (HttpApi=off)",
        )
    call = _Call(
        provider=provider,
        action=action,
        options=given,
        signing_secret=secret,
        callback_url=callback_url,
        sleep=sleep,
    )
    said = {"provider": provider, "action": action, "body": body, **given}
    request = stack.api_requests.begin(
        idempotent_id(key_id, _ROUTE, key),
        body_digest(said),
        now_ms(),
        intended={"provider": provider, "action": action},
        takes_over=False,
    )
    if not request.is_ours:
        return _earlier(call, request)
    to_send = kind.submission(action, body, callback_url, _shown_secret(config))
    hidden = [] if callback_url is None else [callback_url]
    began_ms = now_ms()
    result = (send or _sender(deadline_s))(config, to_send, hidden)
    if kept is not None and isinstance(result, Refused | NotSent):
        kept.forget_providers()
        left_s = deadline_s - (now_ms() - began_ms) / 1000
        if _refuses_key(result) and left_s >= _AGAIN_S and (newer := _with_newer_key(kept, config)):
            result = (send or _sender(left_s))(newer, to_send, hidden)
    return _settle(stack, call, request, result)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    provider: str
    action: str
    options: Mapping[str, Any]
    signing_secret: str | None
    callback_url: str | None
    sleep: Callable[[float], None]

    def item(self, task_id: str) -> dict[str, Any]:
        return {"task_id": task_id, "provider": self.provider, **self.options}

    def submitted(self, document: Mapping[str, Any], *, is_repeated: bool) -> ProviderSubmission:
        submission = Submission(
            item=self.item(document["task_id"]), replaced_status=None, signing_secret=self.signing_secret
        )
        return ProviderSubmission(
            submission=submission,
            action=self.action,
            with_callback=document["with_callback"],
            submitted_at_ms=document["submitted_at_ms"],
            is_repeated=is_repeated,
        )


def _usable(stack: Stack, name: str, kept: KeptSecrets | None) -> ProviderConfig:
    try:
        return get_provider(stack, name) if kept is None else kept.provider(name)
    except InvalidInput as error:
        if error.field in ("provider", "name"):
            raise type(error)("provider", error.reason) from None
        raise InvalidInput("provider", f"cannot be used as it is configured ({error})") from None


def _check_body(body: Mapping[str, Any]) -> None:
    try:
        size = len(json.dumps(body, allow_nan=False).encode())
    except ValueError:
        raise InvalidInput("body", "has no form in JSON") from None
    if size > BODY_MAX_BYTES:
        raise InvalidInput("body", f"is {size} bytes of JSON, more than {BODY_MAX_BYTES}")


def _checked(key: str) -> str:
    if not 1 <= len(key) <= _KEY_MAX_LENGTH or not key.isascii() or not key.isprintable() or " " in key:
        raise InvalidInput("idempotency_key", f"must be 1 to {_KEY_MAX_LENGTH} visible ASCII characters")
    return key


def _signing_secret(stack: Stack, hook: str | None) -> str | None:
    return derive_secret(stack.master_secret(), notify_hook_subscription_id(hook), 1) if hook else None


def _refuses_key(result: SubmitResult) -> bool:
    """Return whether the provider has refused the key, or says that it has no credit or may not ask this."""
    if not isinstance(result, Refused):
        return False
    if not isinstance(result.body, dict):
        return result.status in (401, 403)
    return refusal(own_status(result.body) or result.status, result.body, "") is not None


def _with_newer_key(kept: KeptSecrets, used: ProviderConfig) -> ProviderConfig | None:
    """Return a provider's entry as it is now if its key alone is another than the one that was used."""
    try:
        newer = kept.provider(used.name)
    except (*AWS_FAULTS, TunehookError):
        return None  # What is known is that the provider has refused.
    is_as_before = newer.model_copy(update={"api_key": used.api_key}) == used
    return newer if is_as_before and newer.api_key != used.api_key else None


def _callback_url(
    stack: Stack, config: ProviderConfig, body: Mapping[str, Any], kept: KeptSecrets | None
) -> str | None:
    """Return what the provider is to call back; None if its kind, the body or the stack does not let it."""
    if not adapter_of(config).wants_callback(body):
        return None
    if stack.parameters.get("HttpApi") == "off":
        return None
    return callback_url_of(stack, config, None if kept is None else kept.master_secret())


def _shown_secret(config: ProviderConfig) -> str | None:
    """Return the secret that the provider is to show in its callbacks as it is; those of other schemes it has."""
    secret = config.callback_secret
    return secret.get_secret_value() if secret and config.callback_scheme is CallbackScheme.HEADER else None


def _sender(deadline_s: float) -> Send:
    def send(config: ProviderConfig, request: adapter.Request, hidden: Sequence[str]) -> SubmitResult:
        async def call() -> SubmitResult:
            # A connection of its own: over one that was used before, a request may be sent twice.
            async with HttpTransport(max_connections=1, connect_timeout_s=_CONNECT_S) as http:
                return await submit(config, request, http, hidden=hidden, deadline_s=deadline_s)

        return asyncio.run(call())

    return send


def _earlier(call: _Call, request: Request) -> ProviderSubmission:
    """Answer a request as it was answered before; raise what it was answered by."""
    if request.state is State.OTHER_BODY:
        raise KeyReused("idempotency_key", "was used within 24 hours for another submission")
    answer = request.answer
    if answer is None:
        reason = (
            "a submission of this key is under way, or has died: send it again in a minute"
            if request.state is State.IN_PROGRESS
            else "a submission of this key has left no answer: the provider may have taken the task or not"
        )
        raise OutcomeUnknown("idempotency_key", reason)
    document = answer.document or {}
    if answer.status == _CREATED:
        return call.submitted(document, is_repeated=True)
    if answer.status == _REFUSED:
        raise ProviderRefused(call.provider, document["provider_status"], document["provider_body"])
    reason = f"whether the provider took the task is unknown: {document['reason']}"
    raise OutcomeUnknown("idempotency_key", reason)


def _settle(stack: Stack, call: _Call, request: Request, result: SubmitResult) -> ProviderSubmission:
    """Record what came of a submission, and say it."""
    match result:
        case NotSent(reason):
            not_sent = NotSubmitted(f"{call.provider} cannot be reached, and nothing was submitted: {reason}")
            try:
                stack.api_requests.forget(request)
            except AWS_FAULTS as fault:
                raise not_sent from fault
            raise not_sent
        case Refused(status, body):
            refused = ProviderRefused(call.provider, status, body)
            document = {"provider_status": status, "provider_body": body}
            _note(stack.api_requests, request, Answer(_REFUSED, document), refused)
            raise refused
        case Unclear(reason):
            unclear = SubmissionUnclear(call.provider, reason)
            _note(stack.api_requests, request, Answer(_UNCLEAR, {"reason": reason}), unclear)
            raise unclear
        case Submitted(task_id):
            document = {
                "task_id": task_id,
                "with_callback": call.callback_url is not None,
                "submitted_at_ms": now_ms(),
            }
            _record(stack, call, request, Answer(_CREATED, document))
            return call.submitted(document, is_repeated=False)


def _note(requests: ApiRequests, request: Request, answer: Answer, error: TunehookError) -> None:
    """Record an answer without a task; if that fails, the caller is told `error` all the same, though only once."""
    try:
        requests.finish(request, answer)
    except AWS_FAULTS as fault:
        raise error from fault


def _record(stack: Stack, call: _Call, request: Request, answer: Answer) -> None:
    """Record the id of a new task and put its item, both or neither; a task that is there already is left as it is."""
    task_id = str((answer.document or {})["task_id"])
    item = call.item(task_id)
    for pause_s in (*_PAUSES_S, None):
        try:
            done = stack.api_requests.finish_with_task(request, answer, stack.tasks, item)
            if not done.done and done.existing is not None:
                if done.existing.get("taken_in"):
                    # A callback came first; who submitted it adopts it.
                    stack.tasks.put(item)
                if stack.api_requests.finish(request, answer):
                    return
            if done.done:
                return
            break
        except (Unavailable, *AWS_FAULTS) as fault:
            if pause_s is None:
                raise NotRecorded(call.provider, task_id) from fault
            call.sleep(pause_s)
    raise NotRecorded(call.provider, task_id)
