"""Whose page it is that came in place of a gateway's answer: a challenge, a firewall, a proxy, a web site.

Only the gateway itself can refuse a key (docs/provider-contracts.md, "Errors"). What stands before it is named, so that
nobody looks for the fault at the key.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final

from tunehook.providers.payload import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOOKED_AT: Final = 20_000
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

# Headers first: whoever sends them is the one who answers, or stands in front of who does.
_BY_HEADER: Final = (
    ("cf-mitigated", "", "Cloudflare"),
    ("cf-ray", "", "Cloudflare"),
    ("x-amzn-waf-action", "", "AWS WAF"),
    ("x-vercel-mitigated", "", "Vercel"),
    ("x-iinfo", "", "Imperva"),
    ("x-sucuri-id", "", "Sucuri"),
    ("x-datadome", "", "DataDome"),
    ("server", "cloudflare", "Cloudflare"),
    ("server", "akamaighost", "Akamai"),
    ("server", "ddos-guard", "DDoS-Guard"),
    ("server", "awselb", "AWS's load balancer"),
    ("server", "cloudfront", "CloudFront"),
    ("server", "sucuri", "Sucuri"),
    ("server", "imperva", "Imperva"),
    ("server", "vercel", "Vercel"),
    ("server", "tengine", "Tengine"),
    ("server", "openresty", "OpenResty"),
    ("server", "nginx", "nginx"),
    ("server", "apache", "Apache"),
    ("server", "caddy", "Caddy"),
    ("server", "envoy", "Envoy"),
)
_BY_BODY: Final = (
    (r"(?i)cloudflare|cf-chl|cf-error|error code: ?1\d{3}", "Cloudflare"),
    (r"(?i)_incapsula_|imperva", "Imperva"),
    (r"(?i)awswaf|aws waf", "AWS WAF"),
    (r"(?i)cloudfront", "CloudFront"),
    (r"(?i)edgesuite|akamai", "Akamai"),
    (r"(?i)sucuri", "Sucuri"),
    (r"(?i)ddos-guard", "DDoS-Guard"),
    (r"(?i)aliyun|acw_sc__", "Alibaba Cloud"),
    (r"(?i)openresty", "OpenResty"),
    (r"(?i)nginx", "nginx"),
)


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
    is_challenge = any(name in headers for name in CHALLENGE_HEADERS) or (
        is_html and re.search(_CHALLENGES, text) is not None
    )
    is_block = re.search(_BLOCKS, text) is not None
    asks_password = status in (401, 407) and headers.get("www-authenticate", "").lower().startswith(
        ("basic", "digest", "negotiate", "ntlm")
    )
    if not (is_html or is_challenge or is_block or asks_password):
        return None
    what = (
        "a challenge page"
        if is_challenge
        else "a firewall's page"
        if is_block
        else "a proxy that wants a password"
        if asks_password
        else "a web page"
    )
    owner = _owner(headers, text)
    title = _title(text, secret)
    return f"{what}{f' of {owner}' if owner else ''}{f' ({title})' if title else ''}, not the gateway"


def _owner(headers: Mapping[str, str], text: str) -> str | None:
    for name, part, owner in _BY_HEADER:
        value = headers.get(name)
        if value is not None and part in value.lower():
            return owner
    return next((owner for pattern, owner in _BY_BODY if re.search(pattern, text)), None)


def _title(text: str, secret: str) -> str:
    match = re.search(_TITLE, text)
    words = " ".join(html.unescape(match[1]).split()) if match else ""
    printable = "".join(char for char in words if char.isprintable())
    # Redacted before it is cut: of a key that was cut, the beginning would be left.
    return redact(printable, secret)[:_MAX_TITLE].strip()
