"""A recipe for each of three kinds that are code means the same of all recorded answers but those that a page lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.contract.providers.examples import Example, as_recorded, load
from tests.support.template import ROOT

from tunehook.providers.kinds import ADAPTERS
from tunehook.providers.recipes.described import DescribedAdapter
from tunehook.providers.recipes.recipe_file import read_recipe

RECIPES = Path(__file__).parent / "recipes"
SEEDS = ("musicmint", "qhaigc", "suno")
EXAMPLES = [example for example in load() if example.kind in SEEDS]
PAGE = (ROOT / "docs" / "provider-contracts.md").read_text()


@cache
def recipe_of_the(kind: str) -> DescribedAdapter:
    return DescribedAdapter(read_recipe((RECIPES / f"{kind}.toml").read_text()))


def listed() -> Iterator[str]:
    """The answers that the contracts say a recipe reads otherwise, in the table's order."""
    section = PAGE.split("\n## What a recipe reads otherwise\n")[1].split("\n## ")[0]
    for row in re.findall(r"^\| (?!---|why).*$", section, re.MULTILINE):
        yield from re.findall(r"`((?:musicmint|qhaigc|suno)/[a-z0-9-]+)`", row)


def means(example: Example) -> Any:
    adapter = recipe_of_the(example.kind)
    if not example.is_many:
        return as_recorded(example.read(adapter))
    if adapter.ids_per_call is None:
        return None
    return as_recorded(adapter.read_many(example.answer()))


def without_words(outcome: Any) -> Any:
    """An outcome without what it tells people of an answer that is none, and of links that are none."""
    if isinstance(outcome, dict):
        kept = {name: without_words(value) for name, value in outcome.items() if name != "cause"}
        links = kept.get("unusable_links", [])
        return kept | ({"unusable_links": [link.partition(": ")[2] for link in links]} if links else {})
    return [without_words(each) for each in outcome] if isinstance(outcome, list) else outcome


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_a_recipe_means_the_same_unless_the_contracts_list_the_answer(example: Example) -> None:
    is_same = without_words(means(example)) == without_words(example.record["outcome"])
    assert is_same is (example.name not in set(listed()))


def test_the_list_names_each_answer_once_and_only_those_that_there_are() -> None:
    names = list(listed())
    assert len(names) == len(set(names))
    assert set(names) <= {example.name for example in EXAMPLES}
    assert f"the same of {len(EXAMPLES) - len(names)} of the {len(EXAMPLES)} recorded responses" in PAGE


@pytest.mark.parametrize("kind", SEEDS)
def test_a_recipe_asks_the_same_questions(kind: str) -> None:
    coded, described = ADAPTERS[kind], recipe_of_the(kind)
    for task_id in ("task-1", "a/b c%?#", "\u6b4c"):
        assert described.request(task_id) == coded.request(task_id)
    assert described.ids_per_call == (100 if kind == "suno" else None)
    if kind == "suno":
        assert described.many_request(["a", "b"], 1) == coded.many_request(["a", "b"], 1)
