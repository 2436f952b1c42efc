"""Download links of archived files: presigned GETs with the host of the bucket's region.

By default botocore signs for the host without a region (``BUCKET.s3.amazonaws.com``). Regions that are newer than March
2019 never answer there, and the others not until DNS knows the bucket, which takes up to a day.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tunehook.aws.clients import client

LINK_LIFE_S: Final = 3600
"""How long a download link is valid at most: it expires earlier with the session of the credentials that signed it."""


def s3_client(open_client: Callable[..., Any] = client, **settings: Any) -> Any:
    """Return an S3 client whose links work in every region and partition.

    `open_client` takes a service's name and settings of its client. Where an endpoint is set that is an address, as
    that of the embedded AWS, the bucket stays in the path.
    """
    styles = {"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
    # Botocore's default for links is the old signature, which newer regions refuse.
    return open_client("s3", signature_version="s3v4", s3=styles, **settings)


def link(s3: Any, bucket: str, key: str) -> str:
    """Return a link to an object that is valid for `LINK_LIFE_S` at most; `s3` is what `s3_client` returns."""
    location = {"Bucket": bucket, "Key": key}
    return str(s3.generate_presigned_url("get_object", Params=location, ExpiresIn=LINK_LIFE_S))
