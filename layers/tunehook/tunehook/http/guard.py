"""Guard against server-side request forgery: docs/webhook-contract.md, "Where a request may go".

A URL is checked when it is given and again by the transport before each request (`tunehook.http.transport`); the
addresses of its name when the connection is made (`tunehook.http.resolver`).
"""

from __future__ import annotations

import re
import socket
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from tunehook.errors import InvalidInput
from tunehook.http.networks import forbidden_reason

MAX_URL_LENGTH = 2048

# Stricter than urllib.parse, whose reading of brackets differs between Python versions.
_AUTHORITY = re.compile(r"(?:\[(?P<v6>[^\[\]]*)\]|(?P<name>[^\[\]:]*))(?::(?P<port>[0-9]{0,5}))?")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,254}}\Z){_LABEL}(?:\.{_LABEL})*\.?")
_NO_NAME = "the host is not a valid internationalised name"
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class NetworkPolicy(StrEnum):
    """Which addresses the URLs of users may lead to; ``PUBLIC`` is https to public addresses only."""

    PUBLIC = "public"
    ANY = "any"


class ForbiddenAddress(InvalidInput):
    """A URL leads to an address that the network policy forbids."""


def check_url(
    url: str, policy: NetworkPolicy, *, field: str = "url", max_length: int = MAX_URL_LENGTH
) -> None:
    """Refuse a URL that no request may be sent to, or that has a user name, a password or a fragment.

    ``PUBLIC`` wants https, port 443 or from 1024, and no forbidden address. ``ANY`` takes http too, any port and
    address. Nothing is resolved: a host that is a name is judged by its addresses when a connection is made. A host
    that is an address, however it is spelled, is judged here already.

    Raise `InvalidInput` that names `field`: `ForbiddenAddress` if the host is an address that the policy forbids.
    """
    if len(url) > max_length:
        raise InvalidInput(field, f"longer than {max_length} characters")
    # Parsers differ in what they make of these, so none gets to see them.
    if not url.isprintable() or " " in url or "\\" in url:
        raise InvalidInput(field, "white space, control characters and backslashes are not allowed")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InvalidInput(field, "not a valid URL") from None
    schemes = ("https",) if policy is NetworkPolicy.PUBLIC else ("https", "http")
    if parts.scheme not in schemes:
        raise InvalidInput(field, f"the scheme must be {' or '.join(schemes)}")
    if "@" in parts.netloc:
        raise InvalidInput(field, "a user name or password in a URL is not allowed")
    if "#" in url:
        raise InvalidInput(field, "a fragment is not allowed")
    authority = _AUTHORITY.fullmatch(parts.netloc)
    if authority is None:
        raise InvalidInput(field, "the host or the port is not valid")
    if authority["port"]:
        port = int(authority["port"])
        if not 1 <= port <= 65535:
            raise InvalidInput(field, "the port must be from 1 to 65535")
        if policy is NetworkPolicy.PUBLIC and port != 443 and port < 1024:
            raise InvalidInput(field, "the port must be 443 or at least 1024")
    name = "" if authority["name"] is None else ascii_name(authority["name"].lower(), field)
    address = _ipv4_address(name, field) if name else _ipv6_address(authority["v6"], field)
    if address is not None and policy is NetworkPolicy.PUBLIC:
        _check_public(address, field)
    if isinstance(address, IPv4Address) and name != str(address):
        raise InvalidInput(field, f"the host must be written as {address}")


def check_address(address: str, policy: NetworkPolicy) -> None:
    """Raise `ForbiddenAddress` if an IPv4 or IPv6 address is not public and the policy wants it to be."""
    if policy is NetworkPolicy.PUBLIC:
        _check_public(ip_address(address), "url")


def _ipv6_address(text: str, field: str) -> IPv6Address:
    if "%" in text:
        raise InvalidInput(field, "a zone in an IPv6 address is not allowed")
    try:
        return IPv6Address(text)
    except ValueError:
        raise InvalidInput(field, "the host is not a valid IPv6 address") from None


def _ipv4_address(name: str, field: str) -> IPv4Address | None:
    """Return the address that a name spells, read as the C library would; None for a real name."""
    bare = name.removesuffix(".")
    if _NUMBER.fullmatch(bare.rpartition(".")[2]) is None:
        return None
    try:
        return IPv4Address(socket.inet_aton(bare))
    except OSError:
        raise InvalidInput(field, "the host is not a valid IPv4 address") from None


def ascii_name(host: str, field: str) -> str:
    """Return a host's name, given in lower case, as DNS carries it (in IDNA); raise `InvalidInput` if it is no name."""
    name = host
    if not host.isascii():
        import idna  # its tables are large, and such hosts rare

        try:
            name = idna.encode(host).decode()
        except idna.IDNAError:
            form = _as_punycode(host)
            reason = f"the host must be written as {form}" if form else _NO_NAME
            raise InvalidInput(field, reason) from None
    if _NAME.fullmatch(name) is None:
        raise InvalidInput(field, "the host is not a valid name")
    return name


def _as_punycode(host: str) -> str | None:
    """Return what browsers make of a name that IDNA 2008 refuses (UTS 46), such as one with emoji; None if no name."""
    import idna

    try:
        labels = idna.uts46_remap(host, std3_rules=False).split(".")
    except idna.IDNAError:
        return None
    ascii_labels = (each if each.isascii() else f"xn--{each.encode('punycode').decode()}" for each in labels)
    form = ".".join(ascii_labels)
    is_address = _NUMBER.fullmatch(form.removesuffix(".").rpartition(".")[2])
    return form if _NAME.fullmatch(form) and not is_address else None


def _check_public(address: IPv4Address | IPv6Address, field: str) -> None:
    if reason := forbidden_reason(address):
        raise ForbiddenAddress(field, f"leads to {address}, which is not a public address ({reason})")
