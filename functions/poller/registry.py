"""The configured providers, as the secret names them at the moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

from aws_lambda_powertools import Logger

from poller.poll_problems import PollProblem
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.errors import InvalidInput, Misconfigured
from tunehook.http.reply import Transport
from tunehook.providers.client import Provider
from tunehook.providers.config import ProviderConfig, read_providers

logger = Logger(child=True)

RELOAD_EVERY_MS: Final = 60_000
RETRY_AFTER_MS: Final = 5_000
"""How soon the configuration is read again where it could not be read, or lacks a name that a task has."""

CONNECTIONS_MAX: Final = 900
"""Connections of all providers together: what Lambda's limit of 1,024 open files leaves beside those to AWS."""

_KIND_MAX: Final = 200
"""How much of a problem with an entry tells one from another."""


@dataclass(slots=True)
class ProviderRegistry:
    """The providers by name, as their secret has them at the moment.

    `read` returns the text of the secret, and may block; `seconds` is the clock of the providers' pauses. `fault` says
    why the configuration could not be read the last time.
    """

    read: Callable[[], str]
    http: Transport
    clock: Callable[[], int]
    seconds: Callable[[], float]
    fault: str = ""
    read_at_ms: int = 0
    _providers: dict[str, Provider] = field(default_factory=dict)
    _problems: dict[str, str] = field(default_factory=dict)
    _problem: str | None = None
    _text: str | None = None
    _tried_at_ms: int = 0
    _read_again_at_ms: int = 0

    async def refresh(self) -> bool:
        """Read the configuration again if it is older than `RELOAD_EVERY_MS`, or lacks a name that was wanted.

        An unacceptable entry is left out, and its tasks wait. Returns whether there is a configuration: the last one is
        good while it cannot be read.
        """
        if self.clock() >= self._read_again_at_ms:
            self._tried_at_ms = self.clock()
            try:
                text = await asyncio.to_thread(self.read)
            except (*AWS_FAULTS, Misconfigured) as error:
                logger.error("providers_not_read", error=code_of(error))
                self.fault = f"the configuration of the providers cannot be read: {code_of(error)}"
                self._read_again_at_ms = self.clock() + RETRY_AFTER_MS
                return self._text is not None
            self.read_at_ms = self._tried_at_ms
            self._read_again_at_ms = self.clock() + RELOAD_EVERY_MS
            if text != self._text:
                self._text = text
                self._configure(text)
        return self._text is not None

    def _configure(self, text: str) -> None:
        try:
            configured = read_providers(text)
        except InvalidInput as error:
            logger.error("providers_misconfigured", field=error.field, reason=error.reason)
            self._problem = str(error)
            return
        self._problem = None
        self._problems = {name: str(problem) for name, problem in configured.errors.items()}
        for name, problem in configured.errors.items():
            logger.error("provider_misconfigured", provider=name, field=problem.field, reason=problem.reason)
        providers: dict[str, Provider] = {}
        for config in _within_connections(configured.usable.values()):
            provider = self._providers.get(config.name)
            if provider is None or provider.config != config:
                provider = Provider(config, self.http, clock=self.seconds)
            providers[config.name] = provider
        self._providers = providers

    def get(self, name: str) -> Provider | None:
        """Return a provider, or None if it is not configured: the configuration is read again soon then."""
        provider = self._providers.get(name)
        if provider is None:
            self._read_again_at_ms = min(self._read_again_at_ms, self._tried_at_ms + RETRY_AFTER_MS)
        return provider

    def problem(self, name: str) -> PollProblem:
        """Return why there is no provider of this name; the message quotes no value of the secret."""
        problem = self._problem or self._problems.get(name)
        if problem is None:
            return PollProblem("unconfigured", f"the provider {name} is not configured", is_certain=True)
        message = f"the provider {name} cannot be used: {problem}"
        return PollProblem(f"unusable {problem}"[:_KIND_MAX], message, is_certain=True)

    def pause_left_s(self, provider: Provider) -> float:
        """Return for how many seconds from now a provider is paused."""
        return max(0.0, provider.paused_until - self.seconds())


def _within_connections(configs: Collection[ProviderConfig]) -> Iterator[ProviderConfig]:
    """Divide `CONNECTIONS_MAX`: whoever wants least gets that, the others equal parts of the rest."""
    left = CONNECTIONS_MAX
    for position, config in enumerate(sorted(configs, key=lambda config: config.max_concurrency)):
        granted = min(config.max_concurrency, max(1, left // (len(configs) - position)))
        left -= granted
        yield config.model_copy(update={"max_concurrency": granted})
