"""The console over a stack on moto, and a client that has its token."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient
from tests.unit.operations.conftest import found, no_embedded_aws, operated, stack  # noqa: F401 - fixtures

from tunehook.operations.stack import Stack
from tunehook_cli.console.app import create_app

TOKEN = "the-token-of-this-console"
PORT = 4582
BASE = f"http://127.0.0.1:{PORT}"


def client_of(over: Stack, *, read_only: bool = False, token: str | None = TOKEN) -> TestClient:
    app = create_app(over, token=TOKEN, port=PORT, read_only=read_only)
    client = TestClient(app, base_url=BASE, follow_redirects=False, headers={"origin": BASE})
    if token is not None:
        client.cookies.set(f"tunehook_console_{PORT}", token)
    return client


@pytest.fixture
def page(found: Stack) -> Iterator[TestClient]:  # noqa: F811 - the fixture
    with client_of(found) as client:
        yield client
