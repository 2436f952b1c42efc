"""The configured providers, as the secret names them at the moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from typing import Final

from aws_lambda_powertools import Logger

from tunehook.aws.faults import AWS_FAULTS, code_of
from tunehook.errors import InvalidInput, Misconfigured
from tunehook.http.reply import Transport
from tunehook.providers import Provider
from tunehook.providers.config import ProviderConfig, read_providers

logger = Logger(child=True)

RELOAD_EVERY_MS: Final = 10_000
RETRY_AFTER_MS: Final = 5_000

CONNECTIONS_MAX: Final = 900
"""Connections of all providers together: what Lambda's limit of 1,024 open files leaves beside those to AWS."""


class ProviderDirectory:
    """Gives the provider of a name, and follows changes of the configuration.

    Parameters
    ----------
    read : callable
        Returns the text of the providers secret; may block.
    http : Transport
        What requests are made with.
    clock : callable
        Returns the present moment in milliseconds since 1970.
    """

    def __init__(self, read: Callable[[], str], http: Transport, clock: Callable[[], int]) -> None:
        self._read = read
        self._http = http
        self._clock = clock
        self._providers: dict[str, Provider] = {}
        self._text: str | None = None
        self._read_again_at_ms = 0

    async def refresh(self) -> bool:
        """Read the configuration again if it is older than `RELOAD_EVERY_MS`.

        A provider whose entry is unacceptable is left out, and its tasks wait; the others are not disturbed.

        Returns
        -------
        bool
            Whether the configuration is known; if it could not be read this time, the last one is still good.
        """
        if self._clock() >= self._read_again_at_ms:
            try:
                text = await asyncio.to_thread(self._read)
            except (*AWS_FAULTS, Misconfigured) as error:
                logger.error("providers_not_read", error=code_of(error))
                self._read_again_at_ms = self._clock() + RETRY_AFTER_MS
                return self._text is not None
            self._read_again_at_ms = self._clock() + RELOAD_EVERY_MS
            if text != self._text:
                self._text = text
                self._configure(text)
        return self._text is not None

    def _configure(self, text: str) -> None:
        try:
            configured = read_providers(text)
        except InvalidInput as error:
            logger.error("providers_misconfigured", field=error.field, reason=error.reason)
            return
        for name, problem in configured.errors.items():
            logger.error("provider_misconfigured", provider=name, field=problem.field, reason=problem.reason)
        self._providers = {
            config.name: self._kept(config) or Provider(config, self._http)
            for config in _within_connections(configured.usable.values())
        }

    def _kept(self, config: ProviderConfig) -> Provider | None:
        """Return the provider as it is, pauses and all, if its configuration is the same."""
        provider = self._providers.get(config.name)
        return provider if provider is not None and provider.config == config else None

    def get(self, name: str) -> Provider | None:
        """Return the provider that is configured as `name`, or None."""
        return self._providers.get(name)


def _within_connections(configs: Collection[ProviderConfig]) -> Iterator[ProviderConfig]:
    """Divide the connections, so that a provider that holds all of its own takes none of another's.

    Those that want least get what they want, the others equal parts of what is left.
    """
    left = CONNECTIONS_MAX
    for position, config in enumerate(sorted(configs, key=lambda config: config.max_concurrency)):
        granted = min(config.max_concurrency, max(1, left // (len(configs) - position)))
        left -= granted
        yield config.model_copy(update={"max_concurrency": granted})
