"""Two libraries of Standard Webhooks that are not ours, asked about the webhooks of a sender."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.senders.receiver import Kept

PREFIXES: Final = ("webhook-", "svix-")
"""Of the headers of Standard Webhooks; the second is what Svix called them before there was a standard."""

_ROOT: Final = Path(__file__).parents[2]
_NODE_FOLDER: Final = _ROOT / ".tunehook" / "tools" / "node"
_SCRIPT: Final = _ROOT / "tests" / "support" / "standard_webhooks.mjs"
_NODE_S: Final = 60.0

Verify = Callable[[str, Sequence[Kept]], "list[bool] | None"]
"""Says of each webhook whether the secret signed it; None where the library is not on this machine."""


def standard_headers(headers: Mapping[str, str]) -> dict[str, str] | None:
    """Return a webhook's headers by their standard names; None if it has none of a standard."""
    for prefix in PREFIXES:
        names = {f"webhook-{each}": f"{prefix}{each}" for each in ("id", "timestamp", "signature")}
        if all(name in headers for name in names.values()):
            return {standard: headers[name] for standard, name in names.items()}
    return None


def with_python(secret: str, requests: Sequence[Kept]) -> list[bool] | None:
    """Ask the library for Python."""
    try:
        from standardwebhooks import Webhook, WebhookVerificationError
    except ImportError:
        return None

    def is_verified(request: Kept) -> bool:
        try:
            Webhook(secret).verify(request.body, standard_headers(request.headers) or {})
        except (WebhookVerificationError, ValueError):
            return False
        return True

    return [is_verified(each) for each in requests]


def with_node(secret: str, requests: Sequence[Kept]) -> list[bool] | None:
    """Ask the library for Node, which `make test` installs."""
    node = shutil.which("node")
    if node is None or not (_NODE_FOLDER / "node_modules" / "standardwebhooks").is_dir():
        return None
    messages = [
        {
            "secret": secret,
            "headers": standard_headers(each.headers) or {},
            "body": base64.b64encode(each.body).decode("ascii"),
        }
        for each in requests
    ]
    answer = subprocess.run(
        [node, str(_SCRIPT), str(_NODE_FOLDER)],
        input=json.dumps(messages),
        capture_output=True,
        text=True,
        check=True,
        timeout=_NODE_S,
    )
    return ["error" not in each for each in json.loads(answer.stdout)]


VERIFIERS: Final[dict[str, Verify]] = {"python": with_python, "node": with_node}
