from typing import Any

import pytest

from tunehook.providers.pages import bars, object_in_front, page

AWS = {"x-amzn-errortype": "ForbiddenException"}


@pytest.mark.parametrize(
    ("status", "headers", "payload", "who"),
    [
        (403, {}, {"cloudflare_error": True}, "Cloudflare"),
        (
            403,
            {},
            {"ray_id": "1", "error_code": 1020, "title": "Access denied"},
            "Cloudflare (Access denied)",
        ),
        (403, {}, {"ray_id": "1"}, None),
        (403, {}, {"error_code": 1020}, None),
        (403, AWS, {"message": "Forbidden"}, "AWS"),
        (403, {}, {"message": "Forbidden"}, None),
        (404, AWS, {"message": "Forbidden"}, None),
        (403, AWS, {"message": "Forbidden", "code": 1}, None),
        (403, AWS, {"error": "Forbidden"}, None),
    ],
)
def test_an_object_of_something_in_front_of_the_gateway_is_told_from_its_own(
    status: int, headers: dict[str, str], payload: dict[str, Any], who: str | None
) -> None:
    found = object_in_front(status, headers, payload)
    assert (who is None) == (found is None)
    assert who is None or who in (found or "")


def test_a_very_long_title_is_cut() -> None:
    found = object_in_front(403, {}, {"cloudflare_error": True, "title": "t" * 5000})
    assert found is not None
    assert len(found) < 300


@pytest.mark.parametrize(
    ("headers", "body"),
    [({}, b"<html><title>Welcome</title></html>"), ({"content-type": "text/HTML"}, b"Welcome")],
)
def test_a_page_is_known_by_its_beginning_or_by_its_content_type(
    headers: dict[str, str], body: bytes
) -> None:
    assert "page" in (page(200, headers, body) or "")


GUARDS = {
    "cf-mitigated": "a challenge page of Cloudflare",
    "x-amzn-waf-action": "a challenge page of AWS WAF",
    "x-vercel-mitigated": "a challenge page of Vercel",
    "x-datadome": "a web page of DataDome",
    "x-iinfo": "a web page of Imperva",
    "x-sucuri-id": "a web page of Sucuri",
    "ngrok-error-code": "a web page of ngrok",
}
BODIES = {
    "cloudflare|cf-error": "Cloudflare",
    "_incapsula_|imperva": "Imperva",
    "awswaf|aws waf": "AWS WAF",
    "cloudfront": "CloudFront",
    "edgesuite|akamai": "Akamai",
    "sucuri": "Sucuri",
    "ddos-guard": "DDoS-Guard",
    "safeline|雷池|长亭": "SafeLine",
    "btwaf|宝塔": "BaoTa",
    "aliyun|acw_sc__": "Alibaba Cloud",
    "edgeone|tencent cloud|腾讯云": "Tencent Cloud",
    "The requested URL was rejected. Please consult": "F5",
    "fortiguard|fortinet": "Fortinet",
    "ngrok": "ngrok",
    "openresty": "OpenResty",
    "nginx": "nginx",
}
SERVERS = {
    "AkamaiGHost": "of Akamai",
    "ddos-guard": "of DDoS-Guard",
    "awselb/2.0": "of AWS's load balancer",
    "Sucuri/Cloudproxy": "of Sucuri",
    "imperva": "of Imperva",
    "edgeone": "of Tencent Cloud",
    "Tengine": "of Tengine",
    "openresty/1.21": "of OpenResty",
    "nginx/1.25": "of nginx",
    "Apache": "of Apache",
    "Caddy": "of Caddy",
    "envoy": "of Envoy",
    "Varnish": "of Varnish",
    "cloudflare": "by way of Cloudflare",
    "CloudFront": "by way of CloudFront",
    "Vercel": "by way of Vercel",
}


@pytest.mark.parametrize(("header", "what"), GUARDS.items())
def test_who_guards_a_gateway_is_known_by_his_header(header: str, what: str) -> None:
    assert page(200, {header: "1"}, b"<p>") == f"{what}, not the gateway"


@pytest.mark.parametrize(
    ("word", "owner"), [(word, owner) for words, owner in BODIES.items() for word in words.split("|")]
)
def test_whose_page_it_is_is_known_by_its_words(word: str, owner: str) -> None:
    body = f"<p>{word.upper()}</p>".encode()
    assert page(200, {}, body) == f"a web page of {owner}, not the gateway"


@pytest.mark.parametrize(("server", "by"), SERVERS.items())
def test_whose_page_it_is_is_known_by_the_server_that_sends_it(server: str, by: str) -> None:
    assert page(200, {"server": server}, b"<p>") == f"a web page {by}, not the gateway"


@pytest.mark.parametrize(
    ("headers", "body", "what"),
    [
        ({"cf-ray": "1"}, b"<p>", "a web page by way of Cloudflare"),
        ({"cf-ray": "1"}, b"<p>captcha", "a challenge page of Cloudflare"),
        ({"cf-ray": "1", "server": "nginx"}, b"<p>", "a web page of nginx"),
        ({"x-iinfo": "1", "server": "nginx"}, b"<p>sucuri", "a web page of Imperva"),
        ({"server": "nginx"}, b"<p>sucuri", "a web page of Sucuri"),
        ({"server": "unheard of"}, b"<p>", "a web page"),
    ],
)
def test_who_guards_goes_before_whose_page_it_is_and_who_only_passes_it_on_comes_last(
    headers: dict[str, str], body: bytes, what: str
) -> None:
    assert page(200, headers, body) == f"{what}, not the gateway"


@pytest.mark.parametrize(
    "words",
    [
        *("Just a moment", "attention required", "checking your browser", "cf-chl", "challenge-platform"),
        *("verify you are human", "verify you are a human", "enable javascript and cookies", "captcha"),
        *("ddos protection", "人机验证", "安全验证", "滑动验证"),
    ],
)
def test_a_challenge_is_known_by_its_words_where_it_is_a_page(words: str) -> None:
    assert (page(200, {}, f"<p>{words}".encode()) or "").startswith("a challenge page")
    assert page(200, {}, words.encode()) is None


@pytest.mark.parametrize(
    "words",
    [
        *("Access denied", "request blocked", "web application firewall", "error code: 1015"),
        *("you have been blocked", "已被拦截"),
    ],
)
def test_a_firewall_is_known_by_its_words_page_or_not(words: str) -> None:
    assert (page(200, {}, words.encode()) or "").startswith("a firewall's page")
    assert bars(403, {}, words.encode())


@pytest.mark.parametrize(
    ("status", "headers", "body", "what"),
    [
        (407, {}, b"", "a proxy that wants a password"),
        *[
            (401, {"www-authenticate": f"{scheme} realm"}, b"", "a proxy that wants a password")
            for scheme in ("Basic", "Digest", "Negotiate", "NTLM")
        ],
        (401, {"www-authenticate": "Bearer"}, b"", None),
        (403, {"www-authenticate": "Basic"}, b"", None),
        (511, {}, b"", "the login of a network"),
        (502, {}, b"error code: 502", "an error page of Cloudflare"),
        (502, {}, b"error code: 502 of ours", None),
        (200, {}, b"no page", None),
    ],
)
def test_what_a_proxy_says_is_told_by_its_status(
    status: int, headers: dict[str, str], body: bytes, what: str | None
) -> None:
    assert page(status, headers, body) == (None if what is None else f"{what}, not the gateway")
    assert not bars(status, headers, body)


def test_of_a_page_its_beginning_is_looked_at_and_80_characters_of_its_title_are_told() -> None:
    start = b"<title>" + b"t" * 100 + b"</title>"
    room = 20_000 - len(start) - len(b"nginx")
    assert (
        page(200, {}, start + b"x" * room + b"nginx") == f"a web page of nginx ({'t' * 80}), not the gateway"
    )
    assert page(200, {}, start + b"x" * (room + 1) + b"nginx") == f"a web page ({'t' * 80}), not the gateway"


def test_a_key_that_a_title_quotes_is_blotted_out_before_it_is_cut() -> None:
    body = b"<title>" + b"t" * 75 + b"sk-secret/1</title>"
    assert "sk-" not in (page(200, {}, body, "sk-secret/1") or "sk-")
