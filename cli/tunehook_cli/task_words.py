"""What an item of the Tasks table and its deliveries say, in words. An item may have been written by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from tunehook.tasks import Status
from tunehook_cli import output

if TYPE_CHECKING:
    from tunehook.deliveries import Delivery

TEXT_LINES: Final = 8
TEXT_CHARS: Final = 600
"""How much of a text that is a result is shown, at most."""

_SHORT_CHARS: Final = 160


def is_pending(item: Mapping[str, Any]) -> bool:
    """Return whether a run of the task is under way; a new item, which has no status yet, counts."""
    return item.get("status") in (None, Status.PENDING)


def status(item: Mapping[str, Any]) -> str:
    """Return the status of a task; a new item has none yet."""
    return str(item.get("status", "new"))


def phase(item: Mapping[str, Any]) -> str | None:
    """Return what the provider says of a pending task: ``queued``, ``processing``, or done but for a file."""
    if not is_pending(item):
        return None
    if "streaming_since_ms" in item:
        return "completed, but a clip still streams: its file is waited for"
    return str(item["phase"]) if "phase" in item else None


def is_overdue(item: Mapping[str, Any], now_ms: int) -> bool:
    """Return whether a pending task is past its deadline, and waits for an answer that ends it."""
    deadline_ms = item.get("deadline_ms")
    return is_pending(item) and isinstance(deadline_ms, int) and deadline_ms <= now_ms


def trouble(item: Mapping[str, Any], now_ms: int) -> str | None:
    """Return why a task has failed, or why a pending one does not go on; None if all is well."""
    failure = item.get("failure")
    if not is_pending(item):
        return f"{failure.get('code')}: {failure.get('reason')}" if isinstance(failure, Mapping) else None
    last_error = item.get("last_error")
    if is_overdue(item, now_ms):
        could_not = f"could not be asked: {last_error}" if last_error else "waits for its question"
        return f"past its deadline; {could_not}"
    return str(last_error) if last_error else None


def short(words: str | None) -> str | None:
    """Return words for one row of a listing: a provider's may be long, and `tasks show` has all of them."""
    return words if words is None or len(words) <= _SHORT_CHARS else f"{words[: _SHORT_CHARS - 1].rstrip()}…"


def texts(item: Mapping[str, Any]) -> Iterator[tuple[str, list[str], int]]:
    """Yield the texts that are results of a task.

    Yields
    ------
    title : str
        The clip's, or its id.
    lines : list of str
        How the text begins, at most `TEXT_LINES` and `TEXT_CHARS`.
    left_out : int
        How many characters follow.
    """
    for clip in item.get("clips") or ():
        text = clip.get("text") if isinstance(clip, Mapping) else None
        if isinstance(text, str):
            shown = "\n".join(text.split("\n")[:TEXT_LINES])[:TEXT_CHARS]
            yield str(clip.get("title") or clip.get("clip_id")), shown.splitlines(), len(text) - len(shown)


def media_type(asset: Mapping[str, Any]) -> str | None:
    """Return the content type of a file, with the remark on it: ``audio/x-new, unrecognised``."""
    return ", ".join(str(asset[name]) for name in ("content_type", "remark") if asset.get(name)) or None


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


def waited_for(item: Mapping[str, Any]) -> str:
    """Return what is known of an ended task's files while they are not settled."""
    assets = [asset for asset in item.get("assets") or () if isinstance(asset, Mapping)]
    missing = [asset for asset in assets if asset.get("status") == "pending"]
    if not missing:
        return "its files are being copied"
    names = ", ".join(sorted({str(asset.get("type")) for asset in missing}))
    return f"{len(missing)} of {len(assets)} files may still come ({names})"


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


def remarks(item: Mapping[str, Any], now_ms: int, deliveries: Sequence[Delivery] = ()) -> str:
    """Return what there is to say of a task beside its status, its files and webhooks included."""
    words = [trouble(item, now_ms) or phase(item)]
    if not is_pending(item):
        if "queue" in item:
            words.append("its event is on the way")
        elif (kept := files(item)) is None:
            words.append(waited_for(item))
            words += [f"webhooks: {webhooks(deliveries)}"] if deliveries else []
        else:
            words += [f"files: {kept}", f"webhooks: {webhooks(deliveries)}"]
    return "; ".join(filter(None, words))
