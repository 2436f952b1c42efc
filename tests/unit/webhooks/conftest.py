import asyncio
from collections.abc import Callable, Iterator

import pytest
from moto import mock_aws
from tests.support.virtual import VirtualLoop

VIRTUAL = {"test_circuit_breaker.py", "test_deaths.py", "test_delivery.py", "test_subscription_health.py"}
"""The tests that open no socket: their loops have virtual time, and what they hand to threads is done at once."""


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"loop": VirtualLoop if item.path.name in VIRTUAL else asyncio.new_event_loop}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield
