"""The name under which a browser saves an archived file."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from fulfillment.assets import Asset

_TITLE_MAX_LENGTH: Final = 100
"""Percent-encoded, that is at most 1,200 bytes of a header; S3 takes 8 kB of headers together."""

_REPLACED: Final = frozenset('<>:"/\\|?*')
"""What some file system does not take in a name."""

_PLAIN: Final = frozenset("!#$&+-.^_`|~")
"""What stays as it is beside letters and digits (RFC 5987, section 3.2.1)."""

_SUFFIX: Final = {"cover": " cover", "large_cover": " large cover", "lyrics": " lyrics"}


def content_disposition(asset: Asset, extension: str) -> str:
    """Return the value of a ``Content-Disposition`` header (RFC 6266) with the clip's title as the file's name.

    It is printable ASCII: the name percent-encoded in UTF-8, and for old clients one with ``_`` in place of what is not
    ASCII. A clip without a title goes by its id.
    """
    name = f"{_name(asset)}{_SUFFIX.get(asset.type, '')}.{extension}"
    plain = "".join(char if char.isascii() else "_" for char in name).replace("%", "_")
    encoded = quote(name, safe="".join(_PLAIN))
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


def _name(asset: Asset) -> str:
    for text in (asset.title or "", asset.clip_id):
        kept = "".join("_" if char in _REPLACED else char if char.isprintable() else " " for char in text)
        name = " ".join(kept.split())[:_TITLE_MAX_LENGTH].strip(" .")
        if name:
            return name
    return "file"
