"""Kept files for players and pictures: bytes from the bucket, in the ranges that a player asks for."""

from __future__ import annotations

from typing import Final

from botocore.exceptions import ClientError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tunehook.aws.errors import code_of
from tunehook_cli.console.views import stack_of

_PLAYED: Final = ("audio/", "video/")
SHOWN: Final = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/avif")
"""The pictures that a page shows: nothing that a browser could run is in them."""

_CHUNK: Final = 128 * 1024


def show(request: Request) -> Response:
    """Answer with a kept file, or the range of it that is asked for.

    What a browser could run (an SVG, a page) is a download. Only results are served, nothing else of the bucket.
    """
    key = request.query_params.get("key", "")
    if not key.startswith("results/"):
        raise HTTPException(404, "there is no such file")
    stack = stack_of(request)
    asked = request.headers.get("range")
    part = {"Range": asked} if asked is not None and asked.startswith("bytes=") else {}
    try:
        found = stack.s3.get_object(Bucket=stack.output("ResultsBucket"), Key=key, **part)
    except ClientError as error:
        code = code_of(error)
        if code in ("NoSuchKey", "404"):
            raise HTTPException(404, "there is no such file: it may have expired") from None
        if code in ("InvalidRange", "416"):
            raise HTTPException(416, "the file has no such part") from None
        raise
    kind = str(found.get("ContentType", "application/octet-stream")).partition(";")[0].strip().lower()
    is_safe = kind.startswith(_PLAYED) or kind in SHOWN
    headers = {
        "accept-ranges": "bytes",
        "content-length": str(found["ContentLength"]),
        "content-security-policy": "default-src 'none'; sandbox",
        "cache-control": "private, max-age=3600",
    }
    if "ContentRange" in found:
        headers["content-range"] = found["ContentRange"]
    if not is_safe:
        said = str(found.get("ContentDisposition", ""))
        headers["content-disposition"] = said if said.startswith("attachment;") else "attachment"
    return StreamingResponse(
        found["Body"].iter_chunks(_CHUNK),
        206 if "ContentRange" in found else 200,
        headers,
        kind if is_safe else "application/octet-stream",
    )
