"""What schemathesis runs before each of its calls, in its own environment: no URL of a body leads off this machine.

It draws URLs, and takes them from the document's examples; the stack would send to them. Each is replaced by
``TUNEHOOK_RECEIVER``, a URL on loopback.
"""

from __future__ import annotations

import os
import re
from typing import Any

import schemathesis

_URL = re.compile(r"https?:", re.IGNORECASE)


def _turned_back(value: Any) -> Any:
    """Return a value with no URL in it but the receiver's."""
    if isinstance(value, dict):
        return {name: _turned_back(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_turned_back(each) for each in value]
    if isinstance(value, str) and _URL.search(value):
        return os.environ["TUNEHOOK_RECEIVER"]
    return value


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Turn back where the body of a call would lead."""
    if isinstance(case.body, dict | list | str):
        case.body = _turned_back(case.body)
