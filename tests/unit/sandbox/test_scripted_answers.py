from __future__ import annotations

from typing import Any

import pytest

from tunehook_local.sandbox.scripted_answers import TaskAnswer


@pytest.mark.parametrize("phase", ["queued", "processing", "completed", "failed", "not_found"])
def test_a_plain_phase_can_stand_in_a_list(phase: str) -> None:
    assert TaskAnswer.model_validate({"phase": phase, "word": "x", "clips": 1}).is_plain_phase


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 200},
        {"phase": "unauthorised"},
        {"phase": "queued", "headers": {"x-a": "1"}},
        {"phase": "queued", "hang": True},
        {"phase": "queued", "reset": True},
        {"phase": "queued", "delay_s": 0.1},
        {"phase": "queued", "cut_after_bytes": 0},
        {"phase": "queued", "drip_bytes": 1},
        {"phase": "queued", "length_off_by": -1},
        {"phase": "queued", "chunked": True},
    ],
)
def test_an_answer_that_is_more_than_a_phase_cannot_stand_in_a_list(answer: dict[str, Any]) -> None:
    assert not TaskAnswer.model_validate(answer).is_plain_phase


@pytest.mark.parametrize(
    ("answer", "final"),
    [
        ({"phase": "completed"}, True),
        ({"phase": "failed"}, True),
        ({"phase": "processing"}, False),
        ({"phase": "not_found"}, False),
        ({"status": 200}, False),
    ],
)
def test_only_success_and_failure_end_a_task(answer: dict[str, Any], final: bool) -> None:
    assert TaskAnswer.model_validate(answer).final is final
