import pytest

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


def test_without_a_terminal_no_line_is_folded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    output.Output(as_json=False).table(("A", "B"), [("x" * 150, "y" * 150)])
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_on_a_narrow_terminal_what_is_too_wide_is_folded_and_nothing_is_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    task_id, remark = "task_s5sudYVSO0UYEjmvuHiVN6cbmPSiUKbC", "why it does not go on " * 8
    output.Output(as_json=False).table(("TASK", "STATUS", "REMARK"), [(task_id, "completed", remark)])
    header, *lines = capsys.readouterr().out.splitlines()
    remark_at = header.index("REMARK")
    assert all(len(line.rstrip()) <= 80 for line in (header, *lines))
    assert "".join(line[: header.index("STATUS")].strip() for line in lines) == task_id
    assert " ".join(line[remark_at:].strip() for line in lines).split() == remark.split()
    assert lines[0][header.index("STATUS") : remark_at].strip() == "completed"
