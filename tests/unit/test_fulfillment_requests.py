from typing import Any

import pytest
from pydantic import ValidationError

from tunehook.fulfillment_requests import ArchiveRequest, ProgressRequest

# As documented, and not imported: a bound that moves is to be noticed.
LATEST_MS = 253_402_300_799_999

WHOLE: dict[str, Any] = {"task_id": "task-1", "provider": "suno", "requested_at_ms": 1_800_000_000_000}


@pytest.mark.parametrize("moment_ms", [0, LATEST_MS])
def test_files_are_asked_for_at_any_moment_that_can_be_written(moment_ms: int) -> None:
    assert ArchiveRequest(**WHOLE | {"requested_at_ms": moment_ms}).requested_at_ms == moment_ms


def test_the_longest_key_that_a_table_holds_is_taken() -> None:
    request = ArchiveRequest(**WHOLE | {"task_id": "x" * 2_048, "provider": "歌" * 341})
    assert len(request.task_id) == 2_048


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task_id", ""),
        ("task_id", "x" * 2_049),
        ("task_id", "\ud800"),
        ("provider", ""),
        ("provider", "歌" * 342),
        ("requested_at_ms", -1),
        ("requested_at_ms", LATEST_MS + 1),
        ("requested_at_ms", 10**30),
    ],
)
def test_a_request_that_can_be_for_no_task_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as refused:
        ArchiveRequest(**WHOLE | {field: value})
    assert refused.value.errors()[0]["loc"] == (field,)


PROGRESS: dict[str, Any] = {
    "task_id": "task-1",
    "provider": "suno",
    "since_ms": 0,
    "number": 1,
    "at_ms": 0,
    "submitted_at_ms": 0,
    "phase": "queued",
}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"progress": 0},
        {"progress": 100},
        {"number": 1_000_000},
        {"since_ms": LATEST_MS, "at_ms": LATEST_MS, "submitted_at_ms": LATEST_MS},
    ],
)
def test_progress_is_taken_up_to_its_bounds(changed: dict[str, Any]) -> None:
    assert ProgressRequest(**PROGRESS | changed).task_id == "task-1"


def test_progress_of_which_no_more_is_said_is_told_whole_and_without_clips() -> None:
    request = ProgressRequest(**PROGRESS)
    assert (request.truncated, request.clips, request.progress, request.provider_object) == (
        False,
        (),
        None,
        None,
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("since_ms", -1),
        ("since_ms", LATEST_MS + 1),
        ("number", 0),
        ("number", 1_000_001),
        ("at_ms", -1),
        ("at_ms", LATEST_MS + 1),
        ("submitted_at_ms", -1),
        ("submitted_at_ms", LATEST_MS + 1),
        ("phase", "completed"),
        ("progress", -1),
        ("progress", 101),
    ],
)
def test_progress_beyond_them_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as refused:
        ProgressRequest(**PROGRESS | {field: value})
    assert refused.value.errors()[0]["loc"] == (field,)
