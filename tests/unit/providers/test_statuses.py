from __future__ import annotations

from typing import Any

import pytest

from tunehook.providers.statuses import ENDED, StatusVocabulary, pending

WORDS = StatusVocabulary(
    {"queued": "in_line", "processing": "on_it", "succeeded": "done", "failed": "failed no_luck"}
)


@pytest.mark.parametrize(
    ("value", "status"),
    [
        *[(None, "queued"), ("", "queued"), (" ", "queued"), ("IN LINE", "queued"), ("in-line", "queued")],
        *[(" On_It ", "processing"), ("done", "succeeded"), ("no-luck", "failed"), ("other", "unknown")],
        *[
            (7, "unknown"),
            (True, "unknown"),
            ([], "unknown"),
            ("failed", "failed"),
            ("failed_so_far", "unknown"),
        ],
    ],
)
def test_neither_case_nor_what_stands_between_words_matters(value: Any, status: str) -> None:
    assert [WORDS.classify(value) for _ in range(2)] == [status] * 2


@pytest.mark.parametrize(
    "end", ["failed", "error", "exception", "rejected", "canceled", "cancelled", "expired", "timeout"]
)
def test_a_word_that_ends_like_a_failure_seems_to_be_one(end: str) -> None:
    assert WORDS.classify(f"UPLOAD_{end.upper()}") == "seems_failed"


def test_a_task_has_ended_well_or_badly() -> None:
    assert {"succeeded", "failed"} == ENDED


def test_a_status_that_is_not_final_is_told_with_its_word() -> None:
    known, unknown = pending("queued", "x" * 65, 1733717599, 1733717600), pending("unknown", None)
    assert (known.phase, known.word, known.known) == ("queued", "x" * 64, True)
    assert (unknown.phase, unknown.word, unknown.known) == ("processing", "", False)
    assert None not in (known.submitted_at, known.refreshed_at)
    assert known.submitted_at != known.refreshed_at
