"""What a kind of provider defines: its requests, and what an answer means. No I/O happens here."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from tunehook.cadence import DIRECT, Pace
from tunehook.errors import InvalidInput
from tunehook.http.retry_after import retry_after_s
from tunehook.providers import refusals, submission_answers
from tunehook.providers.outcomes import NotFound, Outcome, Throttled, Transient, Trouble, Unauthorised
from tunehook.providers.pages import CHALLENGE_HEADERS, bars, object_in_front, page
from tunehook.providers.payload import Secret, UnreadablePayloadError, parse
from tunehook.providers.results import Origin, unwrapped
from tunehook.providers.submission_answers import SubmissionAnswer

MAX_RETRY_AFTER_S = 300.0

_THROTTLED = frozenset({405, 429, 430})  # row 4: resellers use the other two for limits
_MANY_UNKNOWN = frozenset({400, 404, 405, 501})


@dataclass(frozen=True, slots=True)
class Request:
    """A request to a provider: a percent-encoded path below its base URL, and a body that is sent as JSON.

    `headers` go beside those that every request has.
    """

    method: Literal["GET", "POST"]
    path: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> bytes | None:
        return None if self.body is None else json.dumps(self.body).encode()


@dataclass(frozen=True, slots=True)
class Answer:
    """A provider's response: header names in lower case, the body decompressed, `received_at` in UTC.

    `secret` is the API key, and what else is to be redacted where the provider quotes it; links may be relative to
    `base_url`.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    secret: Secret = field(default="", repr=False)
    base_url: str = ""

    @property
    def origin(self) -> Origin:
        return Origin(self.base_url, self.received_at)

    @property
    def retry_after_s(self) -> float | None:
        """How long its `Retry-After` asks to wait, in seconds, 300 at most."""
        wait_s = retry_after_s(self.headers.get("retry-after"), self.received_at)
        return None if wait_s is None else min(wait_s, MAX_RETRY_AFTER_S)


@dataclass(frozen=True, slots=True)
class Follow:
    """By its status the task has ended well; what it made stands in the answer to another request, which `read` reads.

    `request` makes it of the task's id. Its answer is an end, or a trouble: then the task is asked again from the
    start.
    """

    request: Callable[[str], Request]
    read: Callable[[Answer], Outcome]


@dataclass(frozen=True, slots=True)
class Screening:
    """One page of a query-many answer: outcomes by task id, None where it takes a single poll to know."""

    found: Mapping[str, Outcome | None]
    last: bool = True


@dataclass(frozen=True, slots=True)
class ManyUnknown:
    """The gateway does not know query-many, or it is a limit (row 4): then a single poll is refused as well."""

    may_be_limit: bool = False


def encoded_id(task_id: str) -> str:
    """Return a task id as one segment of a path, which it can neither leave nor end.

    Raise `ValueError` if it is empty, ``.`` or ``..`` (which URLs resolve), or has a lone surrogate.
    """
    if task_id in ("", ".", ".."):
        raise ValueError("not a path segment")
    return quote(task_id, safe="")


class Adapter(ABC):
    """A kind of provider. One instance a kind; it holds no state.

    One query-many reads `ids_per_call` tasks, None where the kind has none. Tasks are polled at `pace` with query-many,
    and at `pace_one_by_one` without. `actions` are the paths of its submissions by what they ask for, empty where none
    is known; `callback_field` is where their bodies have the URL of a callback, None where the kind documents none, and
    `callback_required` whether the provider refuses a body without one. What `payloads` names of JSON can tell of a
    task.
    """

    kind: ClassVar[str]
    ids_per_call: int | None = None
    pace: ClassVar[Pace] = DIRECT
    pace_one_by_one: ClassVar[Pace] = DIRECT
    actions: Mapping[str, str] = MappingProxyType({})
    callback_field: ClassVar[str | None] = None
    callback_required: ClassVar[bool] = False
    payloads: ClassVar[tuple[type, ...]] = (dict,)

    @abstractmethod
    def request(self, task_id: str) -> Request:
        """Return the request for one task; ValueError if no path can carry the id."""

    @abstractmethod
    def read_payload(self, answer: Answer, payload: Mapping[str, Any]) -> Outcome | Follow | None:
        """Return what the JSON object of an answer means; None when it lacks the envelope."""

    @abstractmethod
    def has_envelope(self, payload: Mapping[str, Any]) -> bool:
        """Return whether a JSON object is this kind's envelope, be it of success or of an error."""

    def many_request(self, task_ids: Sequence[str], page: int, /) -> Request:
        """Return the request for many tasks; `page` counts from 1."""
        raise NotImplementedError(f"{self.kind} has no query-many")

    def read_many_payload(self, answer: Answer, payload: Mapping[str, Any]) -> Screening | Outcome | None:
        """Return what the JSON object of a query-many answer means; None when it lacks the envelope."""
        raise NotImplementedError(f"{self.kind} has no query-many")

    def key_headers(self, api_key: str) -> Mapping[str, str]:
        """Return the headers by which the provider knows the key."""
        return {"authorization": f"Bearer {api_key}"}

    def key_query(self, _api_key: str, /) -> str:
        """Return what stands of the key in the query of each request, percent-encoded; empty where nothing does."""
        return ""

    def wants_callback(self, body: Mapping[str, Any]) -> bool:
        """Return whether a submission with this body takes the URL of a callback, and has none yet."""
        return self.callback_field is not None and body.get(self.callback_field) in (None, "")

    def with_callback(self, body: Mapping[str, Any], url: str, _secret: str | None, /) -> Mapping[str, Any]:
        """Return a body that wants a callback with its URL, and with the secret if it is shown in the clear."""
        return body if self.callback_field is None else {**body, self.callback_field: url}

    def callback_ids(self, _payload: Any, /) -> tuple[str, ...]:
        """Return the ids of tasks in the JSON of a callback, where the kind has a place of its own for them."""
        return ()

    def submission(
        self,
        action: str,
        body: Mapping[str, Any],
        callback_url: str | None = None,
        callback_secret: str | None = None,
    ) -> Request:
        """Return the request that submits a task with the provider's own `body`.

        The callback URL is put in where the kind has a field for it and the body does not give another one; so is the
        `callback_secret`, which the provider is to show, where it takes one with each body. Raise `InvalidInput` for an
        `action` that the kind does not know.
        """
        if not self.actions:
            raise InvalidInput(
                "provider", f"is of the kind {self.kind}, through which nothing can be submitted"
            )
        if action not in self.actions:
            raise InvalidInput("action", f"must be one of {', '.join(sorted(self.actions))}")
        if callback_url is not None and self.wants_callback(body):
            body = self.with_callback(body, callback_url, callback_secret)
        return Request("POST", self.actions[action], body)

    def accepts(self, answer: Answer, payload: Mapping[str, Any], /) -> bool | None:
        """Return whether the envelope of an answer to a submission says yes or no; None when there is none."""
        raise NotImplementedError(f"{self.kind} has no submissions")

    def submitted_id(self, _payload: Any, /) -> str | None:
        """Return the id of the new task in the JSON of an answer, where the kind has a place of its own for it."""
        return None

    def read_submission(self, answer: Answer) -> SubmissionAnswer:
        """Turn any answer to a submission into what it says of the new task. Raises nothing."""
        payload = parsed(answer)
        return submission_answers.read(
            answer.status,
            answer.body,
            payload,
            accepted=self.accepts(answer, payload) if isinstance(payload, dict) else None,
            own_id=None if isinstance(payload, UnreadablePayloadError) else self.submitted_id(payload),
            content_type=answer.headers.get("content-type", ""),
            secret=answer.secret,
        )

    def read(self, answer: Answer) -> Outcome | Follow:
        """Turn any answer at all into exactly one outcome, or into the request that tells it. Raises nothing."""
        payload = parsed(answer)
        outcome = self.read_payload(answer, payload) if type(payload) in self.payloads else None
        if outcome is not None:
            return outcome
        is_own = isinstance(payload, dict) and in_front(answer, payload) is None
        if is_own and answer.status < 500 and refusals.says_not_found(payload):
            return NotFound(refusals.described(answer.status, payload))
        return trouble(answer, payload)

    def read_many(self, answer: Answer) -> Screening | ManyUnknown | Trouble:
        """Turn any answer to a query-many into what it says or what is the matter. Raises nothing."""
        payload = parsed(answer)
        is_object = isinstance(payload, dict)
        outcome = self.read_many_payload(answer, payload) if type(payload) in self.payloads else None
        if isinstance(outcome, Screening | Throttled | Unauthorised | Transient):
            return outcome
        if answer.status not in _MANY_UNKNOWN or (is_object and self.has_envelope(payload)):
            return trouble(answer, payload)
        shield = in_front(answer, payload)
        if shield is not None and (is_object or bars(answer.status, answer.headers, answer.body)):
            return trouble(answer, payload)  # it says nothing of the gateway
        if answer.status != 405:
            return ManyUnknown()
        if "retry-after" in answer.headers or (is_object and refusals.says_too_often(payload)):
            return Throttled(answer.retry_after_s, detail=refusals.described(405, payload))
        # What HTTP means by a 405: that the path takes no such method.
        is_page = page(405, answer.headers, answer.body) is not None
        denies_method = (
            "allow" in answer.headers or is_page or (is_object and refusals.says_no_such_path(payload))
        )
        return ManyUnknown(may_be_limit=not denies_method)


def parsed(answer: Answer) -> Any:
    """Return the JSON of an answer, or the `UnreadablePayloadError` of one that has none."""
    try:
        return unwrapped(parse(answer.body, answer.secret, answer.headers.get("content-type", "")))
    except UnreadablePayloadError as error:
        return error


def in_front(answer: Answer, payload: Any) -> str | None:
    """Describe whoever answered in front of the gateway; None where it may be the gateway's own answer."""
    if isinstance(payload, dict) and not any(name in answer.headers for name in CHALLENGE_HEADERS):
        return object_in_front(answer.status, answer.headers, payload)
    return page(answer.status, answer.headers, answer.body, answer.secret)


def trouble(answer: Answer, payload: Any, unread: str = "not the expected envelope") -> Trouble:
    """Return what is wrong with the provider, by an answer that says nothing of a task.

    `unread` is what is said of one that seems to be in order.
    """
    status = answer.status
    if (shield := in_front(answer, payload)) is not None:
        detail = f"HTTP {status}: {shield}"
        return Throttled(answer.retry_after_s, detail=detail) if status in (429, 430) else Transient(detail)
    error = payload if isinstance(payload, dict) else {}
    detail = refusals.described(status, error)
    own = refusals.own_status(error) if 200 <= status < 300 else None
    code = own or status
    if code == 403 and payload is not error:
        who = "not in the gateway's own form; a firewall or a proxy in front of it may say so"
        return Transient(f"{detail}: {who}")
    is_limit = code == 403 and refusals.says_too_often(error)
    if not is_limit and (refused := refusals.refusal(code, error, detail)) is not None:
        return refused
    if is_limit or code in _THROTTLED:
        return Throttled(answer.retry_after_s, detail=detail)
    if own or not 200 <= status < 300:
        return Transient(detail)
    is_unreadable = isinstance(payload, UnreadablePayloadError)
    return Transient(f"{detail}: {payload}" if is_unreadable else f"{detail} ({unread})")
