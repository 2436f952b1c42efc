"""A response without faults. Standard library only: the sandbox in a Lambda function uses it, too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

JSON_HEADERS: Final[Mapping[str, str]] = {"content-type": "application/json; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class PlainResponse:
    """What is sent when the scenario says nothing else."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def json_response(document: object, status: int = 200) -> PlainResponse:
    return PlainResponse(status, JSON_HEADERS, json.dumps(document, ensure_ascii=False).encode())
