"""Stores files that came inside a provider's answer in S3, where fulfillment reads them like any other file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tunehook.providers.outcomes import InlineFile
from tunehook.result_keys import inline_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def store_inline_file(s3: Callable[[], S3Client], bucket: str, event_id: str, file: InlineFile) -> None:
    """Put one file of the task that ends with this event; a rule of the bucket removes it after 14 days."""
    s3().put_object(Bucket=bucket, Key=inline_key(event_id, file.clip_id, file.type), Body=file.content)
