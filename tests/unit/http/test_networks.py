from ipaddress import ip_address, ip_network

import pytest

from tunehook.http.networks import forbidden_reason

# Written from the registries again, not from the table: first and last address of each block.
FORBIDDEN_BLOCKS = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "::/128",
    "::1/128",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001:1::1/128",
    "2001:2::/48",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:30::/28",
    "2001:db8::/32",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
]

PUBLIC = [
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2400:cb00::1",
    "2606:4700:4700::1111",
    "2a00:1450:4001:81b::200e",
    "3ffe::1",
]


def embeddings(v4: str) -> dict[str, str]:
    """All the ways to write an IPv4 address as an IPv6 address."""
    value = int(ip_address(v4))
    high, low = value >> 16, value & 0xFFFF
    inverted = value ^ 0xFFFF_FFFF
    return {
        "mapped": f"::ffff:{v4}",
        "compatible": f"::{v4}",
        "translated": f"::ffff:0:{v4}",
        "nat64": f"64:ff9b::{v4}",
        "6to4": f"2002:{high:x}:{low:x}::1",
        "teredo client": f"2001:0:808:808:0:0:{inverted >> 16:x}:{inverted & 0xFFFF:x}",
        "teredo server": f"2001:0:{high:x}:{low:x}:0:0:f7f7:f7f7",
    }


@pytest.mark.parametrize("block", FORBIDDEN_BLOCKS)
def test_both_ends_of_every_special_purpose_block_are_forbidden(block: str) -> None:
    network = ip_network(block)
    assert forbidden_reason(network[0])
    assert forbidden_reason(network[-1])


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_beside_the_blocks_are_not_forbidden(address: str) -> None:
    assert forbidden_reason(ip_address(address)) is None


@pytest.mark.parametrize("v4", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "100.100.100.200", "192.168.1.1"])
@pytest.mark.parametrize("form", embeddings("0.0.0.0"))
def test_an_embedded_forbidden_address_is_forbidden_in_every_form(v4: str, form: str) -> None:
    assert forbidden_reason(ip_address(embeddings(v4)[form]))


@pytest.mark.parametrize("form", embeddings("0.0.0.0"))
def test_an_embedded_public_address_is_public_in_every_form(form: str) -> None:
    assert forbidden_reason(ip_address(embeddings("8.8.4.4")[form])) is None


@pytest.mark.parametrize("interface", ["0:5efe", "200:5efe"])
def test_an_isatap_interface_is_judged_by_its_ipv4_address(interface: str) -> None:
    assert forbidden_reason(ip_address(f"2606:4700:0:0:{interface}:a9fe:a9fe"))
    assert forbidden_reason(ip_address(f"2606:4700:0:0:{interface}:808:808")) is None


def test_an_isatap_interface_is_one_whatever_network_it_is_in() -> None:
    assert forbidden_reason(ip_address("2606:4700:0:1:0:5efe:a9fe:a9fe"))


@pytest.mark.parametrize("interface", ["0:5eff", "1:5efe", "201:5efe", "200:5eff"])
def test_an_interface_beside_those_of_isatap_holds_no_ipv4_address(interface: str) -> None:
    assert forbidden_reason(ip_address(f"2606:4700:0:0:{interface}:a9fe:a9fe")) is None


@pytest.mark.parametrize("address", ["64:ff9b:1::808:808", "64:ff9b:1:808:8:800::"])
def test_local_use_translation_is_forbidden_wherever_it_keeps_the_ipv4_address(address: str) -> None:
    assert forbidden_reason(ip_address(address))


@pytest.mark.parametrize(
    "address", ["200::1", "1000::1", "4000::1", "8000::1", "e000::1", "64:ff9a::1", "::2:0:0:1"]
)
def test_what_is_outside_the_global_unicast_space_is_forbidden(address: str) -> None:
    assert forbidden_reason(ip_address(address))


def test_the_reason_names_the_network_and_the_embedded_address() -> None:
    assert forbidden_reason(ip_address("::ffff:127.0.0.1")) == "loopback, as 127.0.0.1"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("0.1.2.3", "this network"),
        ("10.1.2.3", "private use"),
        ("100.127.0.1", "carrier-grade NAT"),
        ("127.1.2.3", "loopback"),
        ("169.254.169.254", "link local"),
        ("172.31.0.1", "private use"),
        ("192.0.0.8", "IETF protocol assignments"),
        ("192.168.1.1", "private use"),
        ("224.0.0.1", "multicast"),
        ("64:ff9b:1::1", "local-use IPv4/IPv6 translation"),
        ("100::1", "discard only"),
        ("100:0:0:1::1", "dummy prefix"),
        ("2001:2::1", "IETF protocol assignments"),
        ("2001:db8::1", "documentation"),
        ("2620:4f:8000::1", "AS112"),
        ("3fff::1", "documentation"),
        ("5f00::1", "segment routing"),
        ("fd00::1", "unique local"),
        ("fe80::1", "link local"),
        ("fec0::1", "site local"),
        ("ff02::1", "multicast"),
    ],
)
def test_a_reason_names_the_network(address: str, reason: str) -> None:
    assert forbidden_reason(ip_address(address)) == reason


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        *[(f"{net}.1", "documentation") for net in ("192.0.2", "198.51.100", "203.0.113")],
        *[(f"{net}.1", "AS112") for net in ("192.31.196", "192.175.48")],
        ("192.52.193.1", "AMT"),
        ("192.88.99.1", "6to4 relay anycast"),
        ("198.19.0.1", "benchmarking"),
        ("240.0.0.1", "reserved, limited broadcast"),
        *[(address, "reserved") for address in ("200::1", "4000::1", "8000::1")],
        ("64:ff9b::10.0.0.1", "private use, as 10.0.0.1"),
    ],
)
def test_so_does_that_of_a_small_network(address: str, reason: str) -> None:
    assert forbidden_reason(ip_address(address)) == reason
