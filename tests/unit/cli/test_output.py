import time
from collections.abc import Callable, Sequence

import pytest
from rich.cells import cell_len

from tunehook_cli import output


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (None, None),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (3_240_000, "3.2 MB"),
        (999_960_000, "1.0 GB"),
    ],
)
def test_a_size_is_told_in_decimal_units(count: int | None, words: str | None) -> None:
    assert output.size(count) == words


def test_control_characters_are_written_out() -> None:
    assert output.printable("a\x1b[31m\n春\u202e") == "a\\x1b[31m\\n春\\u202e"


def test_nothing_is_a_dash_in_a_table() -> None:
    assert output.cell(None).plain == output.cell("").plain == "-"


def shown(capsys: pytest.CaptureFixture[str], headers: Sequence[str], *rows: Sequence[object]) -> list[str]:
    output.Output(as_json=False).table(headers, rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [line.rstrip() for line in lines]
    return lines


@pytest.fixture
def width(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda columns: monkeypatch.setenv("COLUMNS", str(columns))


def test_without_a_terminal_no_line_is_folded_or_padded_to_a_long_cell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert shown(capsys, ("A", "B"), ("x" * 150, "y" * 150), ("x", "y")) == [
        f"A{' ' * 39}  B",
        f"{'x' * 150}  {'y' * 150}",
        f"x{' ' * 39}  y",
    ]


TASK = "task_s5sudYVSO0UYEjmvuHiVN6cbmPSiUKbC"
HEADERS = ("TASK", "PROVIDER", "STATUS", "TOOK", "REMARK")


def test_what_has_no_room_moves_below_its_row(
    capsys: pytest.CaptureFixture[str], width: Callable[[int], None]
) -> None:
    width(60)
    rows = (TASK, "my-gateway", "completed", "3 min 20 s", None), ("t", "suno", "failed", None, "HTTP 502")
    assert shown(capsys, HEADERS, *rows) == [
        f"TASK{' ' * 33}  PROVIDER    STATUS",
        f"{TASK}  my-gateway  completed",
        "  took 3 min 20 s",
        f"t{' ' * 36}  suno        failed",
        "  remark HTTP 502",
    ]


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
@pytest.mark.parametrize("words", [0, 3, 30, 300])
def test_no_line_is_too_wide_and_ids_and_status_are_whole(
    capsys: pytest.CaptureFixture[str], width: Callable[[int], None], columns: int, words: int
) -> None:
    width(columns)
    row = (TASK, "my-gateway", "completed", "3 min 20 s", "夏 word " * words or None)
    lines = shown(capsys, HEADERS, row)
    assert all(cell_len(line) <= columns for line in lines)
    # In a block there is no heading.
    lines = lines if columns == 40 else lines[1:]
    assert lines[0].startswith(TASK)
    assert sum("completed" in line for line in lines) == 1
    if columns >= 80:
        assert len(lines) <= 3


def test_a_url_stands_whole_on_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str], width: Callable[[int], None]
) -> None:
    width(80)
    url = f"https://receiver.example/{'x' * 49}"
    assert shown(capsys, ("ID", "STATE", "URL"), ("sub_0123456789abcdef", "enabled", url))[1:] == [
        "sub_0123456789abcdef  enabled",
        f"  url {url}",
    ]


def test_a_short_text_in_the_last_column_is_folded_there(
    capsys: pytest.CaptureFixture[str], width: Callable[[int], None]
) -> None:
    width(40)
    lines = shown(capsys, ("QUEUE", "WHY"), ("intake", "it failed each time that it was taken in"))
    assert lines == ["QUEUE   WHY", "intake  it failed each time that it was", "        taken in"]


def test_a_heading_says_the_zone_of_its_times(
    capsys: pytest.CaptureFixture[str], width: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC-5:30")
    time.tzset()
    try:
        at = output.clock_time(1_800_000_000_000)
        width(80)
        assert shown(capsys, ("TASK", "SENT"), ("t", at)) == [
            "TASK  SENT (UTC+5:30)",
            "t     2027-01-15 13:30:00",
        ]
        # Below the row there is no heading to say it.
        width(50)
        row = (TASK, "completed", at)
        assert shown(capsys, ("TASK", "STATUS", "SENT"), row)[-1] == "  sent 2027-01-15 13:30:00 UTC+5:30"
        assert output.moment(1_800_000_000_000) == "2027-01-15 13:30:00 UTC+5:30"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_word_is_a_link_only_where_a_terminal_knows_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert not output.knows_links()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert output.knows_links()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not output.knows_links()
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not output.knows_links()
