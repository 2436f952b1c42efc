from typing import Any

import pytest

from tunehook.providers.outcomes import Unauthorised
from tunehook.providers.refusals import (
    described,
    message,
    own_status,
    refusal,
    says_no_such_path,
    says_not_found,
    says_too_often,
)


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


@pytest.mark.parametrize(
    "code",
    ["task-not-exist", "task-not-exists", "task-not-found", "not_found", "NotFound", "record-not-found"],
)
def test_a_code_may_say_it_alone_unless_the_words_are_about_something_else(code: str) -> None:
    assert says_not_found({"code": code})
    assert not says_not_found({"code": "not-found", "message": "the model is gone"})


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        *[({"code": code}, code) for code in (400, 401, 599)],
        *[({"code": code}, None) for code in (399, 600, True, 401.0, "x", None, "²")],
        *[
            ({"code": " 429 "}, 429),
            ({"error": {"code": "401"}}, 401),
            ({"code": 402, "error": {"code": 401}}, 402),
        ],
        *[({"code": "4290000000"}, None), ({}, None), ({"error": "text"}, None)],
    ],
)
def test_a_code_that_is_a_status_counts_as_one(payload: dict[str, Any], status: int | None) -> None:
    assert own_status(payload) == status


@pytest.mark.parametrize("status", [200, 400, 401, 403, 429, 430])
def test_no_credit_may_be_told_with_many_a_status(status: int) -> None:
    found = refusal(status, {"message": "insufficient balance"}, "what")
    assert isinstance(found, Unauthorised)
    assert found.reason == "credit"
    assert refusal(404, {"message": "insufficient balance"}, "what") is None


@pytest.mark.parametrize(
    ("words", "is_credit"),
    [
        ("quota exceeded: 60 requests per minute", False),
        ("quota exceeded: 60 requests per minute of your balance", True),
        ("quota exceeded", True),
        ("requests per minute", False),
    ],
)
def test_a_quota_of_questions_is_not_one_of_money(words: str, is_credit: bool) -> None:
    assert (refusal(200, {"message": words}, "what") is not None) is is_credit


@pytest.mark.parametrize(
    ("words", "is_said"),
    [("too many requests", True), ("too many requests, recharge", False), ("recharge", False), ("no", False)],
)
def test_too_often_is_not_told_from_money(words: str, is_said: bool) -> None:
    assert says_too_often({"message": words}) is is_said


@pytest.mark.parametrize(
    ("words", "is_said"),
    [("invalid URL", True), ("Method Not Allowed", True), ("方法", True), ("no task", False)],
)
def test_a_path_that_is_not_there_is_told_in_words(words: str, is_said: bool) -> None:
    assert says_no_such_path({"message": words}) is is_said


@pytest.mark.parametrize(
    "name", ["code", "message", "msg", "err_msg", "error_msg", "errorMessage", "detail", "description"]
)
@pytest.mark.parametrize("is_inside", [False, True])
def test_the_words_of_an_error_stand_under_many_names(name: str, is_inside: bool) -> None:
    payload = {name: "because"}
    assert message({"error": payload} if is_inside else payload) == "because"


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        *[({"errors": [{name: "because"}]}, "because") for name in ("message", "msg", "detail", "title")],
        *[
            ({"errors": ["first", "second"]}, "first"),
            ({"errors": []}, None),
            ({"error": "because"}, "because"),
        ],
        *[
            ({"message": "it’s"}, "it's"),
            ({"message": "x" * 400}, "x" * 300),
            ({"error": {"type": "kind"}}, None),
        ],
    ],
)
def test_the_words_of_an_error_are_found_in_lists_too(payload: dict[str, Any], words: str | None) -> None:
    assert message(payload) == words


def test_the_type_of_an_error_counts_for_what_it_is_about() -> None:
    assert says_too_often({"error": {"type": "rate_limit"}})
    assert not says_too_often({"type": "rate_limit"})


def test_a_thing_that_is_not_there_is_no_task_where_something_else_is_named() -> None:
    assert says_not_found({"message": "song not found"})
    assert not says_not_found({"message": "song not found for this user"})
    assert says_not_found({"message": "task not found for this user"})
    assert not says_not_found({"message": "task not found: invalid URL"})
