"""The AWS to work with, a real account or the embedded AWS, and the stack there."""

from __future__ import annotations

import os
import sys
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from tunehook.aws import clients
from tunehook.errors import Misconfigured
from tunehook.operations import stack as stacks
from tunehook.operations.stack import OpenClient, Stack
from tunehook_cli.aws_session import new_session
from tunehook_cli.embedded_aws import EmbeddedAws, find_embedded_aws

DEFAULT_NAME: Final = "tunehook"

_CHOSEN_BY: Final = (
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
"""Variables by which somebody has said which AWS is meant."""

_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


class Account(NamedTuple):
    """The AWS to work with: what makes its clients, and the name that a stack has there by default."""

    open_client: OpenClient
    stack_name: str


def find_account() -> Account:
    """Return the AWS that boto3 finds, or the embedded AWS of this checkout where the environment names none."""
    local = None if any(os.environ.get(variable) for variable in _CHOSEN_BY) else find_embedded_aws()
    if local is None:
        own = new_session()

        def open_own(service: str, **settings: Any) -> Any:
            return _open_client(service, session=own, **settings)

        return Account(open_own, DEFAULT_NAME)
    print(f"using the embedded AWS at {local.endpoint}", file=sys.stderr)
    session = new_session(
        aws_access_key_id=local.access_key_id,
        aws_secret_access_key=local.secret_access_key,
        region_name=local.region,
    )

    def open_client(service: str, **settings: Any) -> Any:
        return _open_client(service, session=session, endpoint_url=local.endpoint, **settings)

    return Account(open_client, local.stack_name)


def find_stack(name: str | None) -> Stack:
    """Find a stack by its name, by default the account's own, as `tunehook.operations.stack.find_stack` does."""
    account = find_account()
    return stacks.find_stack(account.open_client, name or account.stack_name)


def is_on_this_machine(stack: Stack) -> bool:
    """Return whether the stack's AWS runs on this machine, and so reaches its loopback."""
    host = urlsplit(stack.client("dynamodb").meta.endpoint_url).hostname
    if host in _LOOPBACK:
        return True
    embedded = find_embedded_aws()
    # For containers to reach it, it listens on another address of this machine.
    return embedded is not None and embedded.host == host


def embedded_aws_of(stack: Stack) -> EmbeddedAws | None:
    """Return the embedded AWS if it runs, and the stack is there."""
    embedded = find_embedded_aws()
    is_there = embedded is not None and embedded.endpoint == stack.client("logs").meta.endpoint_url
    return embedded if is_there else None


def _open_client(service: str, **settings: Any) -> Any:
    try:
        return clients.client(service, **settings)
    except ValueError as error:
        # What botocore makes of an AWS_ENDPOINT_URL that is no URL.
        raise Misconfigured(str(error)) from None
