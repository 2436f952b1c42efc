"""What a stack's two secrets say, kept for a minute by a process that asks for it often."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tunehook.cache import Cache
from tunehook.operations.providers import list_providers, usable_provider

if TYPE_CHECKING:
    from tunehook.operations.stack import Stack
    from tunehook.providers.config import ConfiguredProviders, ProviderConfig

KEPT_S: Final = 60.0
"""As long as a poller keeps the providers: within it, what was changed takes effect."""

_ALL: Final = "all"


class KeptSecrets:
    """Reads each secret at most once in `KEPT_S` seconds, and sooner where the kept one does not do.

    While a secret cannot be read, `on_fault` takes the error and the old one counts; where there is none, the error is
    raised. `clock` gives seconds of the wall clock.
    """

    def __init__(
        self, stack: Stack, *, on_fault: Callable[[Exception], None], clock: Callable[[], float] = time.time
    ) -> None:
        self._providers: Cache[str, ConfiguredProviders] = Cache(
            lambda _: list_providers(stack), max_age_s=KEPT_S, on_fault=on_fault, clock=clock
        )
        self._master: Cache[str, str] = Cache(
            lambda _: stack.master_secret(), max_age_s=KEPT_S, on_fault=on_fault, clock=clock
        )

    def provider(self, name: str) -> ProviderConfig:
        """Return a provider; one that is unknown or unusable so far is looked for in the secret as it is now.

        Raises what `tunehook.operations.providers.get_provider` does.
        """
        _, known = self._providers.peek(_ALL)
        if known is not None and name not in known.usable:
            self.forget_providers()
        return usable_provider(self._providers.get(_ALL), name)

    def forget_providers(self) -> None:
        """Have the providers read again when one is asked for next: what is kept of one may be old."""
        self._providers.forget(_ALL)

    def master_secret(self) -> str:
        """Return the master secret."""
        return self._master.get(_ALL)
