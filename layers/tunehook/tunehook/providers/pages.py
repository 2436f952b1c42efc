"""Whose page it is that came in place of a gateway's answer: a challenge, a firewall, a proxy, a web site.

Only the gateway itself can refuse a key (docs/provider-contracts.md, "Errors"). What stands before it is named, so that
nobody looks for the fault at the key.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any, Final

from tunehook.providers.payload import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOOKED_AT: Final = 20_000
_CHALLENGE: Final = "a challenge page"
_BLOCK: Final = "a firewall's page"
_MAX_TITLE: Final = 80
_TITLE: Final = r"(?is)<title[^>]*>(.*?)</title"
_CHALLENGES: Final = (
    "(?i)"
    r"just a moment|attention required|checking your browser|cf-chl|challenge-platform|verify you are (?:a )?human"
    r"|enable javascript and cookies|captcha|ddos protection|人机验证|安全验证|滑动验证"
)
_BLOCKS: Final = (
    "(?i)"
    r"access denied|request blocked|web application firewall|error code: ?1\d{3}|you have been blocked|被拦截|拦截"
)
CHALLENGE_HEADERS: Final = ("cf-mitigated", "x-amzn-waf-action", "x-vercel-mitigated")
"""Whoever sends one of these did not let the question through."""

_FRONT_ERROR: Final = r"(?i)^error code: ?\d{3,4}\s*$"

_GUARDS: Final = (
    ("cf-mitigated", "", "Cloudflare"),
    ("x-amzn-waf-action", "", "AWS WAF"),
    ("x-vercel-mitigated", "", "Vercel"),
    ("x-datadome", "", "DataDome"),
    ("x-iinfo", "", "Imperva"),
    ("x-sucuri-id", "", "Sucuri"),
    ("ngrok-error-code", "", "ngrok"),
)
"""Whoever sends these headers answers himself, or guards who does."""

_BY_BODY: Final = (
    (r"(?i)cloudflare|cf-chl|cf-error|error code: ?\d{3,4}\s*$", "Cloudflare"),
    (r"(?i)_incapsula_|imperva", "Imperva"),
    (r"(?i)awswaf|aws waf", "AWS WAF"),
    (r"(?i)cloudfront", "CloudFront"),
    (r"(?i)edgesuite|akamai", "Akamai"),
    (r"(?i)sucuri", "Sucuri"),
    (r"(?i)ddos-guard", "DDoS-Guard"),
    (r"(?i)safeline|雷池|长亭", "SafeLine"),
    (r"(?i)btwaf|宝塔", "BaoTa"),
    (r"(?i)aliyun|acw_sc__", "Alibaba Cloud"),
    (r"(?i)edgeone|tencent cloud|腾讯云", "Tencent Cloud"),
    (r"(?i)the requested url was rejected\. please consult", "F5"),
    (r"(?i)fortiguard|fortinet", "Fortinet"),
    (r"(?i)ngrok", "ngrok"),
    (r"(?i)openresty", "OpenResty"),
    (r"(?i)nginx", "nginx"),
)
_SERVERS: Final = (
    ("server", "akamaighost", "Akamai"),
    ("server", "ddos-guard", "DDoS-Guard"),
    ("server", "awselb", "AWS's load balancer"),
    ("server", "sucuri", "Sucuri"),
    ("server", "imperva", "Imperva"),
    ("server", "edgeone", "Tencent Cloud"),
    ("server", "tengine", "Tengine"),
    ("server", "openresty", "OpenResty"),
    ("server", "nginx", "nginx"),
    ("server", "apache", "Apache"),
    ("server", "caddy", "Caddy"),
    ("server", "envoy", "Envoy"),
    ("server", "varnish", "Varnish"),
)
_CARRIERS: Final = (
    ("cf-ray", "", "Cloudflare"),
    ("server", "cloudflare", "Cloudflare"),
    ("server", "cloudfront", "CloudFront"),
    ("server", "vercel", "Vercel"),
)
"""They say the same of what they only pass on."""


def object_in_front(status: int, headers: Mapping[str, str], payload: Mapping[str, Any]) -> str | None:
    """Describe a JSON object that comes from something in front of the gateway; None where it may be the gateway's own.

    Parameters
    ----------
    status : int
    headers : mapping
        Names in lower case.
    payload : mapping
        The JSON object.
    """
    if payload.get("cloudflare_error") or ("ray_id" in payload and "error_code" in payload):
        title = payload.get("title")
        return f"an error of Cloudflare{f' ({title[:_MAX_TITLE]})' if isinstance(title, str) else ''}, not the gateway"
    if status == 403 and "x-amzn-errortype" in headers and not {"error", "code", "success"} & payload.keys():
        return "an error of AWS's API Gateway or its firewall, not the gateway"
    return None


def page(status: int, headers: Mapping[str, str], body: bytes, secret: str = "") -> str | None:
    """Describe what came in place of the gateway's answer; None where that may be the gateway's own.

    Parameters
    ----------
    status : int
    headers : mapping
        Names in lower case.
    body : bytes
        Decompressed; no JSON object.
    secret : str
        The API key, which is blotted out where the page's title quotes it.
    """
    text = body[:_LOOKED_AT].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    is_html = text.startswith("<") or "html" in headers.get("content-type", "").lower()
    what = _what(status, headers, text, is_html=is_html)
    if what is None:
        return None
    owner = _owner(headers, text, is_plain=what == "a web page") if what.endswith("page") else ""
    title = _title(text, secret)
    return f"{what}{owner}{f' ({title})' if title else ''}, not the gateway"


def bars(status: int, headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether what came is a challenge or a firewall's page: whatever stands behind it was not asked.

    Parameters
    ----------
    status : int
    headers : mapping
        Names in lower case.
    body : bytes
        Decompressed; no JSON object.
    """
    shown = page(status, headers, body)
    return shown is not None and shown.startswith((_CHALLENGE, _BLOCK))


def _what(status: int, headers: Mapping[str, str], text: str, *, is_html: bool) -> str | None:
    if any(name in headers for name in CHALLENGE_HEADERS) or (is_html and re.search(_CHALLENGES, text)):
        return _CHALLENGE
    if re.search(_BLOCKS, text):
        return _BLOCK
    asked = headers.get("www-authenticate", "").lower()
    if status == 407 or (status == 401 and asked.startswith(("basic", "digest", "negotiate", "ntlm"))):
        return "a proxy that wants a password"
    if status == 511:
        return "the login of a network"
    if re.search(_FRONT_ERROR, text):
        return "an error page"
    return "a web page" if is_html else None


def _owner(headers: Mapping[str, str], text: str, *, is_plain: bool) -> str:
    owner = (
        _by_header(headers, _GUARDS)
        or next((owner for pattern, owner in _BY_BODY if re.search(pattern, text)), None)
        or _by_header(headers, _SERVERS)
    )
    if owner is not None:
        return f" of {owner}"
    carrier = _by_header(headers, _CARRIERS)
    return "" if carrier is None else f" by way of {carrier}" if is_plain else f" of {carrier}"


def _by_header(headers: Mapping[str, str], table: tuple[tuple[str, str, str], ...]) -> str | None:
    return next(
        (owner for name, part, owner in table if name in headers and part in headers[name].lower()), None
    )


def _title(text: str, secret: str) -> str:
    match = re.search(_TITLE, text)
    words = " ".join(html.unescape(match[1]).split()) if match else ""
    printable = "".join(char for char in words if char.isprintable())
    # Redacted before it is cut: of a key that was cut, the beginning would be left.
    return redact(printable, secret)[:_MAX_TITLE].strip()
