"""Recipes and recorded answers, as they are in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.recipes import RECIPE

from tunehook.errors import InvalidInput
from tunehook.operations.recipes import _answers, given_recipe, recipe_in, try_recipe
from tunehook.providers.recipes.recipe import Recipe

JSON = {"content-type": "application/json"}
HTTP = "https://there.example"


def test_a_recipe_that_is_no_text_is_refused_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match=r"recipe: .*r\.toml is not UTF-8"):
        recipe_in(str(tmp_path / "r.toml"))
    with pytest.raises(InvalidInput, match=r"recipe: cannot read .*none\.toml: No such file"):
        given_recipe(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("record", "answers"),
    [
        ({"a": 1}, [(200, JSON, b'{"a": 1}', HTTP)]),
        ([1], [(200, JSON, b"[1]", HTTP)]),
        ({"answer": "done"}, [(200, JSON, b'{"answer": "done"}', HTTP)]),
        ({"answer": {}}, [(200, JSON, b"", HTTP)]),
        ({"answer": {"body": {"a": 1}}}, [(200, JSON, b'{"a": 1}', HTTP)]),
        ({"answer": {"status": 502, "body": "no"}}, [(502, JSON, b"no", HTTP)]),
        ({"answer": {"headers": {"X-A": 1}, "body": "no"}}, [(200, {"x-a": "1"}, b"no", HTTP)]),
        ({"answer": {"body": "b", "body_base64": "eA=="}}, [(200, JSON, b"x", HTTP)]),
        ({"answer": {"base_url": "https://here.example"}}, [(200, JSON, b"", "https://here.example")]),
        (
            {"answer": {"body": "1"}, "second": {"body": "2"}},
            [(200, JSON, b"1", HTTP), (200, JSON, b"2", HTTP)],
        ),
        ({"answer": {"body": "1"}, "second": None}, [(200, JSON, b"1", HTTP)]),
    ],
    ids=str,
)
def test_a_file_is_a_body_or_an_answer_as_it_was_recorded(record: Any, answers: list[Any]) -> None:
    found = [(each.status, each.headers, each.body, each.base_url) for each in _answers(record, HTTP)]
    assert found == answers


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"answer": {"status": "200"}}, "answer"),
        ({"answer": {"status": True}}, "answer"),
        ({"answer": {"headers": [1]}}, "answer"),
        ({"answer": {}, "second": "no"}, "second"),
        ({"answer": {"body_base64": "eA="}}, "answer.body_base64"),
        ({"answer": {}, "second": {"body_base64": 7}}, "second.body_base64"),
    ],
    ids=str,
)
def test_what_is_no_answer_is_named(record: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        _answers(record, HTTP)
    assert raised.value.field == field


def test_a_body_that_has_ids_of_tasks_is_no_recorded_answer_about_many(tmp_path: Path) -> None:
    recipe = Recipe.model_validate(RECIPE)
    problems = {}
    for name, record in {
        "body": {"task_ids": ["a"], "status": "done"},
        "many": {"answer": {"body": "{}"}, "task_ids": ["a"]},
    }.items():
        (tmp_path / name).write_text(json.dumps(record), encoding="utf-8")
        (tried,) = try_recipe(recipe, [str(tmp_path / name)])
        problems[name] = tried.problem
    assert problems == {"body": None, "many": "is about many tasks, and the recipe has no [ask_many]"}
