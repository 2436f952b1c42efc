"""What providers echo of a submission that nobody else may read: callback URLs, and secrets of webhooks.

A callback URL is a capability, and vendors send their webhook secret back in clear (PiAPI's
``config.webhook_config.secret``). Both may stand in an answer as JSON, as JSON within a text, or percent-encoded.
"""

from __future__ import annotations

import re
from typing import Any, Final

REDACTED: Final = "***"

_SLASH: Final = r"(?:\\*/|\\+u002[fF]|%(?:25)*2[fF])"
# What ends a URL, and an encoded one: everything up to there goes, as a query may repeat it.
_URL_REST: Final = r"[^\s\"'<>\\,;)\]}]"
_CALLBACK_URL: Final = re.compile(
    rf"v1{_SLASH}callbacks{_SLASH}(?:\\*/|\\+u002[fF]|{_URL_REST})*", re.IGNORECASE
)
_SECRET_IN_TEXT: Final = re.compile(
    r"(webhook_?config[^{}]{0,16}\{[^{}]{0,2000}?secret\\*[\"']\s*:\s*\\*[\"'])([^\"'\\]+)", re.IGNORECASE
)
_NOT_A_LETTER: Final = re.compile(r"[^a-z0-9]")
_SECRETS: Final = ("webhooksecret", "callbacksecret", "hooksecret", "webhookconfigsecret")
_CONFIGS: Final = ("webhookconfig", "webhook", "callback", "callbackconfig")


def strike_out(text: str) -> str:
    """Return a text without the callback URLs in it, but for scheme and host, and without webhooks' secrets."""
    # Most texts have neither, and looking for a word is much cheaper than a pattern.
    if "allback" in text or "ALLBACK" in text:
        text = _CALLBACK_URL.sub(REDACTED, text)
    if "ebhook" in text or "EBHOOK" in text:
        text = _SECRET_IN_TEXT.sub(rf"\1{REDACTED}", text)
    return text


def without_secrets(value: Any, *, in_config: bool = False) -> Any:
    """Return a JSON value with what its names call the secret of a webhook replaced; what is empty is left."""
    if isinstance(value, list):
        return [without_secrets(each, in_config=in_config) for each in value]
    if not isinstance(value, dict):
        return value
    struck: dict[str, Any] = {}
    for name, each in value.items():
        letters = _NOT_A_LETTER.sub("", name.lower())
        if each and (letters.endswith(_SECRETS) or (in_config and "secret" in letters)):
            struck[name] = REDACTED
        else:
            struck[name] = without_secrets(each, in_config=in_config or letters in _CONFIGS)
    return struck
