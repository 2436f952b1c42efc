"""What a recipe may hold at most, and at least."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.support.recipes import RECIPE

from tunehook.errors import InvalidInput
from tunehook.providers.recipes.recipe import Recipe
from tunehook.providers.recipes.recipe_file import read_recipe_json

ASK: dict[str, Any] = {"method": "POST", "path": "/tasks/{task_id}"}
MANY: dict[str, Any] = {"path": "/tasks?ids={task_ids}", "tasks": "@", "id": "id"}


def path(length: int) -> dict[str, Any]:
    return {"ask": {"path": "/{task_id}".ljust(length, "x")}}


def body(size: int) -> dict[str, Any]:
    return {"ask": ASK | {"body": {"text": "x" * (size - len('{"text": ""}'))}}}


def headers(count: int) -> dict[str, Any]:
    return {"headers": {f"x-{number}": "value" for number in range(count)}}


def header_name(length: int) -> dict[str, Any]:
    return {"headers": {"x" * length: "value"}}


def header_value(length: int) -> dict[str, Any]:
    return {"headers": {"x-one": "x" * length}}


def words(count: int) -> dict[str, Any]:
    return {"words": {"succeeded": [f"word-{number}" for number in range(count)]}}


def word(length: int) -> dict[str, Any]:
    return {"words": {"succeeded": ["x" * length]}}


def values(count: int) -> dict[str, Any]:
    named = {"x" * (number + 1): "id" for number in range(count)}
    return {"result": {"path": "/results/{task_id}", "values": named}}


def value_name(length: int) -> dict[str, Any]:
    return {"result": {"path": "/results/{task_id}", "values": {"x" * length: "id"}}}


def fall_backs(count: int) -> dict[str, Any]:
    return {"task": {"status": ["status"] * count}}


def ids_per_call(count: int) -> dict[str, Any]:
    return {"ask_many": MANY | {"ids_per_call": count}}


def actions(count: int) -> dict[str, Any]:
    return {"submit": {"actions": {f"action-{number}": "/make" for number in range(count)}}}


def action(length: int) -> dict[str, Any]:
    return {"submit": {"actions": {"x" * length: "/make"}}}


def prefix(length: int) -> dict[str, Any]:
    return {"key": {"in": "header", "name": "x-key", "prefix": "x" * length}}


def about(length: int) -> dict[str, Any]:
    return {"about": "x" * length}


def status(number: int) -> dict[str, Any]:
    return {"answers": {"not_found": {"statuses": [number]}}}


@pytest.mark.parametrize(
    ("given", "least", "most"),
    [
        (path, None, 2_000),
        (body, None, 16_000),
        (headers, None, 20),
        (header_name, 1, 64),
        (header_value, 1, 1_024),
        (words, 1, 100),
        (word, 1, 64),
        (values, None, 10),
        (value_name, 1, 32),
        (fall_backs, 1, 20),
        (ids_per_call, 1, 500),
        (actions, 1, 100),
        (action, 1, 64),
        (prefix, None, 64),
        (about, None, 500),
        (status, 300, 599),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_it_is_taken_up_to_its_bounds_and_refused_beyond(given: Any, least: int | None, most: int) -> None:
    read_recipe_json(RECIPE | given(most))
    with pytest.raises(InvalidInput):
        read_recipe_json(RECIPE | given(most + 1))
    if least is not None:
        read_recipe_json(RECIPE | given(least))
        with pytest.raises(InvalidInput):
            read_recipe_json(RECIPE | given(least - 1))


def test_what_a_recipe_sends_is_not_in_its_error() -> None:
    # A header may hold a second secret of the provider.
    faulty = RECIPE | {"headers": {"x-second-key": "sk-second"}, "ask": {"path": 1}}
    with pytest.raises(ValidationError) as raised:
        Recipe.model_validate(faulty)
    assert "sk-second" not in str(raised.value)
    with pytest.raises(ValidationError) as raised:
        Recipe.model_validate(RECIPE | {"headers": [{"x-second-key": "sk-second"}]})
    assert "headers" in str(raised.value)
    assert "sk-second" not in str(raised.value)
