"""The deployment's master secret, read anew every five minutes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from aws_lambda_powertools import Logger

from tunehook.aws.errors import code_of
from tunehook.cache import Cache

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

logger = Logger(child=True)

CACHED_S: Final = 300.0


class MasterSecret:
    """Reads the secret that signing secrets are derived from; all messages of a batch together read it once."""

    def __init__(
        self, client: SecretsManagerClient, name: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._name = name
        self._cache: Cache[str, str] = Cache(
            lambda name: client.get_secret_value(SecretId=name)["SecretString"],
            max_age_s=CACHED_S,
            on_fault=lambda fault: logger.warning("master_secret_not_read", error=code_of(fault)),
            clock=clock,
        )

    async def get(self) -> str:
        """Return the secret, at most five minutes old, or the last one that is known if it cannot be read now."""
        _, secret = self._cache.peek(self._name)
        return await asyncio.to_thread(self._cache.get, self._name) if secret is None else secret
