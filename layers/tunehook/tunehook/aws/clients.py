"""boto3 clients with the house's settings."""

from __future__ import annotations

from typing import Any, Final

import boto3
from botocore.config import Config

CONNECTIONS: Final = 32
"""How many calls of one client may be under way at once."""


def client(service: str, **overrides: Any) -> Any:
    """Return a boto3 client that tries again by itself (`standard` mode) and gives up on a silent peer within seconds.

    Parameters
    ----------
    service : str
        The service's name for boto3, such as ``dynamodb``.
    **overrides
        Further settings of `botocore.config.Config`.
    """
    settings: dict[str, Any] = {
        "retries": {"mode": "standard", "total_max_attempts": 4},
        "connect_timeout": 2,
        "read_timeout": 10,
        "max_pool_connections": CONNECTIONS,
    }
    return boto3.client(service, config=Config(**settings | overrides))  # type: ignore[call-overload]
