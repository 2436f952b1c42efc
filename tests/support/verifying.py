"""Two verifiers of webhooks that are not ours: PyPI's `standardwebhooks` and npm's."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from tests.support.template import ROOT

Verify = Callable[[str, Mapping[str, str], bytes], Any]
"""A function of secret, headers and body that returns the payload, or raises `NotVerified`."""

_FOLDER: Final = ROOT / ".tunehook" / "tools" / "node"
_SCRIPT: Final = Path(__file__).with_name("standard_webhooks.mjs")


class NotVerified(Exception):
    """The signature is not that of the message."""


def with_python(secret: str, headers: Mapping[str, str], body: bytes) -> Any:
    """Verify with PyPI's library."""
    try:
        return Webhook(secret).verify(body, dict(headers))
    except WebhookVerificationError as error:
        raise NotVerified(repr(error)) from None


def with_node(secret: str, headers: Mapping[str, str], body: bytes) -> Any:
    """Verify with npm's library; where there is no Node with npm, skip the test."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        pytest.skip("there is no Node with npm on this machine")
    if not (_FOLDER / "node_modules" / "standardwebhooks").is_dir():
        pytest.fail("npm's standardwebhooks is not installed: run `make test`")
    message = {"secret": secret, "headers": dict(headers), "body": base64.b64encode(body).decode()}
    answer = subprocess.run(
        [node, str(_SCRIPT), str(_FOLDER)],
        input=json.dumps([message]),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    (result,) = json.loads(answer.stdout)
    if "error" in result:
        raise NotVerified(result["error"])
    return result["payload"]


VERIFIERS: Final[dict[str, Verify]] = {"python": with_python, "node": with_node}
