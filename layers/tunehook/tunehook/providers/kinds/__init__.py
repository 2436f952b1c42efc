"""The kinds of providers: one module a kind, whose name is the kind's and which defines `ADAPTER`.

A new kind is one new file in this folder; nothing else names the kinds.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from tunehook.providers.adapter import Adapter

_modules = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))

ADAPTERS: Mapping[str, Adapter] = MappingProxyType(
    {module.ADAPTER.kind: module.ADAPTER for module in _modules}
)
"""The adapter of each kind, by the kind's name."""
