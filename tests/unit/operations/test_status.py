"""The state of a stack: what is no fault of AWS's is not taken for a part that is unknown."""

from __future__ import annotations

import pytest
from botocore.exceptions import ParamValidationError
from tests.support.aws import fault

from tunehook.operations import status
from tunehook.operations.stack import Stack
from tunehook.operations.status import UnknownPart


def test_a_part_that_cannot_be_read_says_why_and_a_fault_of_ours_is_raised(
    found: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [fault("AccessDeniedException", "Scan"), ParamValidationError(report="no such parameter")]

    def failing(*_: object) -> None:
        raise faults.pop(0)

    monkeypatch.setattr(status, "tasks", failing)
    told = status.read_status(found, 0).tasks
    assert isinstance(told, UnknownPart)
    assert "AccessDenied" in told.error
    with pytest.raises(ParamValidationError):
        status.read_status(found, 0)
