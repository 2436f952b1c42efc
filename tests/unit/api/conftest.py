"""The api function on moto, with the variables that the template gives it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.aws import REGION, client, create_table
from tests.unit.api.calling import api  # noqa: F401 - the fixture
from tests.unit.api.test_stack import environment

from api import app
from tunehook.aws.api_keys import ApiKeysTable


@pytest.fixture
def keys(aws: None) -> ApiKeysTable:
    """The table of keys, empty."""
    create_table("ApiKeysTable")
    return ApiKeysTable(client("dynamodb"), "ApiKeysTable")


@pytest.fixture
def deployed(keys: ApiKeysTable, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The function's environment; its stack is made anew."""
    for name, value in (environment() | {"AWS_REGION": REGION}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("api.stack.client", lambda service, **_: client(service))
    app.stack.cache_clear()
    yield
    app.stack.cache_clear()
