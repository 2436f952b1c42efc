"""The addresses that no request of ours may reach, as one explicit table.

Sources: the IANA special-purpose address registries for IPv4 and IPv6, the IANA multicast and IPv6 address space
registries. Every block of the special-purpose registries is forbidden, even the few that are "globally reachable"
(anycast services such as AS112): none can be somebody's web server. ``ipaddress.is_global`` differs between Python
versions, and lets embedded IPv4 addresses through (docs/webhook-contract.md, "Where a request may go").
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_FORBIDDEN_V4 = {
    IPv4Network("0.0.0.0/8"): "this network",
    IPv4Network("10.0.0.0/8"): "private use",
    IPv4Network("100.64.0.0/10"): "carrier-grade NAT",
    IPv4Network("127.0.0.0/8"): "loopback",
    IPv4Network("169.254.0.0/16"): "link local",
    IPv4Network("172.16.0.0/12"): "private use",
    IPv4Network("192.0.0.0/24"): "IETF protocol assignments",
    IPv4Network("192.0.2.0/24"): "documentation",
    IPv4Network("192.31.196.0/24"): "AS112",
    IPv4Network("192.52.193.0/24"): "AMT",
    IPv4Network("192.88.99.0/24"): "6to4 relay anycast",
    IPv4Network("192.168.0.0/16"): "private use",
    IPv4Network("192.175.48.0/24"): "AS112",
    IPv4Network("198.18.0.0/15"): "benchmarking",
    IPv4Network("198.51.100.0/24"): "documentation",
    IPv4Network("203.0.113.0/24"): "documentation",
    IPv4Network("224.0.0.0/4"): "multicast",
    IPv4Network("240.0.0.0/4"): "reserved, limited broadcast",
}

_FORBIDDEN_V6 = {
    # RFC 8215: for translators inside one network, each of which may put the IPv4 address in another place.
    IPv6Network("64:ff9b:1::/48"): "local-use IPv4/IPv6 translation",
    IPv6Network("100::/64"): "discard only",
    IPv6Network("100:0:0:1::/64"): "dummy prefix",
    IPv6Network("2001::/23"): "IETF protocol assignments",
    IPv6Network("2001:db8::/32"): "documentation",
    IPv6Network("2620:4f:8000::/48"): "AS112",
    IPv6Network("3fff::/20"): "documentation",
    IPv6Network("5f00::/16"): "segment routing",
    IPv6Network("fc00::/7"): "unique local",
    IPv6Network("fe80::/10"): "link local",
    IPv6Network("fec0::/10"): "site local",
    IPv6Network("ff00::/8"): "multicast",
    # Only 2000::/3 is allocated for global unicast; the rest is reserved by the IETF.
    IPv6Network("::/3"): "reserved",
    IPv6Network("4000::/2"): "reserved",
    IPv6Network("8000::/1"): "reserved",
}

# By how many bits each form shifts its IPv4 addresses, all of which must be public, and what it inverts in them.
_EMBEDDED = {
    IPv6Network("::/96"): ((0, 0),),  # IPv4-compatible, RFC 4291; also :: and ::1
    IPv6Network("::ffff:0:0/96"): ((0, 0),),  # IPv4-mapped, RFC 4291
    IPv6Network("::ffff:0:0:0/96"): ((0, 0),),  # IPv4-translated, RFC 2765
    IPv6Network("64:ff9b::/96"): ((0, 0),),  # NAT64, RFC 6052
    IPv6Network("2002::/16"): ((80, 0),),  # 6to4, RFC 3056
    # Teredo, RFC 4380: the server, and the client inverted.
    IPv6Network("2001::/32"): ((64, 0), (0, 0xFFFF_FFFF)),
}
_ISATAP_INTERFACES = (0x0000_5EFE, 0x0200_5EFE)  # RFC 5214, under any prefix


def forbidden_reason(address: IPv4Address | IPv6Address) -> str | None:
    """Return the name of the forbidden network that an address lies in, or None if it is public.

    An IPv6 address that embeds IPv4 addresses is judged by those.
    """
    if isinstance(address, IPv4Address):
        return next((name for network, name in _FORBIDDEN_V4.items() if address in network), None)
    for embedded in _embedded_addresses(address):
        if reason := forbidden_reason(embedded):
            return f"{reason}, as {embedded}"
    if any(address in form for form in _EMBEDDED):
        return None
    return next((name for network, name in _FORBIDDEN_V6.items() if address in network), None)


def _embedded_addresses(address: IPv6Address) -> Iterator[IPv4Address]:
    value = int(address)
    for form, places in _EMBEDDED.items():
        if address in form:
            yield from (IPv4Address(value >> shift & 0xFFFF_FFFF ^ inverted) for shift, inverted in places)
    if value >> 32 & 0xFFFF_FFFF in _ISATAP_INTERFACES:
        yield IPv4Address(value & 0xFFFF_FFFF)
