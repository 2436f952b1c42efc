from typing import Any

import pytest

from tunehook.providers.outcomes import Unauthorised
from tunehook.providers.refusals import described, message, refusal, says_not_found


@pytest.mark.parametrize(
    ("status", "words", "told"),
    [
        (402, "whatever", "no credit left: what"),
        (403, "insufficient_user_quota", "no credit left: what"),
        (200, "余额不足", "no credit left: what"),
        (403, "no access to model suno", "the key may not ask this: make a key without a model list: what"),
        (403, "forbidden", "the key may not ask this: what"),
        (403, "invalid api key", "what"),
        (401, "whatever", "what"),
        (200, "invalid token", "what"),
        (400, "invalid token", "what"),
        (404, "invalid token", None),
        (500, "invalid token", None),
        (200, "no such task", None),
        (400, "bad request", None),
    ],
)
def test_what_an_error_says_about_the_key(status: int, words: str, told: str | None) -> None:
    found = refusal(status, {"code": 1, "message": words}, "what")
    assert (found.detail if isinstance(found, Unauthorised) else found) == told


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"code": "task_not_exist", "message": "no task"}, "task_not_exist no task"),
        ({"message": "same", "msg": "same"}, "same"),
        ({"message": ""}, None),
        ({}, None),
        ("text", None),
    ],
)
def test_the_words_of_an_error_have_its_code_first_and_nothing_twice(payload: Any, words: str | None) -> None:
    assert message(payload) == words
    assert described(404, payload) == ("HTTP 404" if words is None else f"HTTP 404: {words}")


@pytest.mark.parametrize(
    ("payload", "is_said"),
    [
        ({"message": "task not found"}, True),
        ({"message": "model not found"}, False),
        ({"code": "not-found"}, True),
        ({"message": "try again"}, False),
    ],
)
def test_a_task_that_is_not_there_is_told_from_a_path_or_a_model(payload: Any, is_said: bool) -> None:
    assert says_not_found(payload) is is_said
