from pathlib import Path

import pytest
from benchmarks.senders.cells import ROWS, Cell
from benchmarks.senders.table import (
    BEGIN,
    DOCUMENT,
    END,
    Column,
    document,
    empty,
    merged,
    print_table,
    read_columns,
    shown,
    write_columns,
)
from rich.console import Console

DRAIN, KILL = Cell(166.4), Cell(None, "no --kill-command was given")
PEER = Column(
    "svix", "1.100.0, 2026-11-29.", {"drain_rate": DRAIN, "kill_lost": KILL, "gone": Cell("retried")}
)
OURS = Column("tunehook", "a1b2c3, 2026-11-29.", {row.key: Cell(1) for row in ROWS})
BARE = Column("bare loop", "2026-11-29.", {"drain_rate": Cell(985.0)})
BY_KEY = {row.key: row for row in ROWS}


def test_columns_are_kept_and_read(tmp_path: Path) -> None:
    path = tmp_path / "results" / "senders.json"
    write_columns([PEER, OURS], path)
    assert read_columns(path) == [PEER, OURS]
    assert read_columns(tmp_path / "none.json") == []


def test_a_column_takes_the_place_of_the_one_before_and_the_others_stay() -> None:
    newer = Column("tunehook", "d4e5f6, 2026-12-01.", {row.key: Cell(2) for row in ROWS})
    assert merged([BARE, OURS, PEER], [newer]) == [newer, PEER, BARE]


def test_a_run_of_some_rows_keeps_the_others_and_says_from_when_they_are() -> None:
    (column,) = merged([PEER], [Column("svix", "1.101.0, 2026-12-01.", {"drain_rate": Cell(520.0)})])
    assert column.cells == {"drain_rate": Cell(520.0), "kill_lost": KILL, "gone": Cell("retried")}
    assert column.about == "1.101.0, 2026-12-01. Other rows: 1.100.0, 2026-11-29."


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Cell(0), "0"),
        (Cell(0.2694), "0.269"),
        (Cell(3.0), "3"),
        (Cell(98.76), "98.8"),
        (Cell(1234.5), "1,234"),
        (Cell("retried"), "retried"),
        (KILL, ""),
    ],
)
def test_a_cell_is_short_and_an_empty_one_is_empty(cell: Cell, text: str) -> None:
    assert shown(BY_KEY["drain_rate"], {"drain_rate": cell}) == text


def test_what_was_not_measured_is_empty() -> None:
    assert shown(BY_KEY["drain_rate"], {}) == ""
    reasons = dict(empty(PEER))
    assert reasons[BY_KEY["kill_lost"].label] == "no --kill-command was given"
    assert reasons[BY_KEY["p50"].label] == "not measured"
    assert BY_KEY["gone"].label not in reasons
    assert empty(OURS) == []


def test_the_document_has_a_row_for_each_and_no_column_of_a_peer_that_was_not_run() -> None:
    text = document(f"before\n{BEGIN}\nold\n{END}\nafter\n", [PEER, BARE])
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"\n{END}\nafter\n")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == "| measured | unit | svix | bare loop |"
    assert len(rows) == 2 + len(ROWS)
    assert f"| {BY_KEY['drain_rate'].label} | events/s | 166 | 985 |" in rows
    assert f"| {BY_KEY['kill_lost'].label} | events |  |  |" in rows
    assert "no --kill-command was given" in text
    assert "old" not in text


def test_a_document_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="marks"):
        document("no table here", [PEER])


def test_the_printed_table_names_what_is_empty_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([PEER, BARE], Console(width=200))
    printed = capsys.readouterr().out
    assert "166" in printed
    assert "no --kill-command was given" in printed


def test_the_document_is_what_the_results_make_of_it() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == document(text, read_columns()), "python -m benchmarks.senders --write"
