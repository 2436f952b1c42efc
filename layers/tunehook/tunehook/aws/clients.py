"""boto3 clients with the house's settings."""

from __future__ import annotations

from typing import Any, Final

import boto3
from botocore.config import Config

CONNECTIONS: Final = 32
"""How many calls of one client may run at once."""


def client(
    service: str, *, session: boto3.Session | None = None, endpoint_url: str | None = None, **overrides: Any
) -> Any:
    """Return a boto3 client that retries by itself (`standard` mode) and gives up on a silent peer within seconds.

    The session is the process's own by default; `overrides` are further settings of `botocore.config.Config`.
    """
    settings: dict[str, Any] = {
        "retries": {"mode": "standard", "total_max_attempts": 4},
        "connect_timeout": 2,
        "read_timeout": 10,
        "max_pool_connections": CONNECTIONS,
    }
    maker: Any = session or boto3
    return maker.client(service, endpoint_url=endpoint_url, config=Config(**settings | overrides))
