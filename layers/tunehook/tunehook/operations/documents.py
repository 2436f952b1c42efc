"""The public JSON documents: of tasks, files, deliveries, subscriptions, providers, keys, dead letters, the status.

Every field is always there: a default is filled in, and what is not known or was not read is null. Moments are ISO-8601
in UTC with milliseconds; a bare number with a unit in its name (``duration_ms``) is a length. Users edit items by hand:
an attribute that cannot be read is null, and ``unreadable`` names it as the table does. No secret is in a document, but
a ``signing_secret`` where telling it is the command's job.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final, Self, TypeAlias, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from tunehook.schedules import MAX_TIMEOUT_S, WAITS_S
from tunehook.secret_versions import FIRST
from tunehook.signatures import SignatureScheme
from tunehook.subscriptions import ENDS
from tunehook.tasks import Format
from tunehook.times import from_ms, iso

if TYPE_CHECKING:
    from tunehook.api_keys import ApiKey
    from tunehook.deliveries import Delivery
    from tunehook.errors import InvalidInput
    from tunehook.events import ArchivedAsset
    from tunehook.operations.dead_letter_messages import DeadLetterMessage
    from tunehook.operations.deliveries import HeldBack, RequestNow
    from tunehook.operations.results import Link
    from tunehook.operations.submissions import ProviderSubmission
    from tunehook.operations.subscriptions import SigningSecret, SubscriptionView
    from tunehook.operations.task_view import TaskView
    from tunehook.operations.tasks import Submission
    from tunehook.providers.config import ProviderConfig
    from tunehook.secret_versions import SecretVersions
    from tunehook.tasks import TaskKey

MASKED: Final = "****"
"""What stands for a value that may be a secret."""

_LENGTHS: Final = ("duration_ms",)
"""The names of numbers of milliseconds that are no moments."""


def _moment(value: object) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("is no moment")
    try:
        return iso(from_ms(value))
    except OverflowError:
        raise ValueError("is no moment") from None


def _moment_of_seconds(value: object) -> str:
    return _moment(value * 1000 if isinstance(value, int) and not isinstance(value, bool) else value)


def _text(value: object) -> str:
    return str(value)


def _parsed(value: object) -> Any:
    if not isinstance(value, str):
        raise ValueError("is no text")
    try:
        return json.loads(value)
    except ValueError:
        return value


def _masked(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError("is no map")
    return dict.fromkeys(map(str, value), MASKED)


def _names(value: object) -> list[str]:
    if not isinstance(value, list | tuple | set | frozenset) or not all(isinstance(e, str) for e in value):
        raise ValueError("is no list of texts")
    return sorted(value) if isinstance(value, set | frozenset) else list(value)


def _pattern(value: object) -> Any:
    found = json.loads(value) if isinstance(value, str) else plain(value)
    if not isinstance(found, dict):
        raise ValueError("is no object")
    return found


def plain(value: object) -> Any:
    """Return the JSON form of anything that may stand in an item: bytes as base64, a set as a sorted list.

    >>> plain({"a": {2, 1}, "b": b"x"})
    {'a': [1, 2], 'b': 'eA=='}
    """
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case bytes() | bytearray():
            return base64.b64encode(value).decode("ascii")
        case Mapping():
            return {str(key): plain(each) for key, each in value.items()}
        case set() | frozenset():
            return [plain(each) for each in sorted(value, key=str)]
        case list() | tuple():
            return [plain(each) for each in value]
        case _:
            return value


Moment: TypeAlias = Annotated[str | None, BeforeValidator(_moment)]
MomentOfSeconds: TypeAlias = Annotated[str | None, BeforeValidator(_moment_of_seconds)]
Text: TypeAlias = Annotated[str | None, BeforeValidator(_text)]
"""What is text in a document, of whatever type it is in an item."""

Names: TypeAlias = Annotated[list[str] | None, BeforeValidator(_names)]
Plain: TypeAlias = Annotated[Any, BeforeValidator(plain)]
Parsed: TypeAlias = Annotated[Any, BeforeValidator(_parsed)]
"""JSON that an item holds as text; what is none is that text."""


class _Reading:
    """The names of what could not be read, with those of what it lies in: ``clips.title``."""

    def __init__(self) -> None:
        self._path: list[str] = []
        self.unreadable: dict[str, None] = {}

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        self._path.append(name)
        try:
            yield
        finally:
            self._path.pop()

    def note(self) -> None:
        self.unreadable[".".join(self._path)] = None


class Document(BaseModel):
    """A public document; `to_json` is what is printed. A field's alias is the attribute that it is read from."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, defer_build=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _null_if_unreadable(cls, value: object, read: Any, info: ValidationInfo) -> object:
        name = str(info.field_name)
        field = cls.model_fields[name]
        # NULL counts as not given.
        if value is None:
            return field.get_default(call_default_factory=True)
        reading = cast("_Reading", info.context)
        with reading.within(field.alias or name):
            try:
                return read(value)
            except ValidationError:
                reading.note()
                return None

    @classmethod
    def read(cls, attributes: Mapping[str, Any]) -> Self:
        """Return the document of these attributes, whatever they hold.

        >>> TaskDocument.read({"task_id": "t", "provider": "suno", "submitted_at_ms": "now"}).unreadable
        ['submitted_at_ms']
        """
        reading = _Reading()
        document = cls.model_validate(dict(attributes), context=reading)
        if "unreadable" not in cls.model_fields:
            return document
        return document.model_copy(update={"unreadable": list(reading.unreadable)})

    def to_json(self) -> dict[str, Any]:
        """Return the document as JSON values, with every field.

        >>> AttemptDocument.read({"run": 1, "attempt": 1, "at_ms": 0, "duration_ms": 5}).to_json()["at"]
        '1970-01-01T00:00:00.000Z'
        """
        return self.model_dump(mode="json")


def _documents(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError("is no list")
    maps = [each for each in value if isinstance(each, Mapping)]
    if len(maps) < len(value):
        cast("_Reading", info.context).note()
    return maps


class FailureDocument(Document):
    """Why a task failed: `code` for programs, `reason` for people."""

    code: Text = None
    reason: Text = None


class ClipDocument(Document):
    """A clip of a task, with the provider's own links, which die within days."""

    clip_id: Text = None
    title: str | None = None
    tags: Names = Field(default_factory=list)
    prompt: str | None = None
    duration_s: float | None = None
    model: str | None = None
    created_at: Moment = Field(None, alias="created_at_ms")
    expires_at: Moment = Field(None, alias="expires_at_ms")
    audio_url: str | None = None
    audio_source_url: str | None = None
    cover_url: str | None = None
    cover_source_url: str | None = None
    large_cover_url: str | None = None
    video_url: str | None = None
    stream_url: str | None = None
    stream_source_url: str | None = None
    text: str | None = None
    inline: Names = Field(default_factory=list)
    image_url: str | None = None
    file_url: str | None = None
    is_output: bool | None = False


class AssetDocument(Document):
    """A file of a task; `url` and `url_expires_at` where links were made, `path` where it was downloaded."""

    clip_id: Text = None
    title: str | None = None
    type: Text = None
    status: str | None = None
    key: str | None = None
    content_type: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    remark: str | None = None
    reason: Text = None
    source_url: str | None = None
    url: str | None = None
    url_expires_at: Moment = Field(None, alias="url_expires_at_ms")
    path: str | None = None


class AttemptDocument(Document):
    """One attempt of a delivery."""

    run: int | None = None
    attempt: int | None = None
    at: Moment = Field(None, alias="at_ms")
    duration_ms: int | None = None
    status_code: int | None = None
    error: str | None = None
    detail: str | None = None
    excerpt: str | None = None


Attempts: TypeAlias = Annotated[list[AttemptDocument] | None, BeforeValidator(_documents)]


class DeliveryDocument(Document):
    """A delivery and its attempts; `url` is that of a task's own hook.

    `held_back_until` is about when it is tried again where its receiver hangs. `rate_limit` is set while the next
    attempt waits, until `next_attempt_at`, for its subscription's limit of so many a second. `next_waits_s` are the
    waits after the next attempt and after each that follows it, by its schedule as it is now; null where no attempt is
    to come. `payload`, and `request` as it would be sent now, are null in a listing, and `next_waits_s` too.
    """

    delivery_id: str | None = None
    type: str | None = None
    event_id: str | None = None
    event_at: Moment = Field(None, alias="event_at_ms")
    task_id: str | None = None
    provider: str | None = None
    subscription_id: str | None = None
    url: str | None = None
    format: Text = Format.STANDARD.value
    status: Text = None
    reason: str | None = None
    created_at: Moment = Field(None, alias="created_at_ms")
    expires_at: MomentOfSeconds = None
    run: int | None = None
    next_attempt: int | None = None
    next_attempt_at: Moment = Field(None, alias="next_attempt_at_ms")
    held_back_until: Moment = Field(None, alias="held_back_until_ms")
    rate_limit: float | None = None
    next_waits_s: list[int] | None = None
    attempts: Attempts = Field(default_factory=list)
    payload: Parsed = None
    request: Plain = None
    unreadable: list[str] = Field(default_factory=list)


Clips: TypeAlias = Annotated[list[ClipDocument] | None, BeforeValidator(_documents)]
Assets: TypeAlias = Annotated[list[AssetDocument] | None, BeforeValidator(_documents)]


class TaskDocument(Document):
    """A task. A listing does not read `archive`, `clips`, `assets`, `provider_object` and `deliveries`: they are null.

    `status` is ``new`` until intake has seen it. `archive` is what webhooks say: ``complete``, ``partial``, ``empty``
    or ``pending``. `event_pending` is whether the event of its end is still to be emitted. A task that was `taken_in`
    was put by nobody yet: its provider called back about it.
    """

    task_id: str | None = None
    provider: str | None = None
    status: Text = "new"
    phase: str | None = None
    submitted_at: Moment = Field(None, alias="submitted_at_ms")
    deadline: Moment = Field(None, alias="deadline_ms")
    streaming_since: Moment = Field(None, alias="streaming_since_ms")
    finished_at: Moment = Field(None, alias="finished_at_ms")
    detected_at: Moment = Field(None, alias="detected_at_ms")
    archived_at: Moment = Field(None, alias="archived_at_ms")
    expires_at: MomentOfSeconds = None
    event_id: str | None = None
    event_pending: bool = False
    failure: FailureDocument | None = None
    error: str | None = None
    last_error: str | None = None
    timeout_s: int | None = None
    notify_hook: str | None = None
    notify_format: str | None = Format.STANDARD.value
    metadata: Plain = Field(default_factory=dict)
    archive: str | None = None
    truncated: bool | None = False
    taken_in: bool | None = False
    clips: Clips = None
    assets: Assets = None
    provider_object: Parsed = None
    deliveries: list[DeliveryDocument] | None = None
    unreadable: list[str] = Field(default_factory=list)


class SubmittedTaskDocument(TaskDocument):
    """A task that was just submitted, the status of the run that it replaced, and what signs its notify hook."""

    replaced_status: str | None = None
    signing_secret: str | None = None


class WatchedTaskDocument(TaskDocument):
    """A task as it is watched: its files and webhooks counted by status.

    `settled` is whether nothing more is to come, `done` whether what the watch waits for has come.
    """

    files: dict[str, int] | None = None
    webhooks: dict[str, int] = Field(default_factory=dict)
    settled: bool
    done: bool


class SubscriptionDocument(Document):
    """A subscription with its defaults; `error` is why it cannot be used as it stands, where `state` is ``unusable``.

    `providers` empty means all. `signature` is what it asks for; until `signature_both_until` both are sent.
    `max_per_second` is null where nothing limits its attempts.
    `secret_version` and `deliveries` are null in a listing: they are not read.
    """

    subscription_id: str | None = None
    state: str | None = None
    error: str | None = None
    url: str | None = None
    events: Names = Field(default_factory=lambda: [each.value for each in ENDS])
    providers: Names = Field(default_factory=list)
    format: str | None = Format.STANDARD.value
    enabled: bool | None = True
    headers: Annotated[dict[str, str] | None, BeforeValidator(_masked)] = Field(default_factory=dict)
    description: str | None = None
    signature: str | None = SignatureScheme.V1.value
    signature_both_until: Moment = Field(None, alias="signature_both_until_ms")
    retry_schedule: list[int] | None = Field(default_factory=lambda: list(WAITS_S))
    timeout_s: int | None = MAX_TIMEOUT_S
    max_per_second: float | None = None
    filter: Annotated[dict[str, Any] | None, BeforeValidator(_pattern)] = None
    disabled_reason: str | None = None
    failing_since: Moment = Field(None, alias="failing_since_ms")
    failing_warned: Moment = Field(None, alias="failing_warned_ms")
    secret_version: int | None = None
    previous_secret_until: Moment = Field(None, alias="previous_secret_until_ms")
    deliveries: list[DeliveryDocument] | None = None
    unreadable: list[str] = Field(default_factory=list)


class CreatedSubscriptionDocument(SubscriptionDocument):
    """A new subscription, with the secret that signs its webhooks, and the public key if it asks for Ed25519."""

    signing_secret: str | None = None
    public_key: str | None = None


class ProviderDocument(Document):
    """A provider without its key; `error` is why it cannot be used as it is configured: the rest is null then.

    `recipe` is the name of a bundled one, ``own`` for another, and `recipe_about` what it says it is about.
    """

    name: str
    usable: bool
    error: str | None = None
    kind: str | None = None
    recipe: str | None = None
    recipe_about: str | None = None
    base_url: str | None = None
    max_concurrency: int | None = None
    requests_per_second: float | None = None
    batch: bool | None = None
    callback_version: int | None = None
    callback_scheme: str | None = None


class KeyDocument(Document):
    """A key of the HTTP API, without what it is sent as; `state` is ``active``, ``expired`` or ``revoked``."""

    key_id: str
    name: str
    scope: str
    state: str
    created_at: Moment = Field(None, alias="created_at_ms")
    expires_at: Moment = Field(None, alias="expires_at_ms")
    last_used_at: Moment = Field(None, alias="last_used_at_ms")
    revoked_at: Moment = Field(None, alias="revoked_at_ms")


class DeadLetterDocument(Document):
    """A message of a dead-letter queue."""

    queue: Text = None
    message_id: str | None = None
    sent_at: Moment = Field(None, alias="sent_at_ms")
    about: str | None = None
    reason: str | None = None
    body: str | None = None


def task_document(task: TaskView, deliveries: Sequence[Delivery] = ()) -> TaskDocument:
    """Return the document of a task whose whole item was read, with its deliveries.

    >>> task_document(get_task(stack, "task-1")).archive
    'complete'
    """
    told = TaskDocument.read(_whole(task))
    titles = {clip.clip_id: clip.title for clip in told.clips or ()}
    assets = told.assets and [
        each.model_copy(update={"title": titles.get(each.clip_id)}) for each in told.assets
    ]
    made = [delivery_document(each) for each in deliveries]
    return told.model_copy(update={"assets": assets, "deliveries": made})


def listed_task_document(task: TaskView) -> TaskDocument:
    """Return the document of a task as a listing has it.

    >>> listed_task_document(get_task(stack, "task-1")).assets is None
    True
    """
    return TaskDocument.read(_listed(task))


def submitted_document(submission: Submission) -> SubmittedTaskDocument:
    """Return the document of a task that was just submitted."""
    told = {"replaced_status": submission.replaced_status, "signing_secret": submission.signing_secret}
    return SubmittedTaskDocument.read({**submission.item, **told})


def provider_submission_document(done: ProviderSubmission) -> dict[str, Any]:
    """Return what is told of a task that was submitted through tunehook: its document, and in it how that was done."""
    return submitted_document(done.submission).to_json() | {
        "submission": {
            "action": done.action,
            "submitted_at": iso(from_ms(done.submitted_at_ms)),
            "with_callback": done.with_callback,
        },
    }


def watched_document(
    key: TaskKey, task: TaskView | None, deliveries: Sequence[Delivery], *, settled: bool, done: bool
) -> WatchedTaskDocument:
    """Return the document of a task as it is watched; None for one that was deleted."""
    deleted = {"task_id": key.task_id, "provider": key.provider, "status": "deleted"}
    told = {
        "files": None if task is None else dict(Counter(each.status or "unknown" for each in task.assets)),
        "webhooks": dict(Counter(each.status.value for each in deliveries)),
        "settled": settled,
        "done": done,
    }
    return WatchedTaskDocument.read((deleted if task is None else _listed(task)) | told)


def _listed(task: TaskView) -> dict[str, Any]:
    item = {name: value for name, value in task.item.items() if name not in _UNLISTED}
    # What users write beside tunehook's attributes must not pass for what is made of them.
    return item | dict.fromkeys(_MADE) | {"event_pending": task.has_event and task.is_in_index}


def _whole(task: TaskView) -> dict[str, Any]:
    item = task.item
    whole = item | dict.fromkeys(_MADE) | {"event_pending": task.has_event and task.is_in_index}
    if task.has_event or task.is_archived:
        statuses = [each.status for each in task.assets]
        whole["archive"] = _archive(statuses) if task.is_archived else "pending"
    return whole | {name: [] if item.get(name) is None else item[name] for name in ("clips", "assets")}


_UNLISTED: Final = ("clips", "assets", "provider_object")
_MADE: Final = (
    "archive",
    "deliveries",
    "unreadable",
    "files",
    "webhooks",
    "settled",
    "done",
    "signing_secret",
)


def _archive(statuses: Sequence[str | None]) -> str:
    if not statuses:
        return "empty"
    return "complete" if all(status == "archived" for status in statuses) else "partial"


def asset_document(
    asset: ArchivedAsset, *, title: str | None = None, link: Link | None = None, path: str | None = None
) -> AssetDocument:
    """Return the document of a file of a task, with the title of its clip, a link and its place on this machine.

    >>> from tunehook.events import ArchivedAsset
    >>> asset_document(ArchivedAsset(clip_id="c", type="audio", status="archived"), title="Hi").title
    'Hi'
    """
    linked = {} if link is None else {"url": link.url, "url_expires_at_ms": link.expires_at_ms}
    return AssetDocument.read({**asset.model_dump(), "title": title, "path": path, **linked})


def delivery_document(
    delivery: Delivery,
    *,
    held: HeldBack | None = None,
    request: RequestNow | None = None,
    waits_s: Sequence[int] | None = None,
) -> DeliveryDocument:
    """Return the document of a delivery; that of one which a listing has read has no payload.

    >>> from tunehook.operations.deliveries import get_delivery
    >>> delivery_document(get_delivery(stack, "msg_1")).created_at
    '1970-01-01T00:00:00.001Z'
    """
    told = {
        "held_back_until_ms": None if held is None else held.until_ms,
        "request": None if request is None else request.model_dump(),
        "next_waits_s": None if waits_s is None else list(waits_s),
    }
    return DeliveryDocument.read(delivery.model_dump() | told)


def subscription_document(
    view: SubscriptionView,
    secret: SecretVersions | None = None,
    deliveries: Sequence[Delivery] | None = None,
    held: Mapping[str, HeldBack] | None = None,
) -> SubscriptionDocument:
    """Return the document of a subscription: which version of its secret signs, its latest deliveries.

    `held` has those that are held back, by their ids.

    >>> subscription_document(get_subscription(stack, "sub-1")).events
    ['task.completed', 'task.failed']
    """
    told = SubscriptionDocument.read(_subscribed(view, secret))
    if deliveries is None:
        return told
    waits = held or {}
    made = [delivery_document(each, held=waits.get(each.delivery_id)) for each in deliveries]
    return told.model_copy(update={"deliveries": made})


def created_subscription_document(
    view: SubscriptionView, signing: SigningSecret
) -> CreatedSubscriptionDocument:
    """Return the document of a subscription that was just made."""
    told = {"signing_secret": signing.signing_secret, "public_key": signing.public_key}
    return CreatedSubscriptionDocument.read(_subscribed(view, FIRST) | told)


def _subscribed(view: SubscriptionView, secret: SecretVersions | None) -> dict[str, Any]:
    # The versions on the item are only where the count began.
    versions: dict[str, int | None] = {"secret_version": None, "previous_secret_until_ms": None}
    if secret is not None:
        until_ms = secret.previous_until_ms or None
        versions = {"secret_version": secret.present, "previous_secret_until_ms": until_ms}
    error = None if view.error is None else str(view.error)
    events = view.item.get("events") or None
    told = {"state": view.state, "error": error, "events": events, "deliveries": None, "unreadable": None}
    return {**view.item, **versions, **told}


def provider_document(config: ProviderConfig) -> ProviderDocument:
    """Return the document of a provider that can be used.

    >>> provider_document(get_provider(stack, "suno")).max_concurrency
    32
    """
    fields = config.model_dump(mode="json", exclude={"api_key", "callback_secret", "recipe"})
    recipe = {"recipe": config.recipe_name, "recipe_about": config.recipe_about}
    return ProviderDocument.read(fields | recipe | {"usable": True})


def unusable_provider_document(name: str, error: InvalidInput) -> ProviderDocument:
    """Return the document of a provider that cannot be used as it is configured."""
    return ProviderDocument.read({"name": name, "usable": False, "error": str(error)})


def key_document(key: ApiKey, now_ms: int) -> KeyDocument:
    """Return the document of a key of the HTTP API as it is at a moment; its digest is in none."""
    texts = {"scope": key.scope.value, "state": key.state(now_ms).value}
    return KeyDocument.read({name: value for name, value in asdict(key).items() if name != "digest"} | texts)


def dead_letter_document(message: DeadLetterMessage) -> DeadLetterDocument:
    """Return the document of a dead letter."""
    return DeadLetterDocument.read(asdict(message))


def with_moments(value: object) -> Any:
    """Return JSON values with ``<name>_ms`` as the moment ``<name>``, but for lengths; one that is none is null.

    >>> with_moments({"oldest": {"since_ms": 0}, "duration_ms": 5})
    {'oldest': {'since': '1970-01-01T00:00:00.000Z'}, 'duration_ms': 5}
    """
    if isinstance(value, list | tuple):
        return [with_moments(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    told: dict[str, Any] = {}
    for name, each in value.items():
        if not name.endswith("_ms") or name in _LENGTHS:
            told[name] = with_moments(each)
            continue
        try:
            told[name.removesuffix("_ms")] = None if each is None else _moment(each)
        except ValueError:
            told[name.removesuffix("_ms")] = None
    return told


def document_of(value: object) -> object:
    """Return the public document of what an operation returned, if there is one; anything else as it is.

    >>> document_of(get_subscription(stack, "sub-1")).format
    'standard'
    """
    from tunehook.deliveries import Delivery
    from tunehook.events import ArchivedAsset
    from tunehook.operations.dead_letter_messages import DeadLetterMessage
    from tunehook.operations.subscriptions import SubscriptionView
    from tunehook.operations.task_view import TaskView
    from tunehook.operations.tasks import Submission

    match value:
        case TaskView():
            return listed_task_document(value)
        case Submission():
            return submitted_document(value)
        case Delivery():
            return delivery_document(value)
        case SubscriptionView():
            return subscription_document(value)
        case ArchivedAsset():
            return asset_document(value)
        case DeadLetterMessage():
            return dead_letter_document(value)
    return value
