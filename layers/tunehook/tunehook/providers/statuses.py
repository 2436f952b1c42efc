"""Status words, which alone decide whether a task has ended (docs/provider-contracts.md, "Status words")."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

from tunehook.providers import coerce
from tunehook.providers.outcomes import Pending, TaskResult

StatusClass: TypeAlias = Literal["queued", "processing", "succeeded", "failed", "seems_failed", "unknown"]

ENDED: Final[frozenset[StatusClass]] = frozenset({"succeeded", "failed"})

_MAX_WORD = 64
_SPELLINGS = 1_000  # that are remembered: nearly every answer has one that was met before
_FAILURE_ENDINGS = coerce.names("failed error exception rejected canceled cancelled expired timeout")


class StatusVocabulary:
    """Classify status words, given by class as `normal` writes them, with spaces between."""

    def __init__(self, words: Mapping[StatusClass, str]) -> None:
        self._spelled: dict[str, StatusClass] = {}
        self._classes: dict[str, StatusClass] = {"": "queued"}
        for status, members in words.items():
            self._classes |= dict.fromkeys(members.split(), status)

    def classify(self, value: Any) -> StatusClass:
        """Return what a status means: queued without one, unknown if it is no text.

        An unknown word that ends like a failure (``UPLOAD_FAILED``) seems to be one.
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
        return "seems_failed" if word.endswith(_FAILURE_ENDINGS) else "unknown"


def normal(word: str) -> str:
    return word.strip().lower().replace("-", "_").replace(" ", "_")


def pending(
    status: StatusClass,
    value: Any,
    submitted_at: Any = None,
    refreshed_at: Any = None,
    *,
    read: Callable[[], TaskResult] | None = None,
    may_have_clips: bool = False,
) -> Pending:
    """Return the outcome of a status that is not final. An unknown word counts as processing."""
    return Pending(
        phase="queued" if status == "queued" else "processing",
        word=coerce.text(value, _MAX_WORD) or "",
        submitted_at=coerce.moment(submitted_at),
        known=status != "unknown",
        refreshed_at=coerce.moment(refreshed_at),
        read=read,
        may_have_clips=may_have_clips,
    )
