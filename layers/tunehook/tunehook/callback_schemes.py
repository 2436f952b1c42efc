"""How providers show that a callback is their own, as the configuration of a provider names it."""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum
from typing import Final

from tunehook.errors import InvalidInput

FIRST_VERSION: Final = 1
"""Of a callback URL that was never rotated."""


class CallbackScheme(StrEnum):
    """How a provider shows that a callback is its own (docs/providers.md, "Callbacks")."""

    KIE = "kie"
    HEADER = "header"
    STANDARD_WEBHOOKS = "standard-webhooks"


def check_callback_secret(scheme: CallbackScheme, secret: str) -> None:
    """Raise `InvalidInput` if a scheme cannot use a secret."""
    if scheme is not CallbackScheme.STANDARD_WEBHOOKS:
        return
    try:
        is_good = bool(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    except binascii.Error:
        is_good = False
    if not is_good:
        raise InvalidInput("callback_secret", "is not whsec_ and base64, as Standard Webhooks has it")
