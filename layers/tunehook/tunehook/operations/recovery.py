"""Recovery: sent once more is what has failed, made is what never was, by time, events, providers and a filter.

It goes by pages, so that no call takes long however many tasks have ended: each says where the next one goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from tunehook.aws.deliveries import FailedDelivery, LoggedDelivery, Redelivery, withdrawn
from tunehook.aws.pages import content_of_cursor, cursor_of
from tunehook.deliveries import DeliveryStatus, is_progress
from tunehook.deliveries import delivery_id as id_of
from tunehook.errors import InvalidInput
from tunehook.event_patterns import EventPattern
from tunehook.events import archived_event_id
from tunehook.fulfillment_requests import DeliveryRequest
from tunehook.operations.deliveries import check_log, log_id_of, subscription_of
from tunehook.operations.filters import data_of_run
from tunehook.operations.stack import Stack
from tunehook.subscriptions import SUBSCRIBABLE, Subscription, WebhookType
from tunehook.tasks import EndedRun, TaskKey
from tunehook.times import LATEST_MS, now_ms
from tunehook.validation import is_whole

T = TypeVar("T")

LIMIT_MAX: Final = 5_000
"""How many deliveries one page asks for at most: each is 36 characters of an answer."""

_AT_ONCE: Final = 100
"""How many ended tasks are looked at before the time is looked at, and failed deliveries."""

_AT_ONCE_MATCHED: Final = 20
"""The same where the data of each are read, from S3."""

_VERSION: Final = 1
_CURSOR_MAX: Final = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryScope:
    """What a recovery is about: what ended, or was made and failed, from `since_ms` to before `until_ms`.

    Of that only `events`, `providers` and what `filter` matches, beside what the subscription itself asks for; empty
    and None are all. `only_missing` leaves out what failed. Raises `InvalidInput` if it cannot be so.
    """

    since_ms: int
    until_ms: int = LATEST_MS
    events: frozenset[str] = frozenset()
    providers: frozenset[str] = frozenset()
    filter: EventPattern | None = None
    only_missing: bool = False

    def __post_init__(self) -> None:
        if self.until_ms <= self.since_ms:
            raise InvalidInput("until", "must be after since")
        if not self.events <= set(SUBSCRIBABLE):
            raise InvalidInput("events", f"must be among {', '.join(SUBSCRIBABLE)}")

    def has_event(self, kind: str) -> bool:
        """Return whether it is about webhooks of a type."""
        return not self.events or kind in self.events

    def has_provider(self, provider: str | None) -> bool:
        """Return whether it is about what concerns a provider; what concerns none is in it, as for subscriptions."""
        return not self.providers or provider is None or provider in self.providers


class Recovery(BaseModel, frozen=True):
    """The ids of deliveries that are sent once more, and of those that are made as there was none.

    In a `dry_run` they are those that would be, and filters have been asked. Otherwise `filtered` says that the
    subscription or the recovery has a filter: of `made`, what it excludes is not made. `next_cursor` is where the next
    page goes on, None after the last.
    """

    subscription: str
    recovered: list[str]
    made: list[str]
    filtered: bool = False
    dry_run: bool = False
    next_cursor: str | None = None


def recover(stack: Stack, subscription: str, scope: RecoveryScope, *, dry_run: bool = False) -> Recovery:
    """Redeliver what failed or was aborted within a scope, and have made what never was: all of it, page by page.

    What was never made, as the subscription was disabled or new, is made from the tasks that ended in that time, if the
    subscription wants their events. `subscription` may also be the URL of a notify hook, for which none is missing.
    Nothing is made twice, however often it is recovered. `dry_run` only says what would be done.

    Raises what `tunehook.operations.subscriptions.usable_subscription` does; `Unavailable` if the fulfillment queue
    refuses some requests.

    >>> recover(stack, "sub-1", RecoveryScope(since_ms=0)).recovered
    ['msg_1']
    """
    page = recover_page(stack, subscription, scope, dry_run=dry_run)
    recovered, made = [*page.recovered], [*page.made]
    while page.next_cursor is not None:
        page = recover_page(stack, subscription, scope, dry_run=dry_run, cursor=page.next_cursor)
        recovered += page.recovered
        made += page.made
    return page.model_copy(update={"recovered": recovered, "made": made})


def recover_page(
    stack: Stack,
    subscription: str,
    scope: RecoveryScope,
    *,
    dry_run: bool = False,
    cursor: str | None = None,
    limit: int = LIMIT_MAX,
    is_time_up: Callable[[], bool] = lambda: False,
) -> Recovery:
    """Do a part of what `recover` does: `limit` deliveries or a few more, or what was done when `is_time_up` says so.

    `cursor` is `next_cursor` of the page before, with the same scope. Of what ended or failed meanwhile, what lies
    before it is left to another recovery. Raises what `recover` does; `InvalidInput` for a cursor that is none.

    >>> recover_page(stack, "sub-1", RecoveryScope(since_ms=0), dry_run=True).next_cursor is None
    True
    """
    if not 1 <= limit <= LIMIT_MAX:
        raise InvalidInput("limit", f"must be 1 to {LIMIT_MAX}")
    is_hook = "://" in subscription
    wanted = None if is_hook else subscription_of(stack, subscription, "subscription")
    place = _Place() if cursor is None else _Place.of_cursor(cursor)
    page = _Page(stack, subscription, wanted, scope, dry_run, limit, is_time_up)
    if place.phase == _FAILED and not scope.only_missing:
        page.redeliver(place)
        if is_hook and cursor is None and not page.has_found:
            check_log(stack, subscription)
    # A notify hook gets a delivery in any case: none can be missing.
    if wanted is not None and page.next_place is None:
        page.make(place)
    filtered = not dry_run and any(
        each is not None for each in (scope.filter, wanted.filter if wanted else None)
    )
    return Recovery(
        subscription=subscription,
        recovered=page.recovered,
        made=page.made,
        filtered=filtered,
        dry_run=dry_run,
        next_cursor=None if page.next_place is None else page.next_place.cursor,
    )


_FAILED: Final = "failed"
_ENDED: Final = "ended"


@dataclass(frozen=True, slots=True)
class _Place:
    """How far a recovery has come: after which failed delivery, or which ended task; at the beginning after none."""

    phase: str = _FAILED
    after: tuple[int, str, str] | None = None

    @property
    def cursor(self) -> str:
        return cursor_of([_VERSION, self.phase, *(self.after or ())])

    @classmethod
    def of_cursor(cls, cursor: str) -> _Place:
        match content_of_cursor(cursor, _CURSOR_MAX):
            case [1, "failed" | "ended" as phase]:
                return cls(phase)
            case [1, "failed" | "ended" as phase, int(at_ms), str(first), str(second)] if (
                is_whole(at_ms, 0, LATEST_MS) and first and (second or phase == _FAILED)
            ):
                return cls(phase, (at_ms, first, second))
        raise InvalidInput("cursor", "is none of a recovery: give `next_cursor` of the page before")


@dataclass(slots=True)
class _Page:
    """A page of a recovery while it is made; `next_place` is set where it ends before the recovery does."""

    stack: Stack
    subscription: str
    wanted: Subscription | None
    scope: RecoveryScope
    dry_run: bool
    limit: int
    is_time_up: Callable[[], bool]
    recovered: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    has_found: bool = False
    next_place: _Place | None = None

    def redeliver(self, place: _Place) -> None:
        """Begin new runs of what failed, the oldest first."""
        found = self.stack.deliveries.failed(
            log_id_of(self.subscription),
            self.scope.since_ms,
            self.scope.until_ms,
            None if place.after is None else FailedDelivery(place.after[1], place.after[0]),
        )
        for batch in _batches(found, _AT_ONCE if self.scope.filter is None else _AT_ONCE_MATCHED):
            for delivery in self.stack.deliveries.get_logged([each.delivery_id for each in batch]):
                if self._is_lost(delivery):
                    self.has_found = True
                    if self.dry_run or self._begin(delivery.delivery_id):
                        self.recovered.append(delivery.delivery_id)
            last = batch[-1]
            if self._ends():
                self.next_place = _Place(_FAILED, (last.created_at_ms, last.delivery_id, ""))
                return

    def _is_lost(self, delivery: LoggedDelivery) -> bool:
        """Return whether a delivery is to be sent once more; the index lags behind the table."""
        scope = self.scope
        return (
            (delivery.status is DeliveryStatus.FAILED or withdrawn(delivery))
            and not (delivery.is_check or is_progress(delivery.delivery_id))
            and scope.has_event(delivery.type)
            and scope.has_provider(delivery.provider or "")
            and (scope.filter is None or scope.filter.matches(self._data_of(delivery)))
        )

    def _begin(self, delivery_id: str) -> bool:
        return self.stack.redeliveries.begin(delivery_id, now_ms())[0] is Redelivery.STARTED

    def _data_of(self, delivery: LoggedDelivery) -> Mapping[str, Any]:
        """Return what a filter looks at: of the task as it is, or where that is gone, of what was to be sent."""
        if delivery.task_id is not None and delivery.provider is not None:
            data = data_of_run(self.stack, TaskKey(delivery.task_id, delivery.provider))
            if data is not None:
                return data
        whole = self.stack.deliveries.get(delivery.delivery_id)
        try:
            sent = json.loads("" if whole is None else whole.payload)
        except ValueError:  # a record that was changed by hand
            return {}
        return sent if isinstance(sent, dict) else {}

    def make(self, place: _Place) -> None:
        """Request the deliveries that are missing about tasks that ended."""
        wanted, scope = self.wanted, self.scope
        assert wanted is not None  # a notify hook lacks none
        providers = wanted.providers & scope.providers or wanted.providers | scope.providers
        if wanted.providers and scope.providers and not wanted.providers & scope.providers:
            return
        after = None
        if place.phase == _ENDED and place.after is not None:
            after = (TaskKey(place.after[2], place.after[1]), place.after[0])
        found = self.stack.tasks.ended(scope.since_ms, providers, until_ms=scope.until_ms, after=after)
        for batch in _batches(found, _AT_ONCE_MATCHED if self._matches_here else _AT_ONCE):
            self._make(batch)
            last = batch[-1]
            if self._ends():
                self.next_place = _Place(_ENDED, (last.detected_at_ms, last.key.provider, last.key.task_id))
                return

    @property
    def _matches_here(self) -> bool:
        """Whether filters are asked here, and not where a delivery is made."""
        own = None if self.wanted is None else self.wanted.filter
        return self.dry_run and not (own is self.scope.filter is None)

    def _make(self, batch: list[EndedRun]) -> None:
        assert self.wanted is not None
        subscription_id = self.wanted.subscription_id
        expected = [(run, ids) for run in batch if (ids := self._expected(run))]
        existing = self.stack.deliveries.existing([each for _, ids in expected for each in ids])
        lacking = [
            (run, missing)
            for run, ids in sorted(expected, key=lambda each: each[0].detected_at_ms)
            if (missing := [each for each in ids if each not in existing])
            and (not self._matches_here or self._matches(run))
        ]
        if not self.dry_run:
            pattern = None if self.scope.filter is None else self.scope.filter.to_json()
            self.stack.request_fulfillment(
                [
                    DeliveryRequest(
                        task_id=run.key.task_id,
                        provider=run.key.provider,
                        event_id=run.event_id,
                        subscription_id=subscription_id,
                        events=sorted(self.scope.events) or None,
                        filter=pattern,
                    )
                    for run, _ in lacking
                ]
            )
        self.made += [each for _, missing in lacking for each in missing]

    def _expected(self, run: EndedRun) -> list[str]:
        """Return the ids of the deliveries that the subscription is to have of a run, whatever filters say."""
        wanted, end = self.wanted, WebhookType.of_end(run.status)
        assert wanted is not None
        provider = run.key.provider
        if not self.scope.has_provider(provider):
            return []
        events = {end: run.event_id, WebhookType.TASK_ARCHIVED: archived_event_id(run.event_id)}
        return [
            id_of(event_id, wanted.subscription_id)
            for kind, event_id in events.items()
            if wanted.wants(kind, provider) and self.scope.has_event(kind)
        ]

    def _matches(self, run: EndedRun) -> bool:
        assert self.wanted is not None
        data = data_of_run(self.stack, run.key, run.event_id)
        if data is None:
            return False
        return self.wanted.matches(data) and (self.scope.filter is None or self.scope.filter.matches(data))

    def _ends(self) -> bool:
        return len(self.recovered) + len(self.made) >= self.limit or self.is_time_up()


def _batches(found: Iterable[T], size: int) -> Iterator[list[T]]:
    entries = iter(found)
    while batch := list(islice(entries, size)):
        yield batch
