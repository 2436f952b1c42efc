"""Puts files that came inside a provider's answer to S3, from where fulfillment keeps them like any other file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tunehook.providers import InlineFile
from tunehook.result_keys import inline_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class InlineFiles:
    """The place of files that came inside answers; a rule of the bucket removes them after 14 days.

    Parameters
    ----------
    make_client : callable
        Returns a low-level boto3 client of S3. It is called with the first file: most pollers never meet one.
    bucket : str
        The bucket of the results.
    """

    def __init__(self, make_client: Callable[[], S3Client], bucket: str) -> None:
        self._make_client = make_client
        self._bucket = bucket
        self._client: S3Client | None = None

    def keep(self, event_id: str, file: InlineFile) -> None:
        """Put one file.

        Parameters
        ----------
        event_id : str
            The event of the end that the file belongs to.
        file : InlineFile

        Raises
        ------
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
            If it could not be put.
        """
        if self._client is None:
            self._client = self._make_client()
        key = inline_key(event_id, file.clip_id, file.type)
        self._client.put_object(Bucket=self._bucket, Key=key, Body=file.content)
