"""The deployment's master secret, read anew every five minutes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

CACHED_S: Final = 300.0


class MasterSecret:
    """Reads the secret that signing secrets are derived from.

    Parameters
    ----------
    client : SecretsManagerClient
        A low-level boto3 client.
    name : str
        The secret's name or ARN.
    clock : callable
        Seconds that never go back.
    """

    def __init__(
        self, client: SecretsManagerClient, name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._name = name
        self._clock = clock
        self._value = ""
        self._read_at_s = float("-inf")

    async def get(self) -> str:
        """Return the secret, at most five minutes old.

        Raises
        ------
        botocore.exceptions.ClientError
            If it cannot be read.
        """
        if self._clock() - self._read_at_s >= CACHED_S:
            answer = await asyncio.to_thread(self._client.get_secret_value, SecretId=self._name)
            self._value, self._read_at_s = answer["SecretString"], self._clock()
        return self._value
