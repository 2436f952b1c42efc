"""What an item of the Tasks table and its deliveries say, in words. An item may have been written by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tunehook.tasks import Status
from tunehook_cli import output

if TYPE_CHECKING:
    from tunehook.deliveries import Delivery


def is_pending(item: Mapping[str, Any]) -> bool:
    """Return whether a run of the task is under way; a new item, which has no status yet, counts."""
    return item.get("status") in (None, Status.PENDING)


def status(item: Mapping[str, Any]) -> str:
    """Return the status of a task; a new item has none yet."""
    return str(item.get("status", "new"))


def phase(item: Mapping[str, Any]) -> str | None:
    """Return what the provider says of a pending task: ``queued``, ``processing``."""
    return str(item["phase"]) if is_pending(item) and "phase" in item else None


def trouble(item: Mapping[str, Any]) -> str | None:
    """Return why a task has failed, or what keeps a pending one from being asked about; None if all is well."""
    failure = item.get("failure")
    if not is_pending(item) and isinstance(failure, Mapping):
        return f"{failure.get('code')}: {failure.get('reason')}"
    last_error = item.get("last_error")
    return str(last_error) if is_pending(item) and last_error else None


def took_s(item: Mapping[str, Any], now_ms: int) -> float | None:
    """Return the seconds from the task's submission to its end, or to now."""
    since = item.get("submitted_at_ms")
    until = now_ms if is_pending(item) else item.get("detected_at_ms")
    return None if not isinstance(since, int) or not isinstance(until, int) else (until - since) / 1000


def files(item: Mapping[str, Any]) -> str | None:
    """Return how many files were kept, and their size; None while that is not known."""
    if "archived_at_ms" not in item:
        return None
    assets = item.get("assets", ())
    kept = [asset for asset in assets if asset.get("status") == "archived"]
    if not assets:
        return "none"
    total = output.size(sum(asset.get("bytes", 0) for asset in kept))
    return f"{len(kept)}, {total}" if len(kept) == len(assets) else f"{len(kept)} of {len(assets)}, {total}"


def webhooks(deliveries: Sequence[Delivery]) -> str:
    """Return how many deliveries stand how, and when the next attempt is due."""
    counts = Counter(delivery.status.value for delivery in deliveries)
    words = ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
    tried = [delivery for delivery in deliveries if delivery.attempts and delivery.next_attempt_at_ms]
    if not tried:
        return words
    soonest = min(tried, key=lambda delivery: delivery.next_attempt_at_ms or 0)
    due = output.clock_time(soonest.next_attempt_at_ms or 0)
    return f"{words}, next attempt {due} after {last_answer(soonest)}"


def last_answer(delivery: Delivery) -> str:
    """Return what the last attempt of a delivery came to."""
    if not delivery.attempts:
        return "no attempt yet"
    attempt = delivery.attempts[-1]
    return f"HTTP {attempt.status_code}" if attempt.status_code is not None else attempt.error or "no answer"


def remarks(item: Mapping[str, Any], deliveries: Sequence[Delivery] = ()) -> str:
    """Return what there is to say of a task beside its status, its files and webhooks included."""
    words = [trouble(item) or phase(item)]
    if not is_pending(item):
        if "queue" in item:
            words.append("its event is on the way")
        elif (kept := files(item)) is None:
            words.append("its files are being copied")
        else:
            words += [f"files: {kept}", f"webhooks: {webhooks(deliveries)}"]
    return "; ".join(filter(None, words))
