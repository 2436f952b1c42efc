"""The subscriptions as fulfillment reads them, and who of them is told about an ended task."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from aws_lambda_powertools import Logger

from tunehook.aws.faults import AWS_FAULTS, code_of
from tunehook.aws.secret_versions import SecretVersionsTable
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.errors import InvalidInput
from tunehook.http.guard import NetworkPolicy
from tunehook.secret_versions import FIRST, versions_on
from tunehook.subscriptions import Receiver, Subscription, WebhookType, check_subscription, receivers_of

logger = Logger(child=True)

CACHED_S: Final = 15.0


class Receivers:
    """The subscriptions, read at most every 15 s.

    Parameters
    ----------
    table : SubscriptionsTable
        Where they are.
    policy : NetworkPolicy
        Where a URL may point.
    clock : callable, optional
        Seconds that never go back.
    versions : SecretVersionsTable
        Where it is kept which versions of their secrets sign: an item that says so by itself is from an earlier
        tunehook, and may be put again before anything is sent to it.
    """

    def __init__(
        self,
        table: SubscriptionsTable,
        policy: NetworkPolicy,
        clock: Callable[[], float] = time.monotonic,
        *,
        versions: SecretVersionsTable,
    ) -> None:
        self._table = table
        self._policy = policy
        self._versions = versions
        self._versions_kept: set[str] = set()
        self._clock = clock
        self._read_at_s = float("-inf")
        self._subscriptions: list[Subscription] = []
        self._reading = threading.Lock()

    def of(self, kind: WebhookType, provider: str, item: Mapping[str, Any] | None) -> list[Receiver]:
        """Return who is told.

        Parameters
        ----------
        kind : WebhookType
            What happened.
        provider : str
            At which provider.
        item : mapping or None
            The task's item, which may name a hook of its own.
        """
        # The tasks of a batch ask at the same time; the first one reads.
        with self._reading:
            self._refresh()
        return receivers_of(kind, provider, self._subscriptions, item or {}, self._policy)

    def _refresh(self) -> None:
        if self._clock() - self._read_at_s < CACHED_S:
            return
        read_at_s = self._clock()
        items = self._table.all()
        self._subscriptions = [
            subscription for item in items if (subscription := self._checked(item)) is not None
        ]
        self._read_at_s = read_at_s
        self._keep_versions(items)

    def _keep_versions(self, items: list[dict[str, Any]]) -> None:
        """Keep what items say of their secrets, where nothing is kept yet. Nobody is left untold if it fails."""
        said = {str(item["subscription_id"]): versions_on(item) for item in items}
        rotated = {name for name, versions in said.items() if versions != FIRST} - self._versions_kept
        if not rotated:
            return
        try:
            for subscription_id in rotated - self._versions.ids():
                self._versions.keep(subscription_id, said[subscription_id])
        except AWS_FAULTS as error:
            logger.warning("secret_versions_not_kept", error=code_of(error))
        else:
            self._versions_kept |= rotated

    def _checked(self, item: Mapping[str, Any]) -> Subscription | None:
        subscription_id = item["subscription_id"]
        try:
            subscription = check_subscription(item, self._policy)
        except InvalidInput as error:
            if item.get("disabled_reason") != str(error):
                logger.warning("subscription_unusable", subscription_id=subscription_id, field=error.field)
                self._mark(subscription_id, str(error))
            return None
        if subscription.enabled and "disabled_reason" in item:
            self._mark(subscription_id, None)
        return subscription

    def _mark(self, subscription_id: str, reason: str | None) -> None:
        # What cannot be said on an item (a throttled call, no room on it) must not keep the others from being told.
        try:
            self._table.mark(subscription_id, reason)
        except AWS_FAULTS as error:
            logger.warning("subscription_not_marked", subscription_id=subscription_id, error=code_of(error))
