"""Stand-ins of the three providers, an asset host and a webhook receiver: for the demo and tests."""

from tunehook_local.sandbox.ledger import ReceivedRequest, TaskRecord
from tunehook_local.sandbox.model import Kind
from tunehook_local.sandbox.request_log import LoggedRequest
from tunehook_local.sandbox.scenario import (
    DEMO_SCENARIO,
    KINDS_SCENARIO,
    Scenario,
    TaskRule,
    load_scenario,
    parse,
)
from tunehook_local.sandbox.server import Sandbox, run_sandbox, serve

__all__ = [
    "DEMO_SCENARIO",
    "KINDS_SCENARIO",
    "Kind",
    "LoggedRequest",
    "ReceivedRequest",
    "Sandbox",
    "Scenario",
    "TaskRecord",
    "TaskRule",
    "load_scenario",
    "parse",
    "run_sandbox",
    "serve",
]
