import re

import pytest

from tunehook.errors import InvalidInput
from tunehook.http.guard import ForbiddenAddress, NetworkPolicy, check_address, check_url

# As documented, and not imported: a bound that moves is to be noticed.
MAX_URL_LENGTH = 2048

PUBLIC, ANY = NetworkPolicy.PUBLIC, NetworkPolicy.ANY


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/",
        "https://example.com./hook",
        "https://EXAMPLE.com/a/b?c=d&e=%2F",
        "https://example.com:443/",
        "https://example.com:1024/",
        "https://example.com:65535/",
        "https://a_b-c.example/",
        "https://xn--bcher-kva.example/",
        "https://bücher.example/",
        "https://音乐.example/",
        "https://8.8.8.8/",
        "https://[2606:4700:4700::1111]/",
        "https://intranet/",
        "https://a.b.c.d.e.example.museum/",
    ],
)
@pytest.mark.parametrize("policy", NetworkPolicy)
def test_an_ordinary_https_url_is_accepted(url: str, policy: NetworkPolicy) -> None:
    check_url(url, policy)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.com/", "scheme must be https"),
        ("ftp://example.com/", "scheme"),
        ("example.com", "scheme"),
        ("//example.com/", "scheme"),
        ("https:example.com", "host"),
        ("https://example.com:80/", "port must be 443 or at least 1024"),
        ("https://example.com:22/", "port must be 443"),
        ("https://example.com:1023/", "port must be 443"),
        ("https://example.com:0/", "port"),
    ],
)
def test_the_public_policy_refuses_other_schemes_and_ports(url: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        check_url(url, PUBLIC)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "http://localhost:80/",
        "http://10.0.0.1:8080/",
        "http://[::1]:9000/",
        "https://h:22/",
    ],
)
def test_the_any_policy_lifts_scheme_port_and_address(url: str) -> None:
    check_url(url, ANY)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "scheme"),
        ("https://", "host"),
        ("https:///path", "host"),
        ("https://?q", "host"),
        ("https://user@example.com/", "user name"),
        ("https://user:pass@example.com/", "user name"),
        ("https://@example.com/", "user name"),
        ("https://example.com/#part", "fragment"),
        ("https://example.com#", "fragment"),
        ("https://example.com:99999/", "port"),
        ("https://example.com:port/", "port"),
        ("https://example.com:-1/", "port"),
        ("https://[::1/", "not a valid URL|host"),
        ("https://[::1]x/", "not a valid URL|host"),
        ("https://[fe80::1%25eth0]/", "zone|not a valid URL"),
        ("https://[fe80::1%eth0]/", "zone|not a valid URL"),
        ("https://[v1.a]/", "not a valid|IPv6|host"),
        ("https://[:::]/", "IPv6|not a valid URL"),
        ("https://exa mple.com/", "white space"),
        (" https://example.com/", "white space"),
        ("https://example.com/\n", "white space"),
        ("https://example.com/\t", "white space"),
        ("https://example.com/\x00", "white space"),
        ("https://example.com/\u200b", "white space"),
        ("https://example.com\u2028/", "white space"),
        ("https://example.com/\ud800", "white space"),
        ("https://example.com\\@evil.example/", "backslash"),
        ("https://ex%61mple.com/", "host is not a valid name"),
        ("https://a..b/", "host is not a valid name"),
        ("https://.example.com/", "host is not a valid name"),
        ("https://-a.example/", "host is not a valid name"),
        ("https://a-.example/", "host is not a valid name"),
        ("https://" + "a" * 64 + ".example/", "host is not a valid name"),
        ("https://" + "a." * 130 + "example/", "host is not a valid name"),
        ("https://example.com;x/", "host is not a valid name"),
        ("https://\u2460\u2461\u2466.0.0.1/", "internationalised|not a valid URL"),
        ("https://a.256.0.0.1/", "IPv4"),
        ("https://256.1.1.1/", "IPv4"),
        ("https://1.2.3.4.5/", "IPv4"),
        ("https://example.0x/", "IPv4"),
    ],
)
@pytest.mark.parametrize("policy", NetworkPolicy)
def test_a_malformed_url_is_refused_by_both_policies(url: str, reason: str, policy: NetworkPolicy) -> None:
    with pytest.raises(InvalidInput, match=reason):
        check_url(url, policy)


def test_a_url_of_2048_characters_is_the_longest() -> None:
    url = "https://example.com/".ljust(MAX_URL_LENGTH, "a")
    check_url(url, PUBLIC)
    with pytest.raises(InvalidInput, match="longer than 2048"):
        check_url(url + "a", PUBLIC)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "0x7f.1",
        "0X7F.0.0.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "127。0。0。1",
        "0",
        "169.254.169.254",
        "0xa9fea9fe",
        "10.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::169.254.169.254]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[fd00:ec2::254]",
    ],
)
def test_a_host_that_is_a_forbidden_address_is_refused_however_it_is_spelled(host: str) -> None:
    with pytest.raises(ForbiddenAddress):
        check_url(f"https://{host}/", PUBLIC)


@pytest.mark.parametrize("host", ["134744072", "8.8.2056", "0x8.8.8.8", "8.8.8.8."])
@pytest.mark.parametrize("policy", NetworkPolicy)
def test_a_public_address_in_an_odd_spelling_is_refused_with_the_usual_one(
    host: str, policy: NetworkPolicy
) -> None:
    with pytest.raises(InvalidInput, match=r"must be written as 8\.8\.8\.8"):
        check_url(f"https://{host}/", policy)


def test_a_name_that_points_to_a_forbidden_address_is_left_to_the_connection() -> None:
    check_url("https://localhost./", PUBLIC)


def test_the_error_names_the_field_and_keeps_the_url_to_itself() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_url("https://user:hunter2@example.com/", PUBLIC, field="notify_hook")
    assert caught.value.field == "notify_hook"
    assert "hunter2" not in str(caught.value)


def test_an_address_is_judged_by_the_policy() -> None:
    check_address("127.0.0.1", ANY)
    check_address("8.8.8.8", PUBLIC)
    with pytest.raises(ForbiddenAddress, match="loopback"):
        check_address("127.0.0.1", PUBLIC)


def test_a_scoped_address_is_judged_without_its_zone() -> None:
    with pytest.raises(ForbiddenAddress, match="link local"):
        check_address("fe80::1%lo", PUBLIC)


@pytest.mark.parametrize(
    ("host", "form"),
    [
        ("i\u2764.ws", "xn--i-7iq.ws"),
        ("I\u2764\ufe0f.ws", "xn--i-7iq.ws"),
        ("hooks.\u2603.net", "hooks.xn--n3h.net"),
        ("cafe\u0301.example", "xn--caf-dma.example"),
        ("\uff45xample.com", "example.com"),
        ("stra\xdfe.\u2764.ws", "xn--strae-oqa.xn--qei.ws"),
    ],
    ids=["emoji", "emoji as a picture", "a symbol", "decomposed", "full width", "sharp s"],
)
@pytest.mark.parametrize("policy", NetworkPolicy)
def test_of_a_host_that_idna_refuses_the_form_is_named_that_is_taken(
    host: str, form: str, policy: NetworkPolicy
) -> None:
    with pytest.raises(InvalidInput, match=f"^notify_hook: the host must be written as {re.escape(form)}$"):
        check_url(f"https://{host}/hook", policy, field="notify_hook")
    check_url(f"https://{form}/hook", policy)


@pytest.mark.parametrize("host", ["\uff11\uff12\uff17.0.0.1", "a..\xfc", "\xfc" * 70, "\ufffd.example"])
def test_of_a_host_that_has_no_such_form_none_is_named(host: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_url(f"https://{host}/", NetworkPolicy.ANY)
    assert "written as" not in str(caught.value)
