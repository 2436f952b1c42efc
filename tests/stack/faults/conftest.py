"""A run is long, and is made once: what it has come to is looked at by many tests."""

from __future__ import annotations

import os

import pytest
from tests.stack.faults.drawing import draw
from tests.stack.faults.kills import CAN_KILL
from tests.stack.faults.ledger import Findings
from tests.stack.faults.plan import SHORT
from tests.stack.faults.run import run

SEED_VARIABLE = "TUNEHOOK_FAULTS_SEED"
SEED = 1


@pytest.fixture(scope="session")
def seed() -> int:
    """What the plan is drawn from: what the variable ``TUNEHOOK_FAULTS_SEED`` names, or a fixed one."""
    return int(os.environ.get(SEED_VARIABLE, SEED))


@pytest.fixture(scope="session")
def findings(seed: int, tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """What a short run has come to."""
    if not CAN_KILL:
        pytest.skip("this system does not tell the workers of functions apart")
    return run(draw(seed, SHORT), tmp_path_factory.mktemp("faults"))
