"""Recipes before they are used: the bundled ones, one in a file, and what a recipe makes of recorded answers."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tunehook.errors import InvalidInput
from tunehook.operations.explaining import Explanation, describe_outcome, explain
from tunehook.operations.text import visible
from tunehook.providers.adapter import Answer, Screening
from tunehook.providers.outcomes import Throttled, Transient, Unauthorised
from tunehook.providers.recipes import bundled
from tunehook.providers.recipes.described import DescribedAdapter
from tunehook.providers.recipes.recipe import Recipe
from tunehook.providers.recipes.recipe_file import read_recipe

_JSON: Final = {"content-type": "application/json"}
_FILE_ENDING: Final = ".toml"


@dataclass(frozen=True, slots=True)
class BundledRecipe:
    """A recipe that comes with tunehook: what it is for, the base URL it brings, what it was verified against."""

    name: str
    about: str
    base_url: str | None
    verified: str


@dataclass(frozen=True, slots=True)
class TriedAnswer:
    """How a recipe reads one recorded answer, and the answer it leads to; or why the file cannot be read.

    `outcomes` are those of an answer about many tasks, by their ids.
    """

    file: str
    explanations: tuple[Explanation, ...] = ()
    outcomes: Mapping[str, str] | None = None
    problem: str | None = None


def bundled_recipes() -> list[BundledRecipe]:
    """Return the recipes that come with tunehook.

    >>> "replicate" in [each.name for each in bundled_recipes()]
    True
    """
    return [
        BundledRecipe(name, recipe.about, recipe.base_url, bundled.verified(name))
        for name, recipe in ((name, bundled.read_bundled(name)) for name in bundled.names())
    ]


def bundled_text(name: str) -> str:
    """Return the TOML of a bundled recipe; raises `InvalidInput` with their names where it is none of them.

    >>> "[ask]" in bundled_text("replicate")
    True
    """
    return bundled.text(name)


def given_recipe(given: str) -> str | dict[str, Any]:
    """Return a recipe as the secret has it, by what a user gave: the name of a bundled one, or a file.

    Raises `InvalidInput` with the file, the line and the reason where it is refused.

    >>> given_recipe("replicate")
    'replicate'
    """
    return given if given in bundled.names() else recipe_in(given).as_json()


def recipe_in(given: str) -> Recipe:
    """Return the recipe of a file, or a bundled one by its name; raises what `given_recipe` does.

    >>> recipe_in("replicate").base_url
    'https://api.replicate.com'
    """
    path = Path(given)
    if given in bundled.names() or not (path.suffix == _FILE_ENDING or path.exists() or path.name != given):
        return bundled.read_bundled(given)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InvalidInput("recipe", f"cannot read {visible(given)}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidInput("recipe", f"{visible(given)} is not UTF-8") from None
    try:
        return read_recipe(text)
    except InvalidInput as error:
        raise InvalidInput("recipe", f"{visible(given)}: {error.reason}") from None


def try_recipe(recipe: Recipe, files: list[str]) -> list[TriedAnswer]:
    """Return how a recipe reads answers that were recorded: each file is a body, or an answer with its status.

    The latter form is that of tunehook's own tests: ``{"answer": {"status", "headers", "body"}, "second": {...}}``, the
    second for the question that the first answer leads to.

    >>> [each.problem for each in try_recipe(recipe_in("replicate"), ["/not/there"])]
    ['cannot be read: No such file or directory']
    """
    adapter = DescribedAdapter(recipe)
    return [_tried(adapter, recipe, file) for file in files]


def _tried(adapter: DescribedAdapter, recipe: Recipe, file: str) -> TriedAnswer:
    try:
        record = json.loads(Path(file).read_bytes().decode("utf-8-sig"))
        answers = _answers(record, recipe.base_url or "")
    except OSError as error:
        return TriedAnswer(file, problem=f"cannot be read: {error.strerror}")
    except InvalidInput as error:
        return TriedAnswer(file, problem=str(error))
    except (ValueError, RecursionError):
        return TriedAnswer(file, problem="is no JSON")
    if isinstance(record, dict) and "answer" in record and "task_ids" in record:
        return _of_many(adapter, file, answers[0])
    return TriedAnswer(file, tuple(explain(adapter, answers)))


def _of_many(adapter: DescribedAdapter, file: str, answer: Answer) -> TriedAnswer:
    if adapter.ids_per_call is None:
        return TriedAnswer(file, problem="is about many tasks, and the recipe has no [ask_many]")
    read = adapter.read_many(answer)
    if isinstance(read, Screening):
        single = "asked singly"
        outcomes = {
            task_id: single if each is None else describe_outcome(each)
            for task_id, each in read.found.items()
        }
    elif isinstance(read, Throttled | Unauthorised | Transient):
        outcomes = {"": describe_outcome(read)}
    else:
        outcomes = {"": "this provider does not know query-many: tasks are asked singly"}
    return TriedAnswer(file, outcomes=outcomes)


def _answers(record: Any, base_url: str) -> list[Answer]:
    if not (isinstance(record, dict) and isinstance(record.get("answer"), dict)):
        return [Answer(200, _JSON, json.dumps(record).encode(), base_url=base_url)]
    given = {name: record[name] for name in ("answer", "second") if record.get(name) is not None}
    return [_answer(name, each, base_url) for name, each in given.items()]


def _answer(name: str, given: Any, base_url: str) -> Answer:
    status = given.get("status", 200) if isinstance(given, dict) else None
    headers = given.get("headers") or {} if isinstance(given, dict) else None
    if type(status) is not int or not isinstance(headers, dict):
        raise InvalidInput(name, "is no answer: it has a status, headers and a body")
    body = given.get("body", "")
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    if "body_base64" in given:
        try:
            content = base64.b64decode(given["body_base64"])
        except (TypeError, binascii.Error):
            raise InvalidInput(f"{name}.body_base64", "is no base64") from None
    named = {str(key).lower(): str(value) for key, value in headers.items()}
    return Answer(status, named or _JSON, content, base_url=given.get("base_url") or base_url)
