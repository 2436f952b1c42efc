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
"""How often in a row other changes may come first; each time, one of them has succeeded."""

_PAUSE_MAX_S: Final = 2.0

_REFUSED: Final = ("InvalidParameterException", "InvalidRequestException")

Result = TypeVar("Result")


def read_secret(client: SecretsManagerClient, secret: str) -> str:
    """Return the text of a secret; raise `Misconfigured` if it does not exist or has no text."""
    return _read(client, secret)[1]


def change_secret(
    client: SecretsManagerClient,
    secret: str,
    change: Callable[[str], tuple[str, Result]],
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Change the text of a secret, without losing what others change at the same moment.

    The new text becomes a version under a label of its own, and then the current one on the condition that the version
    it was made from still is: UpdateSecretVersionStage compares and sets, as PutSecretValue does not. If it is not, all
    is done again from what is current now.

    `change` takes the text, and returns the new one and a result, which is returned. It may be called more than once.
    If the text is the same, nothing is written. `sleep` waits for some seconds before the next try. Raise
    `Misconfigured` if the secret does not exist or has no text; `Unavailable` if others change it all the time.
    """
    for tried in range(_TRIES):
        version, text = _read(client, secret)
        changed, result = change(text)
        if changed == text:
            return result
        label = f"tunehook-{secrets.token_hex(16)}"
        put = client.put_secret_value(SecretId=secret, SecretString=changed, VersionStages=[label])
        made = put["VersionId"]
        is_current = _replace(client, secret, version, made)
        _unlabel(client, secret, label, made)
        if is_current:
            return result
        sleep(random.uniform(0, min(0.1 * 2**tried, _PAUSE_MAX_S)))  # noqa: S311 - no secret
    raise Unavailable(f"the secret {secret} is being changed by others all the time")


def _replace(client: SecretsManagerClient, secret: str, version: str, made: str) -> bool:
    """Make another version current; return False if another caller has done so meanwhile."""
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
        # It may be ours: the first answer of a call that was repeated was lost.
        return current == made
    return True


def _unlabel(client: SecretsManagerClient, secret: str, label: str, version: str) -> None:
    """Remove a label: AWS deletes versions without one."""
    try:
        client.update_secret_version_stage(SecretId=secret, VersionStage=label, RemoveFromVersionId=version)
    except ClientError as error:
        # The first try of a call that was repeated has done it.
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
