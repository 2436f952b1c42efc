"""The task model: what a user may ask for, the states of a task, and the rules that a new task must meet."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal
from enum import StrEnum
from typing import Any, Final

from tunehook.clips import Clip
from tunehook.errors import InvalidInput
from tunehook.http.guard import NetworkPolicy, check_url
from tunehook.validation import choice_in, text_in

TASK_ID_MAX_LENGTH: Final = 256
PROVIDER_MAX_LENGTH: Final = 64
METADATA_MAX_BYTES: Final = 2048
ITEM_MAX_BYTES: Final = 40_000
"""Of a new item: DynamoDB takes 400 kB, and the result is stored beside what the user wrote."""

TIMEOUT_MIN_S: Final = 60
TIMEOUT_MAX_S: Final = 7 * 24 * 3600
TIMEOUT_DEFAULT_S: Final = 3600
ENDED_KEPT_S: Final = 90 * 24 * 3600

USER_FIELDS: Final = ("notify_hook", "notify_format", "metadata", "timeout_s")
"""What a user may write beside the key."""

_PROVIDER_NAME = re.compile(rf"[A-Za-z0-9._-]{{1,{PROVIDER_MAX_LENGTH}}}")
_PATH_MAX_LENGTH: Final = 256
"""The names in a path are the user's, and an error is kept on the item."""


class Status(StrEnum):
    """The status of a task. A cancelled one has ended too, but no event tells of it."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


class Format(StrEnum):
    """How the body of a webhook looks (`docs/webhook-contract.md`, "The request")."""

    STANDARD = "standard"
    PROVIDER = "provider"
    CLOUDEVENTS = "cloudevents"


class FailureCode(StrEnum):
    """Why a task ended without being completed."""

    INVALID = "invalid"
    PROVIDER_FAILED = "provider_failed"
    NOT_FOUND = "not_found"
    COMPLETED_WITHOUT_RESULTS = "completed_without_results"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, slots=True)
class TaskKey:
    """The key of a task: its id at the provider, and the provider's name in this deployment."""

    task_id: str
    provider: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task failed, for programs (`code`) and for people (`reason`)."""

    code: FailureCode
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRequest:
    """What a user asks for, checked."""

    key: TaskKey
    timeout_s: int = TIMEOUT_DEFAULT_S
    notify_hook: str | None = None
    notify_format: Format = Format.STANDARD
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Polls of a task in a row that came to nothing.

    `kind` is what the last one met, without details: the same trouble met again has the same kind. `count` is how many
    there were, as far as that matters, and `since_ms` when the first was; once the task's `last_error` names one kind
    (`told`), how many of another kind. A few polls are counted in memory only, and not `is_kept` on the item.
    """

    kind: str
    count: int
    since_ms: int
    told: str | None = None
    is_kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """Answers in a row by which a task seems to have failed, though no status says so.

    `evidence` is that of `tunehook.providers.outcomes.SeemsFailed`; `since_ms` and `at_ms` are when the first and
    the last of `count` answers came, in milliseconds since 1970.
    """

    evidence: str
    count: int
    since_ms: int
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressTold:
    """What was told last of the progress of a pending task's run: the `number`-th time, at `at_ms`.

    `phase` is what was told, and `has_clip` whether a clip that can be streamed or played has been told of by then.
    """

    number: int
    at_ms: int
    phase: str
    has_clip: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """A task as the work index shows it: one that is being polled, or an ended one whose event is to be emitted.

    `since_ms` is when this run of the task was accepted and names the run; `submitted_at_ms` is when the provider
    took the task, as far as that is known; `streaming_since_ms` is when it was first seen completed with a clip that
    still streams. All are milliseconds since 1970.
    """

    key: TaskKey
    queue: str
    since_ms: int
    deadline_ms: int
    submitted_at_ms: int
    phase: str | None = None
    last_error: str | None = None
    not_found_count: int = 0
    empty_count: int = 0
    streaming_since_ms: int | None = None
    suspicion: Suspicion | None = None
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What there is to do on the tasks of a shard, each list oldest first.

    `pending` tasks are to be polled. Those in `event_pending` have ended, and their event is not known to be on the
    bus. Nothing can be done about `unreadable` ones: attributes that are tunehook's own hold what it never writes.
    """

    pending: list[WorkItem] = field(default_factory=list)
    event_pending: list[WorkItem] = field(default_factory=list)
    unreadable: list[TaskKey] = field(default_factory=list)

    @property
    def seen_until_ms(self) -> int:
        """The latest `since_ms` of all, or 0."""
        return max((task.since_ms for task in (*self.pending, *self.event_pending)), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEnd:
    """How a run of a task ended."""

    status: Status
    detected_at_ms: int
    submitted_at_ms: int
    finished_at_ms: int | None = None
    failure: Failure | None = None
    clips: tuple[Clip, ...] = ()
    provider_object: str | None = None
    truncated: bool = False

    @property
    def detection_delay_ms(self) -> int | None:
        """How long after its end the task was found ended; None where the provider does not say when that was."""
        return None if self.finished_at_ms is None else self.detected_at_ms - self.finished_at_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedTask:
    """A run of a task that has ended, with all that its event says."""

    key: TaskKey
    queue: str
    since_ms: int
    end: TaskEnd
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedRun:
    """An ended run of a task as the index of ended ones shows it; `event_id` names the run's event."""

    key: TaskKey
    status: Status
    event_id: str
    detected_at_ms: int


def work_queue(shard: int) -> str:
    """Return the partition of the work index that holds the tasks of `shard` on which there is work to do."""
    return f"work#{shard}"


def check_request(item: Mapping[str, Any], policy: NetworkPolicy) -> TaskRequest:
    """Check what a user put into the Tasks table, or raise `InvalidInput` for the first field that is not acceptable.

    The item has plain Python values. An attribute that is NULL counts as not given. Those that are not the user's are
    ignored, unless their name is almost one of `USER_FIELDS`: that is a slip, and would be silent.
    """
    task_id = text_in(item, "task_id")
    has_controls = any(unicodedata.category(char)[0] == "C" for char in task_id)
    if not task_id or task_id != task_id.strip() or has_controls:
        raise InvalidInput(
            "task_id", "must not be blank, begin or end with space, or hold control characters"
        )
    if len(task_id) > TASK_ID_MAX_LENGTH:
        raise InvalidInput("task_id", f"is longer than {TASK_ID_MAX_LENGTH} characters")
    provider = text_in(item, "provider")
    if not _PROVIDER_NAME.fullmatch(provider):
        raise InvalidInput("provider", "must be 1 to 64 letters, digits, dots, underscores or hyphens")
    _check_names(item)
    timeout_s = TIMEOUT_DEFAULT_S if (given := item.get("timeout_s")) is None else given
    if not isinstance(timeout_s, int | Decimal) or isinstance(timeout_s, bool) or timeout_s != int(timeout_s):
        raise InvalidInput("timeout_s", "must be a whole number of seconds")
    if not TIMEOUT_MIN_S <= timeout_s <= TIMEOUT_MAX_S:
        raise InvalidInput("timeout_s", f"must lie between {TIMEOUT_MIN_S} and {TIMEOUT_MAX_S}")
    notify_hook = None
    # A form whose field was left empty means none.
    if item.get("notify_hook") not in (None, ""):
        notify_hook = text_in(item, "notify_hook")
        check_url(notify_hook, policy, field="notify_hook")
    request = TaskRequest(
        key=TaskKey(task_id, provider),
        timeout_s=int(timeout_s),
        notify_hook=notify_hook,
        notify_format=choice_in(item, "notify_format", Format.STANDARD),
        metadata=check_metadata(item.get("metadata")),
    )
    if (size := _size(item)) > ITEM_MAX_BYTES:
        problem = f"is {size} bytes, more than {ITEM_MAX_BYTES}: its result would not fit beside"
        raise InvalidInput("item", problem)
    return request


def _check_names(item: Mapping[str, Any]) -> None:
    for name in sorted(item.keys() - {"task_id", "provider", *USER_FIELDS}):
        from difflib import get_close_matches  # most items have no other attribute

        if meant := get_close_matches(_letters(name), _FIELDS_BY_LETTERS, cutoff=_ALMOST):
            raise InvalidInput(
                name, f"is no attribute of a task: did you mean {_FIELDS_BY_LETTERS[meant[0]]}?"
            )


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name[:_PATH_MAX_LENGTH].lower())


_FIELDS_BY_LETTERS: Final = {_letters(name): name for name in USER_FIELDS}
_ALMOST: Final = 0.9
"""The share of letters that agree: of ten, one may be missing."""


def _size(value: object) -> int:
    """Return how much of DynamoDB's limit a value takes: a text's bytes, and at most 21 for a number."""
    match value:
        case str():
            return len(value.encode("utf-8", "surrogatepass"))
        case bytes():
            return len(value)
        case Mapping():
            return 3 + sum(1 + _size(name) + _size(each) for name, each in value.items())
        case list() | tuple() | set() | frozenset():
            return 3 + sum(1 + _size(each) for each in value)
    return 21


def check_metadata(value: object) -> dict[str, Any]:
    """Return the metadata of a task as plain JSON values; None is empty.

    Raise `InvalidInput` if it is no map, has no form in JSON or UTF-8, or takes more than `METADATA_MAX_BYTES`.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput("metadata", "must be a map")
    plain = plain_json(value, "metadata")
    try:
        size = len(json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode())
    except UnicodeEncodeError:
        raise InvalidInput("metadata", "holds half a surrogate pair, which no text may") from None
    if size > METADATA_MAX_BYTES:
        raise InvalidInput("metadata", f"is {size} bytes of JSON, more than {METADATA_MAX_BYTES}")
    return dict(plain)


def check_storable(value: object, path: str, depth: int = 1) -> None:
    """Raise `InvalidInput` for a JSON value below `path` that DynamoDB refuses.

    It takes numbers of 38 digits, from 1e-130 to below 1e126, no name of no letters, and 32 levels of maps and lists.
    """
    match value:
        case bool() | None | str():
            return
        case int() | float():
            digits = Decimal(repr(value)).normalize(_WIDE)
            is_small = digits == 0 or -130 <= digits.adjusted() <= 125
            if not is_small or len(digits.as_tuple().digits) > _DIGITS_MAX:
                raise InvalidInput(path[:_PATH_MAX_LENGTH], "is no number of 38 digits below 1e126")
        case Mapping() | list() | tuple():
            if depth > _LEVELS_MAX:
                raise InvalidInput(path[:_PATH_MAX_LENGTH], f"is nested deeper than {_LEVELS_MAX} levels")
            named = value.items() if isinstance(value, Mapping) else enumerate(value)
            for name, each in named:
                if name == "":
                    raise InvalidInput(path[:_PATH_MAX_LENGTH], "has an attribute without a name")
                below = f"{path}.{name}" if isinstance(value, Mapping) else f"{path}[{name}]"
                check_storable(each, below, depth + 1)


_DIGITS_MAX: Final = 38
_LEVELS_MAX: Final = 30
_WIDE: Final = Context(prec=5000)


def plain_json(value: object, path: str) -> Any:
    """Return `value` with DynamoDB's decimals as int or float.

    Raise `InvalidInput` if a value below `path` has no form in JSON (bytes, a set, a number beyond a float's range).
    """
    match value:
        case None | bool() | str() | int():
            return value
        case Decimal() | float():
            return int(value) if value == value.__class__(int(value)) else float(value)
        case Mapping():
            return {str(key): plain_json(each, f"{path}.{key}") for key, each in value.items()}
        case list() | tuple():
            return [plain_json(each, f"{path}[{index}]") for index, each in enumerate(value)]
    raise InvalidInput(path[:_PATH_MAX_LENGTH], "has no form in JSON")
