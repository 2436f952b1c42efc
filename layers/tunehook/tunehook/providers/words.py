"""Status words, which alone decide whether a task has ended (docs/provider-contracts.md, rows 7 to 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tunehook.providers import fields
from tunehook.providers.outcomes import Pending

if TYPE_CHECKING:
    from collections.abc import Iterable

Verdict: TypeAlias = Literal["queued", "processing", "succeeded", "failed", "unknown"]

_MAX_WORD = 64


class Words:
    """One vocabulary of status words; case, outer spaces, and ``-``, space or ``_`` between do not matter."""

    def __init__(
        self,
        *,
        queued: Iterable[str],
        processing: Iterable[str],
        succeeded: Iterable[str],
        failed: Iterable[str],
    ) -> None:
        verdicts: dict[Verdict, Iterable[str]] = {
            "queued": queued,
            "processing": processing,
            "succeeded": succeeded,
            "failed": failed,
        }
        self._verdicts = {word: verdict for verdict, words in verdicts.items() for word in words}

    def verdict(self, value: Any) -> Verdict:
        """Return what a status means. None stands for the empty word; what is no text is unknown."""
        if value is None:
            value = ""
        if not isinstance(value, str):
            return "unknown"
        word = value.strip().lower().replace("-", "_").replace(" ", "_")
        return self._verdicts.get(word, "unknown")


def pending(verdict: Verdict, value: Any, submitted_at: Any = None) -> Pending:
    """Return the outcome of a status that is not final. An unknown word counts as processing."""
    return Pending(
        phase="queued" if verdict == "queued" else "processing",
        word=fields.text(value, _MAX_WORD) or "",
        submitted_at=fields.moment(submitted_at),
        known=verdict != "unknown",
    )
