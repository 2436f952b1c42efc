from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from tests.support.patience import HANG_S

from tunehook_local.sandbox import Sandbox, Scenario, parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

KEY = {"authorization": "Bearer sandbox-key-test"}


class FakeClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 20, 16, 0, 0, 250_000, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def pass_s(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def start(clock: FakeClock) -> AsyncIterator[Callable[..., Awaitable[Sandbox]]]:
    """Starts sandboxes on free ports from plain scenario values; they stop with the test."""
    async with AsyncExitStack() as stack:

        async def start_one(document: dict[str, Any]) -> Sandbox:
            sandbox = Sandbox(parse(Scenario, document), clock=clock)
            return await stack.enter_async_context(sandbox)

        yield start_one


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers=KEY, timeout=aiohttp.ClientTimeout(total=HANG_S)) as session:
        yield session


def shape(value: Any) -> Any:
    """The keys and types of a JSON value; a list has the shape of its first element, numbers are alike."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if type(value) in (int, float) else type(value).__name__


@pytest.fixture(name="shape")
def shape_fixture() -> Callable[[Any], Any]:
    return shape
