"""The headers that a subscription may add to its requests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tunehook import __version__
from tunehook.errors import InvalidInput

DEFAULT_HEADERS: Final = {"user-agent": f"tunehook/{__version__}", "accept-encoding": "identity"}
"""What every request carries that does not set them itself."""

MAX_HEADERS = 10
MAX_VALUE_LENGTH = 2048

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")  # a token, RFC 9110 section 5.6.2
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?|")

_OF_PROXIES = {"proxy-authenticate", "proxy-authorization", "proxy-connection"}
HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", *_OF_PROXIES}
)
"""Headers that belong to one connection and are never sent on (RFC 9110 section 7.6.1)."""

# Those that describe the message, and the contract's own (docs/webhook-contract.md, "The request").
_OF_MESSAGES = {"content-encoding", "content-length", "content-type"}
_RESERVED = HOP_BY_HOP | _OF_MESSAGES | {"accept-encoding", "expect", "host", "user-agent"}


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise `InvalidInput` for the first header that a subscription must not add, with its name and never its value.

    It may add `MAX_HEADERS`: printable ASCII without line breaks, none of the contract's own or hop-by-hop headers, no
    name twice.
    """
    if len(headers) > MAX_HEADERS:
        raise InvalidInput("headers", f"more than {MAX_HEADERS}")
    seen: set[str] = set()
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise InvalidInput("headers", "a name holds characters that a header's name cannot hold")
        lower = name.lower()
        if lower in _RESERVED or lower.startswith("webhook-"):
            raise InvalidInput(f"headers.{name}", "this header is not yours to set")
        if lower in seen:
            raise InvalidInput(f"headers.{name}", "given twice")
        seen.add(lower)
        if len(value) > MAX_VALUE_LENGTH or not _VALUE.fullmatch(value):
            reason = f"the value must be at most {MAX_VALUE_LENGTH} printable ASCII characters"
            raise InvalidInput(f"headers.{name}", reason)
