from pathlib import Path

import pytest
from benchmarks.aws_cost import fulfillment_row
from benchmarks.fulfillment import MEMORIES_MB, costs
from benchmarks.held import CannotHoldError, holding
from benchmarks.report import Row


def took(one_s: float, ten_s: float) -> list[Row]:
    return [
        Row(fulfillment_row(memory_mb, tasks), seconds, "s")
        for memory_mb in MEMORIES_MB
        for tasks, seconds in ((1, one_s), (10, ten_s))
    ]


def test_what_takes_as_long_with_less_memory_costs_less() -> None:
    rows = {row.name: row for row in costs(took(1.0, 3.0))}
    assert rows["512 MB: a task by itself, computed"].value == 0.5
    dollars = [rows[f"{memory_mb} MB: 1,000 tasks, computed"].value for memory_mb in MEMORIES_MB]
    assert dollars == sorted(dollars)
    assert dollars[0] < dollars[-1]


def test_what_is_saved_is_missed_where_it_takes_as_long_as_was_assumed() -> None:
    slow, fast = (list(costs(took(seconds, seconds)))[-1] for seconds in (6.0, 0.5))
    assert slow.is_missed
    assert fast.value < slow.value


def test_where_no_group_can_be_made_that_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("benchmarks.held._ROOTS", (tmp_path,))
    with pytest.raises(CannotHoldError, match="no control groups"), holding(0.29):
        pytest.fail("nothing was held")
    (tmp_path / "cgroup.procs").touch()
    with pytest.raises(CannotHoldError, match="no controller"), holding(0.29):
        pytest.fail("nothing was held")
    assert [each.name for each in tmp_path.iterdir()] == ["cgroup.procs"]
