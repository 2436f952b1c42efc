"""Which adapter a configured provider has, and what is loaded for it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.support.recipes import RECIPE
from tests.unit.providers.support import config

from tunehook.errors import InvalidInput
from tunehook.providers.adapters import DESCRIBED, KINDS, adapter_of, described_adapter
from tunehook.providers.kinds import ADAPTERS


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
def test_a_coded_kind_has_one_adapter(kind: str) -> None:
    assert adapter_of(config(kind)) is ADAPTERS[kind]


def test_the_last_of_the_kinds_is_that_of_the_described() -> None:
    assert KINDS[:-1] == tuple(sorted(ADAPTERS))
    assert KINDS[-1] == DESCRIBED


@pytest.mark.parametrize("recipe", ["replicate", RECIPE], ids=["bundled", "own"])
def test_a_described_provider_has_the_adapter_of_its_recipe(recipe: Any) -> None:
    given = config(DESCRIBED, recipe=recipe)
    assert adapter_of(given).kind == DESCRIBED
    # An adapter takes a while to make, and the secret is read every minute.
    assert adapter_of(given) is described_adapter(copy.deepcopy(recipe))


def test_two_recipes_have_two_adapters() -> None:
    other = RECIPE | {"ask": {"path": "/jobs/{task_id}"}}
    paths = {described_adapter(each).request("t").path for each in (RECIPE, other)}
    assert paths == {"/tasks/t", "/jobs/t"}


def test_an_unknown_recipe_is_told_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="replicate"):
        described_adapter("no-such-recipe")


def test_a_recipe_that_nests_too_deeply_is_refused_by_its_field() -> None:
    nested: dict[str, Any] = {}
    for _ in range(100_000):
        nested = {"ask": nested}
    with pytest.raises(InvalidInput) as refused:
        described_adapter(nested)
    assert refused.value.field == "recipe"
