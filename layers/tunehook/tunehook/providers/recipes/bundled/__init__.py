"""The recipes that come with tunehook: one TOML file a recipe, by its name."""

from __future__ import annotations

from functools import cache
from importlib import resources

from tunehook.errors import NotFound
from tunehook.providers.recipes.recipe import Recipe
from tunehook.providers.recipes.recipe_file import read_recipe

_ENDING = ".toml"
_VERIFIED = "# Verified:"


@cache
def names() -> tuple[str, ...]:
    """Return the names of the bundled recipes, sorted."""
    files = (file.name for file in resources.files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(_ENDING) for name in files if name.endswith(_ENDING)))


def text(name: str) -> str:
    """Return the TOML of a bundled recipe; raise `NotFound` if there is none of this name."""
    if name not in names():
        raise NotFound("recipe", f"is none of {', '.join(names())}")
    return resources.files(__name__).joinpath(f"{name}{_ENDING}").read_text()


@cache
def read_bundled(name: str) -> Recipe:
    """Return a bundled recipe; raise `NotFound` if there is none of this name."""
    return read_recipe(text(name))


def verified(name: str) -> str:
    """Return what a bundled recipe was verified against, from the first comment that says so; empty if none does."""
    comments = (
        line.removeprefix(_VERIFIED) for line in text(name).splitlines() if line.startswith(_VERIFIED)
    )
    return next(comments, "").strip()
