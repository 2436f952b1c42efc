"""The kinds of providers: one module a kind, with its name, that defines `ADAPTER`. Nothing else names the kinds."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from tunehook.providers.adapter import Adapter

_modules = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))

ADAPTERS: Mapping[str, Adapter] = MappingProxyType({each.ADAPTER.kind: each.ADAPTER for each in _modules})
"""The adapter of each kind, by the kind's name."""
