"""The adapter of a configured provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunehook.providers.kinds import ADAPTERS

if TYPE_CHECKING:
    from tunehook.providers.adapter import Adapter
    from tunehook.providers.config import ProviderConfig


def adapter_of(config: ProviderConfig) -> Adapter:
    """Return the adapter of a provider's kind."""
    return ADAPTERS[config.kind]
