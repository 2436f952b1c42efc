"""The subscriptions as fulfillment reads them, and who of them is told about an event."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Final

from aws_lambda_powertools import Logger

from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.secret_versions import SecretVersionsTable
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.cache import Cache
from tunehook.errors import InvalidInput
from tunehook.http.guard import NetworkPolicy
from tunehook.secret_versions import FIRST, versions_on
from tunehook.subscriptions import Recipient, Subscription, WebhookType, check_subscription, recipients_of

logger = Logger(child=True)

CACHED_S: Final = 15.0

MARKING_S: Final = 0.5
"""How long marking subscriptions may delay one task."""


@dataclass
class Recipients:
    """The subscriptions, read once every 15 s for all tasks, or as they were if that fails.

    `versions` has which versions of their secrets sign. An item that says so itself is from an earlier tunehook, and
    may be put again before anything is sent to it.
    """

    table: SubscriptionsTable
    policy: NetworkPolicy
    clock: Callable[[], float] = time.time
    _: KW_ONLY
    versions: SecretVersionsTable

    def __post_init__(self) -> None:
        self._marks: dict[str, str | None] = {}
        self._versions_kept: set[str] = set()
        self._cache: Cache[None, list[Subscription]] = Cache(
            lambda _: self._read(),
            max_age_s=CACHED_S,
            on_fault=lambda fault: logger.warning("subscriptions_not_read", error=code_of(fault)),
            clock=self.clock,
        )

    def of(
        self,
        kind: WebhookType,
        provider: str | None,
        item: Mapping[str, Any] | None,
        data: Mapping[str, Any],
    ) -> list[Recipient]:
        """Return who is told of what happened, at a `provider` or at none; a task's item may name a hook of its own.

        `data` is what filters look at.
        """
        recipients = recipients_of(kind, provider, self._cache.get(None), item or {}, self.policy, data)
        self._mark_some()
        return recipients

    def read_ahead(self) -> None:
        """Read the subscriptions if they are not fresh, so that who needs them soon need not wait."""
        with contextlib.suppress(*AWS_FAULTS):  # who needs them meets that fault, or another answer
            self._cache.get(None)

    def _mark_some(self) -> None:
        """Mark subscriptions with what was found of them, for `MARKING_S`; the next task marks the rest."""
        until_s = self.clock() + MARKING_S
        while self._marks and self.clock() < until_s:
            with contextlib.suppress(KeyError):  # another thread has taken the last one
                name, reason = self._marks.popitem()
                # A mark that fails (a throttled call, no room on the item) delays nobody.
                try:
                    self.table.mark(name, reason)
                except AWS_FAULTS as error:
                    logger.warning("subscription_not_marked", subscription_id=name, error=code_of(error))

    def _read(self) -> list[Subscription]:
        items = self.table.all()
        self._keep_versions(items)
        checked = (self._checked(item) for item in items)
        return [subscription for subscription in checked if subscription is not None]

    def _keep_versions(self, items: list[dict[str, Any]]) -> None:
        """Keep the versions of secrets that items name, where none are kept yet; a failure delays nobody."""
        said = {str(item["subscription_id"]): versions_on(item) for item in items}
        rotated = {name for name, versions in said.items() if versions != FIRST} - self._versions_kept
        if not rotated:
            return
        try:
            for subscription_id in rotated - self.versions.ids():
                self.versions.keep(subscription_id, said[subscription_id])
        except AWS_FAULTS as error:
            logger.warning("secret_versions_not_kept", error=code_of(error))
        else:
            self._versions_kept |= rotated

    def _checked(self, item: Mapping[str, Any]) -> Subscription | None:
        subscription_id = item["subscription_id"]
        try:
            subscription = check_subscription(item, self.policy)
        except InvalidInput as error:
            if item.get("disabled_reason") != str(error):
                logger.warning("subscription_unusable", subscription_id=subscription_id, field=error.field)
                self._marks[subscription_id] = str(error)
            return None
        self._marks.pop(subscription_id, None)
        if subscription.enabled and "disabled_reason" in item:
            self._marks[subscription_id] = None
        return subscription
