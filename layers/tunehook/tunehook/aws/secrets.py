"""Reading and changing a secret."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from botocore.exceptions import ClientError

from tunehook.aws.errors import code_of
from tunehook.errors import Misconfigured, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

CURRENT: Final = "AWSCURRENT"

_TRIES: Final = 20
"""How often in a row others may come before a change; each time, one of them has got through."""

_PAUSE_MAX_S: Final = 2.0

_REFUSED: Final = ("InvalidParameterException", "InvalidRequestException")

Told = TypeVar("Told")


def read_secret(client: SecretsManagerClient, secret: str) -> str:
    """Return the text of a secret.

    Raises
    ------
    Misconfigured
        If the secret is not there or holds no text.
    """
    return _read(client, secret)[1]


def change_secret(
    client: SecretsManagerClient,
    secret: str,
    change: Callable[[str], tuple[str, Told]],
    sleep: Callable[[float], None] = time.sleep,
) -> Told:
    """Change the text of a secret, without losing what others change at the same moment.

    The new text becomes a version under a label of its own, and then the current one on the condition that the version
    it was made from still is: UpdateSecretVersionStage compares and sets, as PutSecretValue does not. Where it is not,
    all is done again from what is current now.

    Parameters
    ----------
    client : SecretsManagerClient
        A low-level boto3 client.
    secret : str
        Its name or ARN.
    change : callable
        Takes the text, and returns the new one and what is to be told of it. It may be called more than once. If the
        text is the same, nothing is written.
    sleep : callable, optional
        Waits for a number of seconds before the next try.

    Returns
    -------
    object
        What there is to tell.

    Raises
    ------
    Misconfigured
        If the secret is not there or holds no text.
    Unavailable
        If others change it all the time.
    """
    for tried in range(_TRIES):
        version, text = _read(client, secret)
        changed, told = change(text)
        if changed == text:
            return told
        label = f"tunehook-{secrets.token_hex(16)}"
        made = client.put_secret_value(SecretId=secret, SecretString=changed, VersionStages=[label])[
            "VersionId"
        ]
        is_current = _replace(client, secret, version, made)
        _unlabel(client, secret, label, made)
        if is_current:
            return told
        sleep(random.uniform(0, min(0.1 * 2**tried, _PAUSE_MAX_S)))  # noqa: S311 - no secret
    raise Unavailable(f"the secret {secret} is being changed by others all the time")


def _replace(client: SecretsManagerClient, secret: str, version: str, made: str) -> bool:
    """Make another version current; return False if somebody else has done so meanwhile."""
    try:
        client.update_secret_version_stage(
            SecretId=secret, VersionStage=CURRENT, MoveToVersionId=made, RemoveFromVersionId=version
        )
    except ClientError as error:
        if code_of(error) not in _REFUSED:
            raise
        current, _ = _read(client, secret)
        if current == version:
            raise
        # It may be ours: of a call that was repeated, the first answer was lost.
        return current == made
    return True


def _unlabel(client: SecretsManagerClient, secret: str, label: str, version: str) -> None:
    """Let a version that is not current be removed by itself, as those without a label are."""
    try:
        client.update_secret_version_stage(SecretId=secret, VersionStage=label, RemoveFromVersionId=version)
    except ClientError as error:
        # Of a call that was repeated, the first one has done it.
        if code_of(error) not in _REFUSED:
            raise


def _read(client: SecretsManagerClient, secret: str) -> tuple[str, str]:
    """Return the id and the text of the version that is current."""
    try:
        answer = client.get_secret_value(SecretId=secret)
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            raise Misconfigured(f"the secret {secret} is not there") from error
        raise
    if "SecretString" not in answer:
        raise Misconfigured(f"the secret {secret} holds no text")
    return answer["VersionId"], answer["SecretString"]
