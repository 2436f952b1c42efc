"""Reading and writing a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tunehook.aws.faults import code_of
from tunehook.errors import Misconfigured

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


def read_secret(client: SecretsManagerClient, secret: str) -> str:
    """Return the text of a secret.

    Raises
    ------
    Misconfigured
        If the secret is not there or holds no text.
    """
    try:
        answer = client.get_secret_value(SecretId=secret)
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            raise Misconfigured(f"the secret {secret} is not there") from error
        raise
    if "SecretString" not in answer:
        raise Misconfigured(f"the secret {secret} holds no text")
    return answer["SecretString"]


def write_secret(client: SecretsManagerClient, secret: str, text: str) -> None:
    """Replace the text of a secret that is there.

    Raises
    ------
    Misconfigured
        If it is not there.
    """
    try:
        client.put_secret_value(SecretId=secret, SecretString=text)
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            raise Misconfigured(f"the secret {secret} is not there") from error
        raise
