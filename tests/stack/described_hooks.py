"""What schemathesis runs before each of its calls, in its own environment: none leads off this machine, or waits long.

It draws URLs, and takes them from the document's examples; the stack would send to them. Each is replaced by
``TUNEHOOK_RECEIVER``, a URL on loopback. The subscriptions of the other tests, ``TUNEHOOK_SPARED``, stay as they are:
it finds their ids in answers. Its own want the tasks of a provider that there is not: dozens of them, told of
every task, would keep the stack busy for minutes.
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
    """Turn back where a call would lead."""
    if isinstance(case.body, dict | list | str):
        case.body = _turned_back(case.body)
    if case.operation.path.startswith("/v1/subscriptions") and isinstance(case.body, dict):
        wants_all = "url" in case.body and case.body.get("providers") is None
        if wants_all or isinstance(case.body.get("providers"), list):
            case.body["providers"] = ["nobody"]
    if case.path_parameters.get("subscription_id") in os.environ["TUNEHOOK_SPARED"].split(","):
        case.path_parameters["subscription_id"] = "another"
    # The embedded gateway matches a route's rest by ".+", which no line break is: what answers then is no code of ours.
    # What is drawn is percent-encoded by now; what is an example may not be.
    for name, value in case.path_parameters.items():
        if isinstance(value, str):
            case.path_parameters[name] = re.sub(r"\n|%0A", "-", value, flags=re.IGNORECASE)
    for name, value in case.headers.items():
        if name.lower() == "prefer":
            case.headers[name] = re.sub(r"\d+", "1", value)
