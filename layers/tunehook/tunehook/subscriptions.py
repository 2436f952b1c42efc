"""The subscription model, and the rules that a subscription must meet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from tunehook.errors import InvalidInput
from tunehook.event_patterns import EventPattern
from tunehook.http.guard import NetworkPolicy, check_url
from tunehook.http.headers import check_headers
from tunehook.http.urls import split_wire_url, wire_url
from tunehook.rate_limits import RateLimit, check_rate
from tunehook.schedules import MAX_TIMEOUT_S, WAITS_S, check_schedule, check_timeout
from tunehook.signatures import NOTIFY_HOOK_PREFIX, SignatureScheme, notify_hook_subscription_id
from tunehook.tasks import Format, Status
from tunehook.times import LATEST_MS
from tunehook.validation import choice_in, is_whole, text_in


class WebhookType(StrEnum):
    """The type of a webhook (`docs/webhook-contract.md`, "The request")."""

    TASK_COMPLETED = "task.completed"
    TASK_FAILED = "task.failed"
    TASK_ARCHIVED = "task.archived"
    TASK_PROGRESS = "task.progress"
    SUBSCRIPTION_FAILING = "subscription.failing"
    SUBSCRIPTION_DISABLED = "subscription.disabled"
    PROVIDER_UNAUTHORISED = "provider.unauthorised"
    DEAD_LETTERS_FOUND = "dead_letters.found"
    WEBHOOK_TEST = "webhook.test"

    @classmethod
    def of_end(cls, status: Status) -> WebhookType:
        """Return the type of the webhook about a task that ended so."""
        return cls.TASK_COMPLETED if status is Status.COMPLETED else cls.TASK_FAILED


ENDS: Final = (WebhookType.TASK_COMPLETED, WebhookType.TASK_FAILED)
"""The types about a task's end: what a subscription gets that names none."""

OPERATIONAL: Final = (
    WebhookType.SUBSCRIPTION_FAILING,
    WebhookType.SUBSCRIPTION_DISABLED,
    WebhookType.PROVIDER_UNAUTHORISED,
    WebhookType.DEAD_LETTERS_FOUND,
)
"""The types about trouble of the stack, of a receiver or a provider, rather than about a task."""

OF_ENDED_TASKS: Final = (*ENDS, WebhookType.TASK_ARCHIVED)
"""The types about a task that has ended."""

SUBSCRIBABLE: Final = (*OF_ENDED_TASKS, WebhookType.TASK_PROGRESS, *OPERATIONAL)
"""What a subscription can ask for; a test is sent to one subscription by hand."""

_TIMESTAMPS: Final = (
    "failing_since_ms",
    "failing_warned_ms",
    "signature_both_until_ms",
    "max_per_second_since_ms",
)
"""What tunehook itself writes on a subscription, in milliseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A receiver of webhooks; `providers` empty means every provider. The values of `headers` may be secrets.

    `retry_schedule` has the waits between attempts, in seconds; `timeout_s` is how long an attempt may take. Until
    `signature_both_until_ms` both signatures are in the header, whichever `signature` asks for. `filter` is what the
    `data` of the body must match, None where all of it will do. `rate_limit` is how fast it is sent to, None where as
    fast as can be.
    """

    subscription_id: str
    url: str
    events: frozenset[WebhookType] = frozenset(ENDS)
    providers: frozenset[str] = frozenset()
    format: Format = Format.STANDARD
    enabled: bool = True
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    signature: SignatureScheme = SignatureScheme.V1
    signature_both_until_ms: int = 0
    retry_schedule: tuple[int, ...] = WAITS_S
    timeout_s: int = MAX_TIMEOUT_S
    filter: EventPattern | None = None
    rate_limit: RateLimit | None = None

    def wants(self, kind: WebhookType, provider: str | None) -> bool:
        """Return whether an event of `kind` is to be delivered, if its data match.

        `provider` is the one that it is about, or whose task; None where there is none, and `providers` says nothing.
        """
        return (
            self.enabled
            and kind in self.events
            and (not self.providers or provider is None or provider in self.providers)
            and supports(self.format, kind)
        )

    def matches(self, data: Mapping[str, Any]) -> bool:
        """Return whether the data of an event are what it wants (`tunehook.webhook_data.whole_data_of`)."""
        return self.filter is None or self.filter.matches(data)

    def signed_by(self, now_ms: int) -> SignatureScheme:
        """Return by what its webhooks are signed at this moment: for a while after a change by both."""
        return SignatureScheme.BOTH if self.signature_both_until_ms > now_ms else self.signature

    @property
    def place(self) -> str:
        """Its URL as every way to write it has it: the name in lower case, without the port that it has anyway."""
        origin, target = split_wire_url(wire_url(self.url))
        origin = origin.lower()
        return origin.removesuffix(":443" if origin.startswith("https:") else ":80") + target

    def doubles(self, other: Subscription) -> bool:
        """Return whether some event would come to one URL twice, under different ids, were both enabled.

        Two filters that differ are taken to part the events between them.
        """
        if self.place != other.place or not self.events & other.events:
            return False
        if self.filter is not None and other.filter is not None and self.filter != other.filter:
            return False
        return not (self.providers and other.providers) or bool(self.providers & other.providers)


def supports(form: Format, kind: WebhookType) -> bool:
    """Return whether a format can carry an event: the provider's own object says how a task stands, and no more."""
    return not (form is Format.PROVIDER and kind in (WebhookType.TASK_ARCHIVED, *OPERATIONAL))


@dataclass(frozen=True, slots=True)
class Recipient:
    """One receiver of one event; `url` is set for a task's own hook alone."""

    subscription_id: str
    format: Format
    url: str | None = None


def recipients_of(
    kind: WebhookType,
    provider: str | None,
    subscriptions: Iterable[Subscription],
    item: Mapping[str, Any],
    policy: NetworkPolicy,
    data: Mapping[str, Any],
) -> list[Recipient]:
    """Return the recipients of an event: the matching subscriptions, and for a task's end the hook on its `item`.

    `data` is what filters look at (`tunehook.webhook_data.whole_data_of`). The item may be a rejected one, and hold
    anything at all; an acceptable hook on it counts nevertheless.
    """
    recipients = [
        Recipient(subscription.subscription_id, subscription.format)
        for subscription in subscriptions
        if subscription.wants(kind, provider) and subscription.matches(data)
    ]
    if kind in ENDS and item.get("notify_hook") is not None:
        with contextlib.suppress(InvalidInput):
            url, form = text_in(item, "notify_hook"), choice_in(item, "notify_format", Format.STANDARD)
            check_url(url, policy)
            recipients.append(Recipient(notify_hook_subscription_id(url), form, url))
    return recipients


def check_subscription(item: Mapping[str, Any], policy: NetworkPolicy) -> Subscription:
    """Check an item of the Subscriptions table, or raise `InvalidInput` for the first field that is not acceptable.

    Its user may have written it by hand. It has plain Python values; an attribute that is NULL counts as not given.
    Whoever reads subscriptions relies on this one check: what is made for one that it lets through can be sent.
    """
    item = {name: value for name, value in item.items() if value is not None}
    subscription_id = str(item["subscription_id"])
    if subscription_id.startswith(NOTIFY_HOOK_PREFIX):
        problem = f"must not begin with {NOTIFY_HOOK_PREFIX}, which stands for the hooks of tasks"
        raise InvalidInput("subscription_id", problem)
    url = text_in(item, "url")
    check_url(url, policy)
    if not isinstance(enabled := item.get("enabled", True), bool):
        raise InvalidInput("enabled", "must be true or false")
    headers = _headers(item)
    for name in _TIMESTAMPS:
        if name in item and not is_whole(item[name], 0, LATEST_MS):
            raise InvalidInput(name, f"must be a whole number from 0 to {LATEST_MS}")
    events = _texts(item, "events")
    if not events <= set(SUBSCRIBABLE):
        raise InvalidInput("events", f"must be among {', '.join(SUBSCRIBABLE)}")
    subscription = Subscription(
        subscription_id=subscription_id,
        url=url,
        events=frozenset(map(WebhookType, events or ENDS)),
        providers=_texts(item, "providers"),
        format=choice_in(item, "format", Format.STANDARD),
        enabled=enabled,
        headers=headers,
        signature=choice_in(item, "signature", SignatureScheme.V1),
        signature_both_until_ms=item.get("signature_both_until_ms", 0),
        retry_schedule=check_schedule(item.get("retry_schedule", WAITS_S)),
        timeout_s=check_timeout(item.get("timeout_s", MAX_TIMEOUT_S)),
        filter=EventPattern.read(item["filter"]) if "filter" in item else None,
        rate_limit=_rate_limit(item),
    )
    if not any(supports(subscription.format, kind) for kind in subscription.events):
        names = ", ".join(sorted(subscription.events))
        raise InvalidInput("events", f"the format {subscription.format} tells of none of these: {names}")
    return subscription


def _rate_limit(item: Mapping[str, Any]) -> RateLimit | None:
    per_second = check_rate(item.get("max_per_second"))
    return None if per_second is None else RateLimit(per_second, item.get("max_per_second_since_ms", 0))


def _headers(item: Mapping[str, Any]) -> dict[str, str]:
    given = item.get("headers", {})
    if not isinstance(given, Mapping):
        raise InvalidInput("headers", "must be a map of strings")
    headers = {name: value for name, value in given.items() if value is not None}
    for name, value in headers.items():
        if not isinstance(value, str):
            raise InvalidInput(f"headers.{name}", "must be a text")
    check_headers(headers)
    return headers


def _texts(item: Mapping[str, Any], name: str) -> frozenset[str]:
    given = item.get(name, ())
    is_list = isinstance(given, list | tuple | set | frozenset)
    if not is_list or not all(isinstance(each, str) for each in given):
        raise InvalidInput(name, "must be a list of strings")
    return frozenset(given)
