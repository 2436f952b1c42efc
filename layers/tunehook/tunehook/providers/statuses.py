"""Status words, which alone decide whether a task has ended (docs/provider-contracts.md, "Status words")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from tunehook.providers import coerce
from tunehook.providers.outcomes import Pending

if TYPE_CHECKING:
    from collections.abc import Iterable

StatusClass: TypeAlias = Literal["queued", "processing", "succeeded", "failed", "seems_failed", "unknown"]

ENDED: Final[frozenset[StatusClass]] = frozenset({"succeeded", "failed"})

_MAX_WORD = 64
_SPELLINGS = 1_000
"""So many spellings of known words are remembered, as nearly every answer has one that was met before."""

_ENDS_LIKE_A_FAILURE = (
    *("failed", "error", "exception", "rejected", "canceled", "cancelled", "expired", "timeout"),
)


class StatusVocabulary:
    """Classify status words; case, outer spaces, and ``-``, space or ``_`` between do not matter."""

    def __init__(
        self,
        *,
        queued: Iterable[str],
        processing: Iterable[str],
        succeeded: Iterable[str],
        failed: Iterable[str],
    ) -> None:
        words: dict[StatusClass, Iterable[str]] = {
            "queued": queued,
            "processing": processing,
            "succeeded": succeeded,
            "failed": failed,
        }
        self._spelled: dict[str, StatusClass] = {}
        self._classes = {word: status for status, members in words.items() for word in members}

    def classify(self, value: Any) -> StatusClass:
        """Return what a status means.

        None stands for the empty word; what is no text is unknown. An unknown word that ends like a failure
        (``UPLOAD_FAILED``) seems to be one.
        """
        if value is None:
            value = ""
        if not isinstance(value, str):
            return "unknown"
        if (spelled := self._spelled.get(value)) is not None:
            return spelled
        word = normal(value)
        if (known := self._classes.get(word)) is not None:
            if len(self._spelled) < _SPELLINGS:
                self._spelled[value] = known
            return known
        return "seems_failed" if word.endswith(_ENDS_LIKE_A_FAILURE) else "unknown"


def normal(word: str) -> str:
    """Return a status word in the form in which vocabularies have it."""
    return word.strip().lower().replace("-", "_").replace(" ", "_")


def pending(status: StatusClass, value: Any, submitted_at: Any = None, refreshed_at: Any = None) -> Pending:
    """Return the outcome of a status that is not final. An unknown word counts as processing."""
    return Pending(
        phase="queued" if status == "queued" else "processing",
        word=coerce.text(value, _MAX_WORD) or "",
        submitted_at=coerce.moment(submitted_at),
        known=status != "unknown",
        refreshed_at=coerce.moment(refreshed_at),
    )
