"""URLs as they go over the wire: byte for byte as they were given, but for what no URL may hold.

Libraries for URLs normalise `%2F`, `'`, `[`, `;` or a trailing `?`, which breaks links that are signed. So a URL is a
text here, and its target is never parsed.
"""

from __future__ import annotations

import re
from typing import Final

from tunehook.errors import InvalidInput
from tunehook.http.guard import ascii_name

MAX_WIRE_URL_LENGTH: Final = 64 * 1024

_ABSOLUTE: Final = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#\\]*)(?P<target>[^#]*)", re.I | re.S)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*:", re.I | re.A)
_USER: Final = re.compile(r"((?:[a-z][a-z0-9+.-]*:)?//)[^/]*@", re.I)
_HOST_AND_PORT: Final = re.compile(r"(?P<host>.*?)(?P<port>:[0-9]*)?", re.S)
_NOT_OF_A_URL: Final = re.compile(r"[^\x21-\x5b\x5d-\x7e]+")
_BLANK: Final = "".join(map(chr, range(0x21)))


def wire_url(url: str, *, field: str = "url") -> str:
    """Encode what no URL may hold (white space, control characters, backslashes, all beyond ASCII), and nothing else.

    White space around it and its fragment are left out; the host comes out in IDNA. A byte that is not of UTF-8 may
    stand in it as a lone surrogate, as Python's ``surrogateescape`` makes them.

    Raise `InvalidInput` if it is not of http or https, or its host cannot be a name; the error names `field`.
    """
    found = _ABSOLUTE.fullmatch(url.strip(_BLANK).partition("#")[0])
    if found is None:
        raise InvalidInput(field, "not an http or https URL")
    authority = _ascii_authority(found["authority"], field)
    return f"{found['scheme'].lower()}://{authority}{_encoded(_target(found), field)}"


def split_wire_url(url: str) -> tuple[str, str]:
    """Split a URL as `wire_url` makes them into origin and target; raise `ValueError` if it is none."""
    found = _ABSOLUTE.fullmatch(url.partition("#")[0])
    if found is None or not found["authority"]:
        raise ValueError("not a URL for the wire")
    target = _target(found)
    if _NOT_OF_A_URL.search(target):
        raise ValueError("not a URL for the wire")
    return f"{found['scheme'].lower()}://{found['authority']}", target


def resolved(base: str, reference: str) -> str:
    """Resolve a reference, such as a ``Location``, against the URL that it came from (RFC 3986, section 5.2).

    `base` is as `wire_url` makes them; `reference` may hold what `wire_url` encodes. Dot segments are removed only from
    a path that is relative: nothing else of what was given is changed.

    Raise `InvalidInput` if it is empty, or what comes out is not of http or https.
    """
    text = reference.strip(_BLANK).partition("#")[0]
    if not text:
        raise InvalidInput("location", "empty")
    origin, target = split_wire_url(base)
    path = target.partition("?")[0]
    if _SCHEME.match(text):
        whole = text
    elif text.startswith("//"):
        whole = f"{origin.partition(':')[0]}:{text}"
    elif text.startswith("/"):
        whole = origin + text
    elif text.startswith("?"):
        whole = origin + path + text
    else:
        relative, mark, query = text.partition("?")
        whole = origin + _without_dots(path[: path.rfind("/") + 1] + relative) + mark + query
    return wire_url(whole, field="location")


def as_https(url: str) -> str:
    """Return a URL as `wire_url` makes them with https in the place of http, on the same host; a port of 80 goes."""
    if not url.startswith("http://"):
        return url
    origin, target = split_wire_url(url)
    return f"https://{origin.removeprefix('http://').removesuffix(':80')}{target}"


def without_secrets(url: str) -> str:
    """Return a URL or a reference, such as a ``Location``, without user name, password, query and fragment.

    What comes out is printable ASCII, whatever went in.
    """
    text = url.strip(_BLANK).partition("#")[0]
    place, mark, _ = text.partition("?")
    return _encoded(_USER.sub(r"\1", place, count=1), "url") + (f"{mark}..." if mark else "")


def _target(found: re.Match[str]) -> str:
    target = found["target"]
    return target if target.startswith("/") else f"/{target}"


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _ascii_authority(authority: str, field: str) -> str:
    if authority.isascii():
        if not authority or _NOT_OF_A_URL.search(authority):
            raise InvalidInput(field, "the host is not a valid name")
        return authority
    found = _HOST_AND_PORT.fullmatch(authority)
    assert found is not None  # it matches any text
    return ascii_name(found["host"].lower(), field) + (found["port"] or "")


def _encoded(text: str, field: str) -> str:
    try:
        return _NOT_OF_A_URL.sub(_percent, text)
    except UnicodeEncodeError:
        raise InvalidInput(field, "holds what is no character") from None


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogateescape"))
