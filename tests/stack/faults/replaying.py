"""A subscription that is made in the middle of a run, and replayed when all tasks have ended: first some, then all."""

from __future__ import annotations

from dataclasses import replace

from tests.stack.faults.books import Replay
from tests.stack.faults.deployment import Deployment
from tests.stack.faults.plan import PlannedSubscription

from tunehook.event_patterns import EventPattern
from tunehook.http.guard import NetworkPolicy
from tunehook.operations.recovery import RecoveryScope, recover, recover_page
from tunehook.operations.stack import Stack

_PAGE = 3
"""So small that a short run has several pages."""


def replay(stack: Deployment, subscription: PlannedSubscription, since_ms: int) -> tuple[str, ...]:
    """Ask for what was never made for a subscription, by pages, and for all of it once more; return the ids.

    First for tasks whose ids end in the first of the characters that its filter asks for, by a filter of the replay.
    """
    operated, name = _operated(stack), subscription.subscription_id
    pattern = EventPattern.read({"task_id": [{"suffix": (subscription.only or "")[:1]}]})
    some = RecoveryScope(since_ms=since_ms, filter=pattern, only_missing=True)
    made, cursor, is_first = [], None, True
    while is_first or cursor is not None:
        page = recover_page(operated, name, some, cursor=cursor, limit=_PAGE)
        made += page.made
        cursor, is_first = page.next_cursor, False
    return (*made, *recover(operated, name, RecoveryScope(since_ms=since_ms, only_missing=True)).made)


def look_again(
    stack: Deployment, subscription: PlannedSubscription, since_ms: int, asked: tuple[str, ...]
) -> Replay:
    """Return what has come of a replay: what it asked for, and what one would still make."""
    scope = RecoveryScope(since_ms=since_ms, only_missing=True)
    left = recover(_operated(stack), subscription.subscription_id, scope, dry_run=True).made
    return Replay(subscription.subscription_id, asked, tuple(left))


def _operated(stack: Deployment) -> Stack:
    return replace(stack.as_operated(), parameters={"NetworkPolicy": NetworkPolicy.ANY.value})
