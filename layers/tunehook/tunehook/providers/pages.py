"""Who answered in place of a gateway: a challenge, a firewall, a proxy, a web site.

Only the gateway itself can refuse a key (docs/provider-contracts.md, "Errors"). What stands in front of it is named, so
that nobody looks for the fault at the key.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any, Final

from tunehook.providers.payload import Secret, redact

_SEARCHED_BYTES: Final = 20_000
_CHALLENGE: Final = "a challenge page"
_BLOCK: Final = "a firewall's page"
_MAX_TITLE: Final = 80
_TITLE: Final = r"(?is)<title[^>]*>(.*?)</title"
_CHALLENGES: Final = (
    r"(?i)just a moment|attention required|checking your browser|cf-chl|challenge-platform|verify you are (?:a )?human"
    r"|enable javascript and cookies|captcha|ddos protection|人机验证|安全验证|滑动验证"
)
_BLOCKS: Final = (
    r"(?i)access denied|request blocked|web application firewall|error code: ?1\d{3}"
    r"|you have been blocked|被拦截|拦截"
)
_FRONT_ERROR: Final = r"(?i)^error code: ?\d{3,4}\s*$"
_CHALLENGERS: Final = {
    "cf-mitigated": "Cloudflare",
    "x-amzn-waf-action": "AWS WAF",
    "x-vercel-mitigated": "Vercel",
}
CHALLENGE_HEADERS: Final = tuple(_CHALLENGERS)
"""Whoever sends one of these did not let the request through."""

# Whoever sends these headers answers himself, or guards who does.
_GUARDS: Final = {
    **_CHALLENGERS,
    "x-datadome": "DataDome",
    "x-iinfo": "Imperva",
    "x-sucuri-id": "Sucuri",
    "ngrok-error-code": "ngrok",
}
_BY_BODY: Final = {
    r"cloudflare|cf-chl|cf-error|error code: ?\d{3,4}\s*$": "Cloudflare",
    r"_incapsula_|imperva": "Imperva",
    r"awswaf|aws waf": "AWS WAF",
    r"cloudfront": "CloudFront",
    r"edgesuite|akamai": "Akamai",
    r"sucuri": "Sucuri",
    r"ddos-guard": "DDoS-Guard",
    r"safeline|雷池|长亭": "SafeLine",
    r"btwaf|宝塔": "BaoTa",
    r"aliyun|acw_sc__": "Alibaba Cloud",
    r"edgeone|tencent cloud|腾讯云": "Tencent Cloud",
    r"the requested url was rejected\. please consult": "F5",
    r"fortiguard|fortinet": "Fortinet",
    r"ngrok": "ngrok",
    r"openresty": "OpenResty",
    r"nginx": "nginx",
}
_BY_SERVER: Final = {
    "akamaighost": "Akamai",
    "ddos-guard": "DDoS-Guard",
    "awselb": "AWS's load balancer",
    "sucuri": "Sucuri",
    "imperva": "Imperva",
    "edgeone": "Tencent Cloud",
    "tengine": "Tengine",
    "openresty": "OpenResty",
    "nginx": "nginx",
    "apache": "Apache",
    "caddy": "Caddy",
    "envoy": "Envoy",
    "varnish": "Varnish",
}
# They name themselves on what they only pass on as well.
_CARRIERS: Final = {"cloudflare": "Cloudflare", "cloudfront": "CloudFront", "vercel": "Vercel"}


def object_in_front(status: int, headers: Mapping[str, str], payload: Mapping[str, Any]) -> str | None:
    """Describe a JSON object from something in front of the gateway; None where it may be the gateway's own."""
    if payload.get("cloudflare_error") or ("ray_id" in payload and "error_code" in payload):
        title = payload.get("title")
        return f"an error of Cloudflare{f' ({title[:_MAX_TITLE]})' if isinstance(title, str) else ''}, not the gateway"
    if status == 403 and "x-amzn-errortype" in headers and not {"error", "code", "success"} & payload.keys():
        return "an error of AWS's API Gateway or its firewall, not the gateway"
    return None


def page(status: int, headers: Mapping[str, str], body: bytes, secret: Secret = "") -> str | None:
    """Describe a body without a JSON object; None where it may be the gateway's own. `secret` is redacted in titles."""
    text = body[:_SEARCHED_BYTES].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    is_html = text.startswith("<") or "html" in headers.get("content-type", "").lower()
    what = _what(status, headers, text, is_html=is_html)
    if what is None:
        return None
    owner = _owner(headers, text, is_plain=what == "a web page") if what.endswith("page") else ""
    match = re.search(_TITLE, text)
    words = " ".join(html.unescape(match[1]).split()) if match else ""
    # Redacted before it is cut: of a key that was cut, the beginning would be left.
    title = redact("".join(filter(str.isprintable, words)), secret)[:_MAX_TITLE].strip()
    return f"{what}{owner}{f' ({title})' if title else ''}, not the gateway"


def bars(status: int, headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether a body is a challenge or a firewall's page: whatever stands behind it was not reached."""
    shown = page(status, headers, body)
    return shown is not None and shown.startswith((_CHALLENGE, _BLOCK))


def _what(status: int, headers: Mapping[str, str], text: str, *, is_html: bool) -> str | None:
    if any(name in headers for name in CHALLENGE_HEADERS) or (is_html and re.search(_CHALLENGES, text)):
        return _CHALLENGE
    if re.search(_BLOCKS, text):
        return _BLOCK
    wanted = headers.get("www-authenticate", "").lower()
    if status == 407 or (status == 401 and wanted.startswith(("basic", "digest", "negotiate", "ntlm"))):
        return "a proxy that wants a password"
    if status == 511:
        return "the login of a network"
    if re.search(_FRONT_ERROR, text):
        return "an error page"
    return "a web page" if is_html else None


def _owner(headers: Mapping[str, str], text: str, *, is_plain: bool) -> str:
    server = headers.get("server", "").lower()
    owners = [owner for name, owner in _GUARDS.items() if name in headers]
    owners += (owner for pattern, owner in _BY_BODY.items() if re.search(pattern, text, re.IGNORECASE))
    owners += (owner for part, owner in _BY_SERVER.items() if part in server)
    if owners:
        return f" of {owners[0]}"
    if "cf-ray" in headers:
        server = "cloudflare"
    carrier = next((owner for part, owner in _CARRIERS.items() if part in server), None)
    return "" if carrier is None else f" by way of {carrier}" if is_plain else f" of {carrier}"
