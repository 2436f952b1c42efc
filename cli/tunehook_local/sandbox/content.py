"""An answer as it goes out when nothing is to happen to it on the wire."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Content:
    """What is sent when the scenario says nothing else."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def json_content(document: object, status: int = 200) -> Content:
    """Return `document` as a JSON answer."""
    body = json.dumps(document, ensure_ascii=False).encode()
    return Content(status, {"content-type": "application/json; charset=utf-8"}, body)
