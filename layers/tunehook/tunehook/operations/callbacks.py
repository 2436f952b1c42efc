"""The URLs that providers call back: show one, and retire it for a new one."""

from __future__ import annotations

from tunehook.callbacks import callback_path, callback_token
from tunehook.operations.providers import get_provider, usable_provider, with_provider
from tunehook.operations.stack import Stack
from tunehook.providers.config import ProviderConfig, read_providers


def callback_url(stack: Stack, provider: str) -> str:
    """Return the URL that a provider is to call about its tasks; whoever has it can have them asked about.

    Raises `NotFound` if no provider of this name is configured; `InvalidInput` if it cannot be used as it is
    configured; `Misconfigured` if the stack has no HTTP API, or no master secret that is one.

    >>> callback_url(stack, "suno").rpartition("/")[0]
    'https://...amazonaws.com/v1/callbacks/suno'
    """
    return callback_url_of(stack, get_provider(stack, provider))


def callback_url_of(stack: Stack, config: ProviderConfig, master_secret: str | None = None) -> str:
    """Return the callback URL of a provider whose configuration is at hand, and perhaps the stack's master secret.

    >>> callback_url_of(stack, get_provider(stack, "suno")) == callback_url(stack, "suno")
    True
    """
    api_url = stack.api_url
    if master_secret is None:
        master_secret = stack.master_secret()
    token = callback_token(master_secret, config.name, config.callback_version)
    return api_url + callback_path(config.name, token)


def rotate_callback_url(stack: Stack, provider: str) -> str:
    """Give a provider another callback URL and return it: within a minute, calls of the one before have no effect.

    Raises what `callback_url` raises; nothing is changed then.

    >>> before = callback_url(stack, "suno")
    >>> rotate_callback_url(stack, "suno") == before
    False
    """
    # What prevents a new URL is to be found before the one before is void.
    callback_url(stack, provider)
    return callback_url_of(stack, stack.change_providers(lambda secret: _raised(secret, provider)))


def _raised(secret_json: str, name: str) -> tuple[str, ProviderConfig]:
    config = usable_provider(read_providers(secret_json), name)
    raised = config.model_copy(update={"callback_version": config.callback_version + 1})
    return with_provider(secret_json, raised)[0], raised
