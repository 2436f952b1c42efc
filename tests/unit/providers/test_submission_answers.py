"""What an answer to a submission says, by its status and its JSON alone; each kind's own are in the contract tests."""

from __future__ import annotations

from typing import Any

import pytest

from tunehook.providers.submission_answers import Refused, SubmissionAnswer, Submitted, Unclear, read


def answered(
    status: int, payload: Any, *, accepted: bool | None = None, own_id: str | None = None
) -> SubmissionAnswer:
    return read(status, b"", payload, accepted=accepted, own_id=own_id, content_type="", secret="")


NO = {"message": "no such model"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, Unclear),
        (299, Unclear),
        (300, Unclear),
        (301, Refused),
        (302, Unclear),
        (303, Unclear),
        (307, Refused),
        (308, Refused),
        (309, Unclear),
        (400, Refused),
        (401, Refused),
        (404, Refused),
        (408, Unclear),
        (422, Refused),
        (425, Unclear),
        (499, Unclear),
        (500, Unclear),
        (502, Unclear),
        (503, Unclear),
    ],
)
def test_a_status_says_whether_the_task_was_taken(status: int, kind: type[SubmissionAnswer]) -> None:
    assert type(answered(status, NO)) is kind


@pytest.mark.parametrize("status", [300, 500, 502])
def test_the_code_in_an_answer_says_nothing_beside_a_status_of_its_own(status: int) -> None:
    assert isinstance(answered(status, NO | {"code": 400}), Unclear)


@pytest.mark.parametrize(("code", "kind"), [(400, Refused), (422, Refused), (500, Unclear), (408, Unclear)])
def test_beside_a_good_status_it_counts(code: int, kind: type[SubmissionAnswer]) -> None:
    assert type(answered(200, NO | {"code": code}, accepted=False)) is kind


def test_an_id_of_its_own_place_goes_before_all_that_look_like_one() -> None:
    assert answered(200, {"task_id": "one-1"}, own_id="another-2") == Submitted("another-2")
    assert answered(200, {"task_id": "one-1"}) == Submitted("one-1")
    assert isinstance(answered(400, NO, own_id="another-2"), Unclear)


@pytest.mark.parametrize(
    ("accepted", "kind"), [(True, Submitted), (None, Unclear), (False, Unclear)], ids=str
)
def test_an_error_counts_where_no_envelope_says_yes(
    accepted: bool | None, kind: type[SubmissionAnswer]
) -> None:
    assert type(answered(200, {"task_id": "one-1", "error": "odd"}, accepted=accepted)) is kind


@pytest.mark.parametrize(
    "word", ["", " ", "0", "null", "None", "undefined", "NIL", "NaN", "false", "n/a", "-", 0, False]
)
def test_what_stands_for_nothing_is_no_id_and_leaves_a_refusal_one(word: Any) -> None:
    assert isinstance(answered(200, {"task_id": word}), Unclear)
    assert isinstance(answered(422, NO | {"task_id": word}), Refused)
