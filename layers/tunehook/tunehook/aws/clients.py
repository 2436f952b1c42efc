"""boto3 clients with the house's settings; those that are called often are light ones that stand in for them."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from pydantic import BaseModel

from tunehook.aws.dynamodb import LightDynamoDB
from tunehook.aws.light import LightClient
from tunehook.aws.messages import LightEventBridge, LightSQS
from tunehook.settings import load_settings

CONNECTIONS: Final = 32
"""How many calls of one client may run at once."""

_LIGHT: Final[dict[str, type[LightClient]]] = {
    "dynamodb": LightDynamoDB,
    "events": LightEventBridge,
    "sqs": LightSQS,
}


def client(
    service: str, *, session: boto3.Session | None = None, endpoint_url: str | None = None, **overrides: Any
) -> Any:
    """Return a boto3 client that retries by itself (`standard` mode) and gives up on a silent peer within seconds.

    The session is the process's own by default; `overrides` are further settings of `botocore.config.Config`. In the
    process's own, whose settings are the environment, the clients of DynamoDB, EventBridge and SQS are light ones that
    stand in for boto3's.
    """
    settings: dict[str, Any] = {
        "retries": {"mode": "standard", "total_max_attempts": 4},
        "connect_timeout": 2,
        "read_timeout": 10,
        "max_pool_connections": CONNECTIONS,
    }
    maker: Any = session or boto3
    made = maker.client(service, endpoint_url=endpoint_url, config=Config(**settings | overrides))
    return lightened(made, service) if service in _LIGHT and session is None else made


class _Trust(BaseModel):
    aws_ca_bundle: str | None = None
    requests_ca_bundle: str | None = None


def lightened(client: Any, service: str = "dynamodb") -> Any:
    """Return what does as a boto3 client of a service does: a light one, but where the endpoint has a path."""
    if urlsplit(client.meta.endpoint_url).path.strip("/"):
        return client
    # It was made with the client, if it was not there.
    session: Any = boto3.DEFAULT_SESSION
    trust = load_settings(_Trust)
    bundle = trust.aws_ca_bundle or trust.requests_ca_bundle
    return _LIGHT[service](client, session.get_credentials(), bundle)


async def close_in_loop(client: Any) -> None:
    """Close the connections that a client has in the running event loop, if it has any."""
    if isinstance(client, LightClient):
        await client.close_in_loop()
