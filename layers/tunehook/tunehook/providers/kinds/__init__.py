"""The kinds of providers: one module a kind, whose name is the kind's and which defines `ADAPTER`.

A new kind is one new file in this folder; nothing else names the kinds.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tunehook.providers.adapter import Adapter


def _load() -> dict[str, Adapter]:
    adapters: dict[str, Adapter] = {}
    for module in pkgutil.iter_modules(__path__):
        adapter: Adapter = importlib.import_module(f"{__name__}.{module.name}").ADAPTER
        adapters[adapter.kind] = adapter
    return adapters


ADAPTERS: Mapping[str, Adapter] = MappingProxyType(_load())
"""The adapter of each kind, by the kind's name."""
