"""Changes of one entry of the providers secret, which leave all others as they are, usable or not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tunehook.errors import InvalidInput
from tunehook.providers.config import ProviderConfig, parse_providers, read_providers


def checked_entry(name: str, entry: Mapping[str, Any]) -> ProviderConfig:
    """Check one entry by the rules of the provider layer.

    Raises
    ------
    InvalidInput
        For the first field at fault (``base_url``; ``name``), never with its value.
    """
    try:
        return parse_providers(json.dumps({name: entry}))[name]
    except InvalidInput as error:
        field = error.field.removeprefix(f"providers.{name}.")
        if field == error.field:
            raise InvalidInput("name", error.reason.removeprefix("its name ")) from None
        raise InvalidInput(field, error.reason) from None


def with_provider(secret_json: str, config: ProviderConfig) -> tuple[str, bool]:
    """Return the secret with one provider added or replaced, and whether there was one of that name.

    Raises
    ------
    InvalidInput
        If the secret as a whole is no JSON object.
    """
    entries = _entries(secret_json)
    replaced = config.name in entries
    entry = config.model_dump(mode="json", exclude={"name"}, exclude_unset=True)
    entries[config.name] = entry | {"api_key": config.api_key.get_secret_value()}
    return json.dumps(entries, indent=2, ensure_ascii=False), replaced


def without_provider(secret_json: str, name: str) -> tuple[str, bool]:
    """Return the secret without one provider, and whether there was one of that name.

    Raises
    ------
    InvalidInput
        If the secret as a whole is no JSON object.
    """
    entries = _entries(secret_json)
    if name not in entries:
        return secret_json, False
    del entries[name]
    return json.dumps(entries, indent=2, ensure_ascii=False), True


def _entries(secret_json: str) -> dict[str, Any]:
    read_providers(secret_json)
    entries: dict[str, Any] = json.loads(secret_json)
    return entries


def masked(key: str) -> str:
    """Return what of a key may be shown: its last four characters, if they are a small part of it."""
    return f"****{key[-4:]}" if len(key) >= 20 else "****"
