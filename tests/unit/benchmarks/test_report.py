import json
from pathlib import Path

import pytest
from benchmarks.report import Row, report

ROWS = [Row("ours: delay", 2.5, "s", at_most=2.6), Row("loop: delay", 2.4, "s")]


def test_the_file_lists_name_value_and_unit_and_nothing_else(tmp_path: Path) -> None:
    report("cadence", "a title", ROWS, tmp_path / "results")
    assert json.loads((tmp_path / "results" / "cadence.json").read_text()) == [
        {"name": "ours: delay", "value": 2.5, "unit": "s"},
        {"name": "loop: delay", "value": 2.4, "unit": "s"},
    ]


def test_the_table_shows_what_is_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report("cadence", "a title", ROWS, tmp_path)
    printed = capsys.readouterr().out
    assert "<= 2.6" in printed
    assert "missed" not in printed


def test_the_table_says_what_was_missed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report("cadence", "a title", [Row("ours: delay", 2.61, "s", at_most=2.6)], tmp_path)
    assert "missed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "is_missed"),
    [
        (Row("a", 1, "s"), False),
        (Row("a", 1, "s", at_most=1), False),
        (Row("a", 1.1, "s", at_most=1), True),
        (Row("a", 1, "s", at_least=1), False),
        (Row("a", 0.9, "s", at_least=1), True),
    ],
)
def test_a_value_is_missed_beyond_its_bound_only(row: Row, is_missed: bool) -> None:
    assert row.is_missed is is_missed
