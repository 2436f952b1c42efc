"""Subscriptions: create, list, read, disable, enable, test and delete them, and rotate their secrets."""

from __future__ import annotations

import itertools
import secrets
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from tunehook.deliveries import Delivery, DeliveryStatus, message_for
from tunehook.errors import Conflict, InvalidInput, NotFound, Unavailable
from tunehook.http.guard import NetworkPolicy, check_url
from tunehook.operations.sample_event import sample_delivery, sample_event
from tunehook.operations.stack import Stack
from tunehook.operations.text import visible
from tunehook.secret_versions import SecretVersions
from tunehook.signatures import (
    SignatureScheme,
    derive_public_key,
    derive_secret,
    notify_hook_subscription_id,
)
from tunehook.subscriptions import Recipient, Subscription, check_subscription
from tunehook.tasks import Format
from tunehook.times import now_ms
from tunehook.validation import choice_in

DISABLED_BY_HAND: Final = "disabled by hand"

_READ_EVERY_S: Final = 0.5

BOTH_SIGN_MS: Final = 24 * 3600 * 1000
"""For how long both signatures are in the header once `signature` was changed."""


@dataclass(frozen=True, slots=True)
class SubscriptionView:
    """An item of the Subscriptions table, with the subscription that it is, or the `error` why it cannot be used."""

    item: Mapping[str, Any]
    subscription: Subscription | None
    error: InvalidInput | None = None

    @classmethod
    def of(cls, item: Mapping[str, Any], policy: NetworkPolicy) -> SubscriptionView:
        """Check an item.

        >>> SubscriptionView.of({"subscription_id": "s", "url": "ftp://x"}, NetworkPolicy.ANY).state
        'unusable'
        """
        try:
            return cls(item, check_subscription(item, policy))
        except InvalidInput as error:
            return cls(item, None, error)

    @property
    def state(self) -> str:
        """``enabled``, ``disabled`` or ``unusable``."""
        if self.subscription is None:
            return "unusable"
        return "enabled" if self.subscription.enabled else "disabled"


class SigningSecret(BaseModel, frozen=True):
    """What signs the webhooks of a subscription; `signature` is by what they are signed now.

    `public_key` verifies the Ed25519 signatures. It is None where nothing asks for them, and for a notify hook.
    """

    subscription_id: str
    signing_secret: str
    signature: SignatureScheme = SignatureScheme.V1
    public_key: str | None = None


class PublicKeys(BaseModel, frozen=True):
    """The public keys of a subscription whose versions sign now, newest first, whether it asks for Ed25519 or not."""

    subscription_id: str
    signature: SignatureScheme
    public_keys: list[str]


class RotatedSecret(SigningSecret, frozen=True):
    """A new secret. The one before signs too until `previous_until_ms`.

    `stopped_version` is a still older one that would have signed until `stopped_until_ms`, and no longer does.
    """

    secret_version: int
    previous_until_ms: int
    stopped_version: int | None
    stopped_until_ms: int


def subscribe(
    stack: Stack, item: Mapping[str, Any], *, again: bool = False
) -> tuple[SubscriptionView, SigningSecret]:
    """Create a subscription, under a new id if its item names none.

    Raises `InvalidInput` for the first field that is not acceptable; `Conflict` if a subscription of the same URL wants
    some of the same events, and it is not wanted `again`.

    >>> subscribe(stack, {"url": "https://x.example/"})[1].subscription_id[:4]
    'sub_'
    """
    item = {"subscription_id": f"sub_{secrets.token_hex(8)}", **item, **_limited_since({}, item)}
    new = check_subscription(item, stack.network_policy)
    if not again:
        _check_single(stack, new)
    signing = _secret_of(stack, new.subscription_id, 1, new.signature)
    stack.subscriptions.create(item)
    return SubscriptionView(item, new), signing


def change_subscription(
    stack: Stack, subscription_id: str, changes: Mapping[str, Any], *, again: bool = False
) -> SubscriptionView:
    """Set fields of a subscription and leave the others; its secret stays, and takes no part in it.

    If `signature` changes, both signatures are in the header for a day, so that no receiver meets one that it does not
    know yet. If `max_per_second` changes, what waits under the former limit waits anew.

    Raises `NotFound` if there is none; `InvalidInput` for the first field that would not be acceptable; `Conflict` as
    `subscribe` does.

    >>> change_subscription(stack, "sub-1", {"events": ["task.failed"]}).item["url"]
    'https://x.example/hook'
    """
    changes, changed = changed_subscription(stack, subscription_id, changes, again=again)
    if not stack.subscriptions.change(subscription_id, changes):
        raise no_such_subscription(subscription_id)
    return changed


def changed_subscription(
    stack: Stack, subscription_id: str, changes: Mapping[str, Any], *, again: bool = False
) -> tuple[dict[str, Any], SubscriptionView]:
    """Return what `change_subscription` would write, and the subscription as it would be; raise what that raises.

    >>> changed_subscription(stack, "sub-1", {"timeout_s": 5})[1].subscription.timeout_s
    5
    """
    before = get_subscription(stack, subscription_id).item
    whole = {**changes, **_both_sign(before, changes), **_limited_since(before, changes)}
    item = {**before, **whole}
    new = check_subscription(item, stack.network_policy)
    if not again:
        _check_single(stack, new)
    return whole, SubscriptionView(item, new)


def _both_sign(item: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, int]:
    """Return until when both signatures are in the header, where these changes take one of them away."""
    if "signature" not in changes:
        return {}
    before, after = (each.get("signature") or SignatureScheme.V1 for each in (item, changes))
    if after in (before, SignatureScheme.BOTH):
        return {}
    return {"signature_both_until_ms": now_ms() + BOTH_SIGN_MS}


def _limited_since(item: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, int]:
    """Return since when a limit holds that these changes set: what was reserved under another one is void then."""
    if changes.get("max_per_second") in (None, item.get("max_per_second")):
        return {}
    return {"max_per_second_since_ms": now_ms()}


def _check_single(stack: Stack, new: Subscription) -> None:
    """Raise `Conflict` if by another subscription the same would come to its URL twice."""
    for known in list_subscriptions(stack):
        other = known.subscription
        if other is not None and other.subscription_id != new.subscription_id and other.doubles(new):
            name = visible(other.subscription_id)
            raise Conflict(
                "url",
                f"is subscribed already, as {name} ({known.state}): each event would be sent twice, with different "
                "ids. "
                f"`tunehook subscriptions secret {name}` prints its secret; --again subscribes it again",
            )


def pending_deliveries(stack: Stack, subscription_id: str, limit: int = 100) -> int:
    """Count the pending deliveries of a subscription, at most `limit`.

    >>> pending_deliveries(stack, "sub-1")
    0
    """
    pending = (DeliveryStatus.PENDING,)
    return len(stack.deliveries.latest(subscription_id=subscription_id, statuses=pending, limit=limit))


def _secret_of(
    stack: Stack, subscription_id: str, version: int, scheme: SignatureScheme = SignatureScheme.V1
) -> SigningSecret:
    master = stack.master_secret()
    has_key = scheme is not SignatureScheme.V1
    return SigningSecret(
        subscription_id=subscription_id,
        signing_secret=derive_secret(master, subscription_id, version),
        signature=scheme,
        public_key=derive_public_key(master, subscription_id, version) if has_key else None,
    )


def list_subscriptions(stack: Stack) -> list[SubscriptionView]:
    """Return all subscriptions, by their ids.

    >>> [each.state for each in list_subscriptions(stack)]
    ['enabled']
    """
    items = sorted(stack.subscriptions.all(), key=lambda item: str(item["subscription_id"]))
    return [SubscriptionView.of(item, stack.network_policy) for item in items]


def get_subscription(stack: Stack, subscription_id: str) -> SubscriptionView:
    """Return a subscription; raise `NotFound` if there is none.

    >>> get_subscription(stack, "sub-1").item["url"]
    'https://x.example/hook'
    """
    item = stack.subscriptions.get(subscription_id)
    if item is None:
        raise no_such_subscription(subscription_id)
    return SubscriptionView.of(item, stack.network_policy)


def no_such_subscription(subscription_id: str, field: str = "subscription_id") -> NotFound:
    name = visible(subscription_id)
    return NotFound(field, f"there is no subscription {name}: `tunehook subscriptions list` lists them")


def usable_subscription(stack: Stack, subscription_id: str) -> Subscription:
    """Return a subscription that webhooks are sent to.

    Raises `NotFound` if there is none, `Conflict` if it is disabled, `InvalidInput` if it cannot be used as it stands.

    >>> usable_subscription(stack, "sub-1").enabled
    True
    """
    item = get_subscription(stack, subscription_id).item
    if item.get("enabled") is False:
        name = visible(subscription_id)
        raise Conflict("subscription_id", f"{name} is disabled: `tunehook subscriptions enable {name}` first")
    return check_subscription(item, stack.network_policy)


def latest_deliveries(stack: Stack, subscription_id: str, limit: int = 10) -> list[Delivery]:
    """Return the latest deliveries to a subscription, newest first.

    >>> [each.status.value for each in latest_deliveries(stack, "sub-1")]
    ['failed']
    """
    ids = stack.deliveries.ids_of_subscription(subscription_id, limit)
    return [each for each in map(stack.deliveries.get, ids) if each is not None]


def delete_subscription(stack: Stack, subscription_id: str) -> None:
    """Delete a subscription, which aborts its pending deliveries; raise `NotFound` if there is none.

    >>> delete_subscription(stack, "sub-1")
    """
    if not stack.subscriptions.delete(subscription_id):
        raise no_such_subscription(subscription_id)


def disable_subscription(stack: Stack, subscription_id: str) -> bool:
    """Disable a subscription, which aborts its pending deliveries; return whether it was enabled.

    Raises `NotFound` if there is none.

    >>> disable_subscription(stack, "sub-1")
    True
    """
    was_enabled = get_subscription(stack, subscription_id).item.get("enabled") is not False
    if was_enabled:
        stack.subscriptions.disable(subscription_id, DISABLED_BY_HAND)
    return was_enabled


def enable_subscription(stack: Stack, subscription_id: str) -> bool:
    """Enable a subscription and forget how it has failed; return whether it was enabled.

    Raises `NotFound` if there is none; `InvalidInput` if it cannot be used as it stands.

    >>> enable_subscription(stack, "sub-1")
    True
    """
    item = get_subscription(stack, subscription_id).item
    check_subscription({**item, "enabled": True}, stack.network_policy)
    if not stack.subscriptions.enable(subscription_id):
        raise no_such_subscription(subscription_id)
    return item.get("enabled") is not False


def secret_versions(stack: Stack, subscription: SubscriptionView) -> SecretVersions:
    """Return which versions of a subscription's secret sign.

    >>> secret_versions(stack, get_subscription(stack, "sub-1")).present
    1
    """
    return stack.secret_versions.of(subscription.item)


def signing_secret(stack: Stack, subscription_id: str) -> SigningSecret:
    """Return what signs the webhooks of a subscription, or those to a notify hook, which is given by its URL.

    Raises `NotFound` if there is no such subscription.

    >>> signing_secret(stack, "sub-1").signing_secret[:6]
    'whsec_'
    """
    if "://" in subscription_id:
        return _secret_of(stack, notify_hook_subscription_id(subscription_id), 1)
    view = get_subscription(stack, subscription_id)
    return _secret_of(stack, subscription_id, secret_versions(stack, view).present, signed_by(view))


def signed_by(view: SubscriptionView) -> SignatureScheme:
    """Return by what the webhooks of a subscription are signed now.

    >>> signed_by(get_subscription(stack, "sub-1")).value
    'v1'
    """
    return SignatureScheme.V1 if view.subscription is None else view.subscription.signed_by(now_ms())


def public_keys(stack: Stack, subscription_id: str) -> PublicKeys:
    """Return what verifies the Ed25519 signatures of a subscription; raise `NotFound` if there is none.

    >>> public_keys(stack, "sub-1").public_keys[0][:5]
    'whpk_'
    """
    view = get_subscription(stack, subscription_id)
    versions, master = secret_versions(stack, view).signing(now_ms()), stack.master_secret()
    return PublicKeys(
        subscription_id=subscription_id,
        signature=signed_by(view),
        public_keys=[derive_public_key(master, subscription_id, each) for each in versions],
    )


def rotate_secret(stack: Stack, subscription_id: str, grace_ms: int) -> RotatedSecret:
    """Sign with a new secret from now on, and for `grace_ms` with the one before too.

    Raises `NotFound` if there is no such subscription; `Unavailable` if somebody else rotates it at the same moment.

    >>> rotate_secret(stack, "sub-1", 0).secret_version
    2
    """
    view = get_subscription(stack, subscription_id)
    item, now = view.item, now_ms()
    before = stack.secret_versions.of(item)
    # First, so that whoever may not read the master secret learns that while nothing has happened yet.
    new = _secret_of(stack, subscription_id, before.present + 1, signed_by(view))
    until_ms, rotation = now + grace_ms, secrets.token_hex(8)
    rotated = stack.secret_versions.rotate(item, before, previous_until_ms=until_ms, rotation=rotation)
    if rotated is None:
        raise Unavailable(
            f"{visible(subscription_id)} was rotated at the same time: check it with "
            "`tunehook subscriptions show`, and try again"
        )
    return RotatedSecret(
        **new.model_dump(),
        secret_version=rotated.present,
        previous_until_ms=until_ms,
        stopped_version=next(iter(before.signing(now)[1:]), None),
        stopped_until_ms=before.previous_until_ms,
    )


def send_test(stack: Stack, subscription_id: str) -> tuple[Subscription, Delivery]:
    """Send a ``webhook.test`` to a subscription; raise what `usable_subscription` raises.

    >>> send_test(stack, "sub-1")[1].type
    'webhook.test'
    """
    subscription = usable_subscription(stack, subscription_id)
    delivery = sample_delivery(subscription, now_ms())
    stack.deliveries.create(delivery)
    stack.deliveries_queue.send(message_for(delivery), now_ms())
    return subscription, delivery


def send_sample(stack: Stack, kind: str, to: str, form: str | None = None) -> tuple[str, Delivery]:
    """Send a made-up event to a subscription, in its format, or to a URL, as to a task's own hook.

    It takes the way of every delivery: queue, webhooks function, signature, attempts. Return where it goes.

    Raises `InvalidInput` if there is no such event or format, the format does not tell of it, or the URL is not
    acceptable; for a subscription what `usable_subscription` raises.

    >>> send_sample(stack, "task.completed", "sub-1")[1].type
    'task.completed'
    """
    if "://" in to:
        try:
            check_url(to, stack.network_policy)
        except InvalidInput as error:
            raise InvalidInput("to", error.reason) from None
        wanted = choice_in({} if form is None else {"format": form}, "format", Format.STANDARD)
        recipient, url = Recipient(notify_hook_subscription_id(to), wanted, to), to
    else:
        if form is not None:
            raise InvalidInput("format", "is for a URL: a subscription has its own")
        try:
            subscription = usable_subscription(stack, to)
        except (Conflict, NotFound) as error:
            raise type(error)("to", error.reason) from None
        except InvalidInput as error:
            raise InvalidInput("to", f"{visible(to)} cannot be used: {error}") from None
        recipient, url = Recipient(to, subscription.format), subscription.url
    delivery = sample_event(kind, recipient, stack.output("ResultsBucket"), now_ms())
    stack.deliveries.create(delivery)
    stack.deliveries_queue.send(message_for(delivery), now_ms())
    return url, delivery


def await_attempt(stack: Stack, delivery: Delivery, wait_s: float) -> Delivery:
    """Return a delivery as it is after its first attempt, or when `wait_s` is over.

    >>> await_attempt(stack, latest_deliveries(stack, "sub-1")[0], 0).delivery_id[:4]
    'msg_'
    """
    until = time.monotonic() + wait_s
    while time.monotonic() < until and not delivery.attempts and delivery.reason is None:
        time.sleep(_READ_EVERY_S)
        delivery = stack.deliveries.get(delivery.delivery_id, delivery) or delivery
    return delivery


def listen_as(stack: Stack, item: Mapping[str, Any]) -> SigningSecret:
    """Return what will sign the webhooks of a subscription to be created; raise `InvalidInput` if it is not acceptable.

    >>> listen_as(stack, {"subscription_id": "l", "url": "http://127.0.0.1:1/"}).subscription_id
    'l'
    """
    subscription_id = check_subscription(item, stack.network_policy).subscription_id
    # One that was rotated before keeps its version when it is made anew.
    return _secret_of(stack, subscription_id, stack.secret_versions.of(item).present)


def doubled(stack: Stack) -> list[tuple[Subscription, Subscription]]:
    """Return the pairs of enabled subscriptions by which the same comes to one URL twice.

    >>> doubled(stack)
    []
    """
    by_place: defaultdict[str, list[Subscription]] = defaultdict(list)
    for each in list_subscriptions(stack):
        if each.subscription is not None and each.subscription.enabled:
            by_place[each.subscription.place].append(each.subscription)
    pairs = (pair for together in by_place.values() for pair in itertools.combinations(together, 2))
    return [(one, other) for one, other in pairs if one.doubles(other)]
