"""Stores files that came inside a provider's answer in S3, where fulfillment reads them like any other file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunehook.providers import InlineFile
from tunehook.result_keys import inline_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(slots=True)
class InlineFiles:
    """The files that came inside answers; a rule of the bucket removes them after 14 days.

    `make_client` is called with the first file: most pollers never meet one.
    """

    make_client: Callable[[], S3Client]
    bucket: str
    _client: S3Client | None = None

    def store(self, event_id: str, file: InlineFile) -> None:
        """Put one file of the task that ends with this event; boto3's errors are raised."""
        if self._client is None:
            self._client = self.make_client()
        key = inline_key(event_id, file.clip_id, file.type)
        self._client.put_object(Bucket=self.bucket, Key=key, Body=file.content)
