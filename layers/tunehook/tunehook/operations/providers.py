"""The providers secret: list its providers, and set or remove one, which leaves all others as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from tunehook.errors import InvalidInput, NotFound
from tunehook.operations.stack import Stack
from tunehook.operations.text import visible
from tunehook.providers.adapters import DESCRIBED
from tunehook.providers.config import ConfiguredProviders, ProviderConfig, parse_providers, read_providers

NEEDED: Final = ("kind", "base_url", "api_key")
"""What a provider cannot be without; the recipe of a described one may have the base URL."""

SECRET_MAX_BYTES: Final = 60_000
"""Of all providers as JSON: AWS takes 65,536 bytes, and what is written by hand needs some of them."""


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

    A field that is None is removed. A `recipe` makes the kind ``described``, and another kind removes the recipe. A
    base URL that was another kind's is left for the recipe's. Raises `InvalidInput` for the first field at fault, a new
    provider's that is missing among them, and where all providers together would take more than `SECRET_MAX_BYTES`.

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
    fields = {field: value for field, value in _merged(present, fields).items() if value is not None}
    for field in NEEDED:
        if field not in fields and not (field == "base_url" and fields["kind"] == DESCRIBED):
            given = ", here or as TUNEHOOK_API_KEY" if field == "api_key" else ""
            new = "" if present else f": no provider {visible(name)} is configured yet"
            raise InvalidInput(field, f"is needed{given}{new}")
    config = check_entry(name, fields)
    changed, existed = with_provider(secret_json, config)
    _check_size(secret_json, changed)
    return changed, (config, existed)


def _merged(present: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an entry with what is changed in it, where a kind and its recipe go together."""
    kind = fields.get("kind")
    if fields.get("recipe") is not None:
        if kind not in (None, DESCRIBED):
            raise InvalidInput("recipe", f"is for the kind {DESCRIBED}: leave out the kind, or the recipe")
        dropped = {} if present.get("kind") in (None, DESCRIBED) else {"base_url": None}
        return {**present, **dropped, "kind": DESCRIBED, **fields}
    return {**present, **({} if kind in (None, DESCRIBED) else {"recipe": None}), **fields}


def _check_size(before: str, after: str) -> None:
    """Raise `InvalidInput` if a change makes the secret larger than it may be: one that makes it smaller is welcome."""
    size = len(after.encode())
    if size <= SECRET_MAX_BYTES or size <= len(before.encode()):
        return
    entries = json.loads(after)
    name = max(entries, key=lambda each: len(json.dumps(entries[each])))
    largest = len(json.dumps({name: entries[name]}, indent=2, ensure_ascii=False).encode())
    raise InvalidInput(
        "providers",
        f"would take {size:,} bytes together, more than {SECRET_MAX_BYTES:,} (AWS's limit is 65,536); the largest is "
        f"{visible(name)} with {largest:,}. A bundled recipe is stored by its name alone",
    )


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
