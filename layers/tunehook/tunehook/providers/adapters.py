"""The adapter of a configured provider: that of its kind, or one that is made from its recipe."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from tunehook.errors import InvalidInput
from tunehook.providers.kinds import ADAPTERS

if TYPE_CHECKING:
    from tunehook.providers.adapter import Adapter
    from tunehook.providers.config import ProviderConfig
    from tunehook.providers.recipes.described import DescribedAdapter

DESCRIBED: Final = "described"
"""The kind of all providers that a recipe describes."""

KINDS: Final = (*sorted(ADAPTERS), DESCRIBED)
"""The names of all kinds."""


def adapter_of(config: ProviderConfig) -> Adapter:
    """Return the adapter of a provider: one a kind, or one a recipe.

    Recipes are loaded only where a provider is described: whoever has none does not wait for them.
    """
    return ADAPTERS[config.kind] if config.recipe is None else described_adapter(config.recipe)


def described_adapter(recipe: str | Mapping[str, Any]) -> DescribedAdapter:
    """Return the adapter of a bundled recipe, by its name, or of one as a JSON object.

    Raises `InvalidInput` for the field at fault, ``recipe`` or one within it (``recipe.words.failed``).
    """
    if isinstance(recipe, str):
        return _described(recipe, None)
    try:
        own = json.dumps(recipe)
    except RecursionError:
        raise InvalidInput("recipe", "nests too deeply") from None
    return _described("", own)


@functools.lru_cache(maxsize=64)
def _described(name: str, own: str | None) -> DescribedAdapter:
    from tunehook.providers.recipes.described import DescribedAdapter
    from tunehook.providers.recipes.given import recipe_of

    return DescribedAdapter(recipe_of(name if own is None else json.loads(own)))
