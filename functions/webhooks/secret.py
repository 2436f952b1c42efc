"""The deployment's master secret, read anew every five minutes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from aws_lambda_powertools import Logger

from tunehook.aws.faults import AWS_FAULTS, code_of

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

logger = Logger(child=True)

CACHED_S: Final = 300.0
RETRIED_S: Final = 30.0
"""When a secret that is known is asked for again after that has failed."""


class MasterSecret:
    """Reads the secret that signing secrets are derived from, once for all who wait for it.

    Parameters
    ----------
    client : SecretsManagerClient
        A low-level boto3 client.
    name : str
        The secret's name or ARN.
    clock : callable
        The wall clock, in seconds: Lambda halts any other one between two batches.
    """

    def __init__(
        self, client: SecretsManagerClient, name: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._name = name
        self._clock = clock
        self._value = ""
        self._read_at_s = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def get(self) -> str:
        """Return the secret, at most five minutes old; where it cannot be read now, as it was known.

        Raises
        ------
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
            If it cannot be read, and never was.
        """
        if not 0 <= self._clock() - self._read_at_s < CACHED_S:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read())
            # One of those who wait may be cancelled; the others go on waiting.
            await asyncio.shield(self._reading)
        return self._value

    async def _read(self) -> None:
        asked_at_s = self._clock()
        try:
            answer = await asyncio.to_thread(self._client.get_secret_value, SecretId=self._name)
        except AWS_FAULTS as fault:
            if not self._value:
                raise
            logger.warning("master_secret_not_read", error=code_of(fault))
            self._read_at_s = asked_at_s - CACHED_S + RETRIED_S
            return
        self._value, self._read_at_s = answer["SecretString"], asked_at_s
