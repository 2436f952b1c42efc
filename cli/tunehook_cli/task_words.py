"""What a task and its deliveries say, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from tunehook_cli import output

if TYPE_CHECKING:
    from tunehook.deliveries import Delivery
    from tunehook.events import ArchivedAsset
    from tunehook_cli.task_view import AssetView, TaskView

TEXT_LINES: Final = 8
TEXT_CHARS: Final = 600
"""How much of a text that is a result is shown, at most."""

_SHORT_CHARS: Final = 160


def phase(task: TaskView) -> str | None:
    """Return what the provider says of a pending task: ``queued``, ``processing``, or done but for a file."""
    if not task.is_pending:
        return None
    return "completed, but a clip still streams: its file is waited for" if task.streams else task.phase


def is_overdue(task: TaskView, now_ms: int) -> bool:
    """Return whether a pending task is past its deadline, and waits for an answer that ends it."""
    return task.is_pending and task.deadline_ms is not None and task.deadline_ms <= now_ms


def trouble(task: TaskView, now_ms: int) -> str | None:
    """Return why a task has failed, or why a pending one does not go on; None if all is well."""
    if not task.is_pending:
        return None if task.failure is None else f"{task.failure.code}: {task.failure.reason}"
    if is_overdue(task, now_ms):
        could_not = f"could not be asked: {task.last_error}" if task.last_error else "waits for its question"
        return f"past its deadline; {could_not}"
    return task.last_error or None


def short(words: str | None) -> str | None:
    """Return words for one row of a listing: a provider's may be long, and `tasks show` has all of them."""
    return words if words is None or len(words) <= _SHORT_CHARS else f"{words[: _SHORT_CHARS - 1].rstrip()}…"


def texts(task: TaskView) -> Iterator[tuple[str, list[str], int]]:
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
    for clip in task.clips:
        if clip.text is not None:
            shown = "\n".join(clip.text.split("\n")[:TEXT_LINES])[:TEXT_CHARS]
            yield str(clip.title or clip.clip_id), shown.splitlines(), len(clip.text) - len(shown)


def media_type(asset: AssetView | ArchivedAsset) -> str | None:
    """Return the content type of a file, with the remark on it: ``audio/x-new, unrecognised``."""
    return ", ".join(filter(None, (asset.content_type, asset.remark))) or None


def took_s(task: TaskView, now_ms: int) -> float | None:
    """Return the seconds from the task's submission to its end, or to now."""
    since, until = task.submitted_at_ms, now_ms if task.is_pending else task.detected_at_ms
    return None if since is None or until is None else (until - since) / 1000


def files(task: TaskView) -> str | None:
    """Return how many files were kept, and their size; None while that is not known."""
    if not task.is_archived:
        return None
    kept = [asset for asset in task.assets if asset.status == "archived"]
    if not task.assets:
        return "none"
    total = output.size(sum(asset.bytes or 0 for asset in kept))
    return f"{len(kept)}{'' if len(kept) == len(task.assets) else f' of {len(task.assets)}'}, {total}"


def waited_for(task: TaskView) -> str:
    """Return what is known of an ended task's files while they are not settled."""
    missing = [asset for asset in task.assets if asset.status == "pending"]
    if not missing:
        return "its files are being copied"
    names = ", ".join(sorted({str(asset.type) for asset in missing}))
    return f"{len(missing)} of {len(task.assets)} files may still come ({names})"


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


def remarks(task: TaskView, now_ms: int, deliveries: Sequence[Delivery] = ()) -> str:
    """Return what there is to say of a task beside its status, its files and webhooks included."""
    words = [trouble(task, now_ms) or phase(task)]
    if not task.is_pending:
        if task.is_in_index:
            words.append("its event is on the way")
        elif (kept := files(task)) is None:
            words.append(waited_for(task))
            words += [f"webhooks: {webhooks(deliveries)}"] if deliveries else []
        else:
            words += [f"files: {kept}", f"webhooks: {webhooks(deliveries)}"]
    return "; ".join(filter(None, words))
