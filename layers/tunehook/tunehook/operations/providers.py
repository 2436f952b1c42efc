"""The providers secret: list its providers, and set or remove one, which leaves all others as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from tunehook.errors import InvalidInput, NotFound
from tunehook.operations.stack import Stack
from tunehook.operations.text import visible
from tunehook.providers.config import ConfiguredProviders, ProviderConfig, parse_providers, read_providers

NEEDED: Final = ("kind", "base_url", "api_key")
"""What a provider cannot be without."""


def list_providers(stack: Stack) -> ConfiguredProviders:
    """Return the providers that are configured: those that can be used, and the errors of the others.

    Raises `InvalidInput` if the secret as a whole is no JSON object.

    >>> list(list_providers(stack).usable)
    ['suno']
    """
    return read_providers(stack.providers_json())


def get_provider(stack: Stack, name: str) -> ProviderConfig:
    """Return a provider.

    Raises `NotFound` if none of this name is configured; `InvalidInput` if it cannot be used as it is configured.

    >>> get_provider(stack, "suno").kind
    'suno'
    """
    return usable_provider(list_providers(stack), name)


def usable_provider(providers: ConfiguredProviders, name: str) -> ProviderConfig:
    """Return one of the providers of a secret, or raise what `get_provider` does."""
    if name in providers.errors:
        raise providers.errors[name]
    if name not in providers.usable:
        raise _no_such_provider(name)
    return providers.usable[name]


def check_entry(name: str, entry: Mapping[str, Any]) -> ProviderConfig:
    """Check one entry by the rules of the provider layer.

    Raises `InvalidInput` for the first field at fault (``base_url``; ``name``), never with its value.

    >>> check_entry("gw", {"kind": "suno", "base_url": "https://x.example", "api_key": "k"}).name
    'gw'
    """
    try:
        return parse_providers(json.dumps({name: entry}))[name]
    except InvalidInput as error:
        field = error.field.removeprefix(f"providers.{name}.")
        if field == error.field:
            raise InvalidInput("name", error.reason.removeprefix("its name ")) from None
        raise InvalidInput(field, error.reason) from None


def set_provider(stack: Stack, config: ProviderConfig) -> bool:
    """Add a provider, or replace the one of its name; return whether there was one.

    Raises `InvalidInput` if the secret as a whole is no JSON object.

    >>> set_provider(stack, get_provider(stack, "suno"))
    True
    """
    return stack.change_providers(lambda secret: with_provider(secret, config))


def change_provider(stack: Stack, name: str, fields: Mapping[str, Any]) -> tuple[ProviderConfig, bool]:
    """Set fields of a provider and leave its others, or add it; return it as it is now, and whether there was one.

    A field that is None is removed. Raises `InvalidInput` for the first field at fault, a new provider's that is
    missing among them.

    >>> change_provider(stack, "suno", {"max_concurrency": 4})[0].kind
    'suno'
    """
    return stack.change_providers(lambda secret: _with_fields(secret, name, fields))


def _with_fields(
    secret_json: str, name: str, fields: Mapping[str, Any]
) -> tuple[str, tuple[ProviderConfig, bool]]:
    known = _entries(secret_json).get(name)
    kept = known.items() if isinstance(known, dict) else ()
    present = {field: value for field, value in kept if field in ProviderConfig.model_fields}
    if present and not fields:
        raise InvalidInput("name", "nothing to change: name a field, such as --api-key")
    fields = {field: value for field, value in {**present, **fields}.items() if value is not None}
    for field in NEEDED:
        if field not in fields:
            given = ", here or as TUNEHOOK_API_KEY" if field == "api_key" else ""
            raise InvalidInput(field, f"is needed{given}: no provider {visible(name)} is configured yet")
    config = check_entry(name, fields)
    changed, existed = with_provider(secret_json, config)
    return changed, (config, existed)


def pending_tasks(stack: Stack, name: str) -> int:
    """Count the tasks that wait for a provider's answer, in the work index.

    >>> pending_tasks(stack, "suno")
    0
    """
    shards = range(stack.shard_count)
    return sum(task.key.provider == name for each in shards for task in stack.tasks.work(each).pending)


def remove_provider(stack: Stack, name: str) -> None:
    """Remove a provider.

    Raises `NotFound` if none of this name is configured; `InvalidInput` if the secret as a whole is no JSON object.

    >>> remove_provider(stack, "suno")
    """
    if not stack.change_providers(lambda secret: without_provider(secret, name)):
        raise _no_such_provider(name)


def _no_such_provider(name: str) -> NotFound:
    return NotFound("name", f"no provider {name} is configured")


def with_provider(secret_json: str, config: ProviderConfig) -> tuple[str, bool]:
    """Return the secret with one provider added or replaced, and whether there was one of that name."""
    entries = _entries(secret_json)
    replaced = config.name in entries
    entry = config.model_dump(mode="json", exclude={"name"}, exclude_unset=True, exclude_none=True)
    secrets = {"api_key": config.api_key, "callback_secret": config.callback_secret}
    shown = {name: secret.get_secret_value() for name, secret in secrets.items() if secret is not None}
    entries[config.name] = entry | shown
    return json.dumps(entries, indent=2, ensure_ascii=False), replaced


def without_provider(secret_json: str, name: str) -> tuple[str, bool]:
    """Return the secret without one provider, and whether there was one of that name."""
    entries = _entries(secret_json)
    if name not in entries:
        return secret_json, False
    del entries[name]
    return json.dumps(entries, indent=2, ensure_ascii=False), True


def _entries(secret_json: str) -> dict[str, Any]:
    read_providers(secret_json)
    entries: dict[str, Any] = json.loads(secret_json)
    return entries
