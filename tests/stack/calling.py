"""Calling the HTTP API of a deployed stack from outside, byte by byte."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from tests.stack.commanding import Command
from tests.stack.driving import HANG_S, DeployedStack

JSON_TYPE = "application/json"


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API has answered; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body; JSON as the standard has it, without NaN and Infinity."""
        return json.loads(self.body, parse_constant=_refuse)

    @property
    def is_problem(self) -> bool:
        """Whether this is one of the API's own refusals: a problem document of the status that it came with."""
        if self.headers.get("content-type") != "application/problem+json":
            return False
        problem = self.json
        return problem["status"] == self.status and bool(problem["title"]) and bool(problem["type"])


class Api:
    """The API at the URL of a stack; a request has the `key` in it unless its headers have an ``authorization``.

    Each request has a connection of its own: one that was kept open might be closed while it is sent, and sending it
    again might do it twice.
    """

    def __init__(self, stack: DeployedStack, key: str | None = None) -> None:
        address = urlsplit(stack.api_url)
        self._base, self._host, self._port = address.path, address.hostname or "", address.port
        self.key = key

    def __call__(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request and return the answer; a `body` that is neither bytes nor None goes as JSON."""
        given = {name.lower(): value for name, value in (headers or {}).items()}
        usual = {} if self.key is None else {"authorization": f"Bearer {self.key}"}
        if body is not None and not isinstance(body, bytes):
            usual["content-type"] = JSON_TYPE
            body = json.dumps(body).encode()
        return self.send(method, path, list((usual | given).items()), body)

    def send(
        self, method: str, path: str, headers: Sequence[tuple[str, str]] = (), body: bytes | None = None
    ) -> Answer:
        """Send exactly this; `path` is quoted, and has the query string in it."""
        connection = HTTPConnection(self._host, self._port, timeout=HANG_S)
        try:
            connection.putrequest(method, self._base + path, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value.encode("latin-1"))
            if body is not None or method in ("POST", "PUT", "PATCH"):
                connection.putheader("content-length", str(len(body or b"")))
            connection.endheaders(body)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()


def create_key(stack: DeployedStack, name: str, scope: str) -> str:
    """Return a new key of the API, as the operator's command prints it."""
    command = Command(stack)
    created = command("keys", "create", name, "--scope", scope, "--json")
    assert command.status == 0, command.errors
    return str(created["key"])


def callback_path(stack: DeployedStack, provider: str) -> str:
    """Return where a provider's callbacks go, below the API's URL, as the operator's command prints it."""
    command = Command(stack)
    url = command("providers", "callback-url", provider).strip()
    assert command.status == 0, command.errors
    assert url.startswith(stack.api_url), "the URL is the stack's"
    return str(url.removeprefix(stack.api_url))
