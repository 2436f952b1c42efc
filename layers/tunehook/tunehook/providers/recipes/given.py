"""The recipe that an entry of the providers' secret gives."""

from __future__ import annotations

from typing import Any

from tunehook.providers.recipes.bundled import read_bundled
from tunehook.providers.recipes.recipe import Recipe
from tunehook.providers.recipes.recipe_file import read_recipe_json


def recipe_of(given: Any) -> Recipe:
    """Return the recipe that is given by the name of a bundled one, or as JSON.

    Raise `InvalidInput` with the reason if there is none.
    """
    return read_bundled(given) if isinstance(given, str) else read_recipe_json(given)
