"""The real template, built and deployed to an embedded AWS of its own, with the sandbox beside it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from tests.stack.driving import DeployedStack

from tunehook.signatures import derive_secret
from tunehook_local.embedded import ministack
from tunehook_local.embedded.state import Home
from tunehook_local.embedded.up import bring_up
from tunehook_local.sandbox import Sandbox, Scenario, parse, run_sandbox

SCENARIO = {
    "tasks": [{"task_id": "*", "answers": [{"phase": "completed"}]}],
    "receivers": [{"name": "refuses-once", "answers": [{"status": 500, "times": 1}, {"status": 204}]}],
}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Where the embedded AWS of this run keeps its files."""
    return Home(tmp_path_factory.mktemp("embedded"))


@pytest.fixture(scope="session")
def stack(home: Home) -> Iterator[DeployedStack]:
    environment = bring_up(home, ministack.free_port())
    try:
        yield DeployedStack(environment, environment.outputs())
    finally:
        if (running := home.running()) is not None:
            ministack.stop(home, running)


@pytest.fixture(scope="session")
def sandbox(stack: DeployedStack) -> Iterator[Sandbox]:
    """The providers, configured, and three subscriptions: ``main``, and two that are not acceptable."""
    with run_sandbox(parse(Scenario, SCENARIO)) as running:
        stack.configure(running.providers_secret())
        stack.put(
            "SubscriptionsTable", subscription_id="bad-format", url="https://example.com", format="morse"
        )
        stack.put("SubscriptionsTable", subscription_id="bad-url", url="not a url")
        stack.put("SubscriptionsTable", subscription_id="main", url=running.receiver_url("main"))
        yield running


@pytest.fixture(scope="session")
def main_secret(stack: DeployedStack) -> str:
    """What the deliveries to the subscription ``main`` are signed with."""
    return derive_secret(stack.master_secret(), "main", 1)


@pytest.fixture
def unique() -> str:
    """Something to put into ids, so that tests do not meet each other's tasks."""
    return uuid.uuid4().hex[:8]
