"""What a sequence of answers comes to: each file tells the answers, their ages, and the expected end."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from tests.contract.providers.examples import RECORDED, SEQUENCES, Example, example_of
from tests.support.tasks import NOW_MS, pending

from poller.decision import End, decide
from tunehook.providers.kinds import ADAPTERS

FILES = sorted(SEQUENCES.glob("*/*.json"))
COUNTS = ("not_found_count", "empty_count")


def answer_of(kind: str, given: dict[str, Any]) -> Example:
    if "recorded" in given:
        return example_of(RECORDED / f"{given['recorded']}.json")
    return Example("inline", kind, {"answer": given})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_sequence_ends_as_it_says(path: Path) -> None:
    record = json.loads(path.read_text())
    task = pending(deadline_ms=NOW_MS + record["timeout_s"] * 1000)
    end: dict[str, Any] | None = None
    for given in record["answers"]:
        assert end is None, f"it ended before the age of {given['age_s']} s: {end}"
        outcome = ADAPTERS[record["kind"]].read(answer_of(record["kind"], given).answer())
        decision = decide(task, outcome, NOW_MS + given["age_s"] * 1000)
        if isinstance(decision, End):
            failure = decision.end.failure
            end = {"at_s": given["age_s"], "status": decision.end.status.value}
            end |= {"code": failure.code.value, "reason": failure.reason} if failure else {}
        else:
            zeros = {name: 0 for name in COUNTS if decision.changes.get(name, 0) is None}
            task = dataclasses.replace(task, **decision.changes | zeros)
    expected = record["end"]
    if expected is None or end is None:
        assert end == expected
        return
    assert expected.get("reason", "") in end.get("reason", "")
    assert {name: value for name, value in end.items() if name != "reason"} == {
        name: value for name, value in expected.items() if name != "reason"
    }


def test_there_are_sequences() -> None:
    assert len(FILES) >= 20
