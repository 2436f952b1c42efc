"""What a kind of provider has to say: how to ask, and what an answer means. No I/O happens here."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import quote

from tunehook.cadence import DIRECT, Pace
from tunehook.http.retry_after import retry_after_s
from tunehook.providers.outcomes import NotFound, Outcome, Throttled, Transient, Trouble, Unauthorised
from tunehook.providers.pages import CHALLENGE_HEADERS, bars, object_in_front, page
from tunehook.providers.payload import UnreadablePayloadError, parse
from tunehook.providers.refusals import (
    described,
    own_status,
    refusal,
    says_no_such_path,
    says_not_found,
    says_too_often,
)
from tunehook.providers.results import Origin, unwrapped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_RETRY_AFTER_S = 300.0

_THROTTLED = frozenset({405, 429, 430})  # row 4: resellers use the other two for limits
_MANY_UNKNOWN = frozenset({400, 404, 405, 501})


@dataclass(frozen=True, slots=True)
class Request:
    """A question to a provider.

    Parameters
    ----------
    method : {"GET", "POST"}
    path : str
        Percent-encoded, from the slash that follows the base URL.
    body : mapping or None
        Sent as JSON.
    """

    method: Literal["GET", "POST"]
    path: str
    body: Mapping[str, Any] | None = None

    def content(self) -> bytes | None:
        """Return the body's bytes, if there is one."""
        return None if self.body is None else json.dumps(self.body).encode()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Parameters
    ----------
    status : int
    headers : mapping
        Names in lower case.
    body : bytes
        Decompressed.
    received_at : datetime
        In UTC; a `Retry-After` date counts from here.
    secret : str
        The API key, so that it can be blotted out where the provider quotes it.
    base_url : str
        The provider's, which relative links are relative to.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    secret: str = field(default="", repr=False)
    base_url: str = ""

    @property
    def origin(self) -> Origin:
        """Where it comes from."""
        return Origin(self.base_url, self.received_at)


@dataclass(frozen=True, slots=True)
class Screening:
    """What one query-many answer says.

    Parameters
    ----------
    found : mapping of str to Outcome or None
        Each task in the answer by its id; None when only a single query can tell its outcome.
    last : bool
        Whether there is no further page to ask for.
    """

    found: Mapping[str, Outcome | None]
    last: bool = True


@dataclass(frozen=True, slots=True)
class ManyUnknown:
    """The gateway does not know query-many.

    Parameters
    ----------
    may_be_limit : bool
        Whether the answer may be a limit instead (row 4): then a single question is refused as well.
    """

    may_be_limit: bool = False


def encoded_id(task_id: str) -> str:
    """Return a task id as one segment of a path, which it can neither leave nor end.

    Raises
    ------
    ValueError
        If no path can carry it: it is empty, ``.`` or ``..`` (which URLs resolve), or has a lone surrogate.
    """
    if task_id in ("", ".", ".."):
        raise ValueError("not a path segment")
    return quote(task_id, safe="")


class Adapter(ABC):
    """A kind of provider. One instance a kind; it holds no state.

    Attributes
    ----------
    kind : str
        The name of the kind in a provider's configuration.
    ids_per_call : int or None
        How many tasks one query-many round screens; None when the kind has no query-many.
    pace, pace_one_by_one : Pace
        How often a task is asked about, with query-many and where that is not known.
    """

    kind: ClassVar[str]
    ids_per_call: ClassVar[int | None] = None
    pace: ClassVar[Pace] = DIRECT
    pace_one_by_one: ClassVar[Pace] = DIRECT

    @abstractmethod
    def request(self, task_id: str) -> Request:
        """Return the question about one task.

        Raises
        ------
        ValueError
            If no path can carry the id.
        """

    @abstractmethod
    def read_payload(self, answer: Answer, payload: Mapping[str, Any]) -> Outcome | None:
        """Return what the JSON object of an answer means; None when it lacks the envelope."""

    @abstractmethod
    def has_envelope(self, payload: Mapping[str, Any]) -> bool:
        """Return whether a JSON object is this kind's envelope, be it of success or of an error."""

    def many_request(self, task_ids: Sequence[str], page: int, /) -> Request:
        """Return the question about many tasks; `page` counts from 1."""
        raise NotImplementedError(f"{self.kind} has no query-many")

    def read_many_payload(self, answer: Answer, payload: Mapping[str, Any]) -> Screening | Outcome | None:
        """Return what the JSON object of a query-many answer means; None when it lacks the envelope."""
        raise NotImplementedError(f"{self.kind} has no query-many")

    def read(self, answer: Answer) -> Outcome:
        """Turn any answer at all into exactly one outcome. Raises nothing."""
        payload = _parsed(answer)
        outcome = self.read_payload(answer, payload) if isinstance(payload, dict) else None
        return outcome or _not_of_a_task(answer, payload, may_name_task=True)

    def read_many(self, answer: Answer) -> Screening | ManyUnknown | Trouble:
        """Turn any answer to a query-many into what it says or what is the matter. Raises nothing."""
        payload = _parsed(answer)
        known = isinstance(payload, dict) and self.has_envelope(payload)
        outcome = self.read_many_payload(answer, payload) if isinstance(payload, dict) else None
        if isinstance(outcome, Screening | Throttled | Unauthorised | Transient):
            return outcome
        if answer.status in _MANY_UNKNOWN and not known and not _is_of_another(answer, payload):
            if answer.status == 405 and _asks_to_wait(answer, payload):
                return Throttled(_retry_after_s(answer), detail=described(405, payload))
            return ManyUnknown(may_be_limit=answer.status == 405 and not _denies_method(answer, payload))
        trouble = _not_of_a_task(answer, payload, may_name_task=False)
        assert not isinstance(trouble, NotFound)
        return trouble


def _parsed(answer: Answer) -> Any:
    try:
        value = parse(answer.body, answer.secret, answer.headers.get("content-type", ""))
        return unwrapped(value) if isinstance(value, str) else value
    except UnreadablePayloadError as error:
        return error


def _is_of_another(answer: Answer, payload: Any) -> bool:
    """Return whether something in front of the gateway answers that challenges or bars, and so says nothing of it."""
    if any(name in answer.headers for name in CHALLENGE_HEADERS):
        return True
    if isinstance(payload, dict):
        return object_in_front(answer.status, answer.headers, payload) is not None
    return bars(answer.status, answer.headers, answer.body)


def _asks_to_wait(answer: Answer, payload: Any) -> bool:
    return "retry-after" in answer.headers or (isinstance(payload, dict) and says_too_often(payload))


def _denies_method(answer: Answer, payload: Any) -> bool:
    """Return whether a 405 says what HTTP means by it: that the path takes no such method."""
    if "allow" in answer.headers or page(405, answer.headers, answer.body) is not None:
        return True
    return isinstance(payload, dict) and says_no_such_path(payload)


def _not_of_a_task(answer: Answer, payload: Any, *, may_name_task: bool) -> Trouble | NotFound:
    """Say what is the matter with an answer that tells nothing of a task, and who says so."""
    if isinstance(payload, dict) and not any(name in answer.headers for name in CHALLENGE_HEADERS):
        if (shown := object_in_front(answer.status, answer.headers, payload)) is not None:
            return _in_front(answer, shown)
        return _error_of_gateway(answer, payload, may_name_task=may_name_task)
    if (shown := page(answer.status, answer.headers, answer.body, answer.secret)) is not None:
        return _in_front(answer, shown)
    return _wordless(answer, payload)


def _in_front(answer: Answer, shown: str) -> Trouble:
    what = f"HTTP {answer.status}: {shown}"
    return Throttled(_retry_after_s(answer), detail=what) if answer.status in (429, 430) else Transient(what)


def _error_of_gateway(
    answer: Answer, payload: Mapping[str, Any], *, may_name_task: bool
) -> Trouble | NotFound:
    status = answer.status
    if may_name_task and status < 500 and says_not_found(payload):
        return NotFound(described(status, payload))
    said = own_status(payload) if 200 <= status < 300 else None
    what = described(status, payload)
    if (said or status) == 403 and says_too_often(payload):
        return Throttled(_retry_after_s(answer), detail=what)
    if (refused := refusal(said or status, payload, what)) is not None:
        return refused
    if (said or status) in _THROTTLED:
        return Throttled(_retry_after_s(answer), detail=what)
    return Transient(what if said or not 200 <= status < 300 else f"{what} (not the expected envelope)")


def _wordless(answer: Answer, payload: Any) -> Trouble:
    status = answer.status
    if status in _THROTTLED:
        return Throttled(_retry_after_s(answer), detail=f"HTTP {status}")
    if status == 401:
        return Unauthorised("HTTP 401")
    if status == 402:
        return Unauthorised("no credit left: HTTP 402", "credit")
    if status == 403:
        return Transient(
            "HTTP 403: not in the gateway's own form; a firewall or a proxy in front of it may say so"
        )
    if not 200 <= status < 300:
        return Transient(f"HTTP {status}")
    if isinstance(payload, UnreadablePayloadError):
        return Transient(f"HTTP {status}: {payload}")
    return Transient(f"HTTP {status} (not the expected envelope)")


def _retry_after_s(answer: Answer) -> float | None:
    wait_s = retry_after_s(answer.headers.get("retry-after"), answer.received_at)
    return None if wait_s is None else min(wait_s, MAX_RETRY_AFTER_S)
