import pytest

from tunehook.errors import InvalidInput
from tunehook_cli.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "span_ms"),
    [
        ("0s", 0),
        ("90s", 90_000),
        ("30m", 1_800_000),
        ("2h", 7_200_000),
        ("24h", 86_400_000),
        ("7d", 604_800_000),
    ],
)
def test_a_span_is_a_number_and_a_unit(text: str, span_ms: int) -> None:
    assert parse_duration(text, "--since") == span_ms


@pytest.mark.parametrize(
    "text", ["", "2", "h", "2 h", "1.5h", "-2h", "+2h", "2H", "2w", "2h30m", "٢h", "2h\n", "1" * 10 + "s"]
)
def test_anything_else_is_refused_by_the_name_of_the_option(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^--since: must be a whole number and a unit"):
        parse_duration(text, "--since")


def test_the_longest_span_is_still_taken() -> None:
    assert parse_duration("336h", "--since", at_most="14d") == parse_duration("14d", "--since")
    with pytest.raises(InvalidInput, match=r"^--since: must be at most 14d$"):
        parse_duration("1209601s", "--since", at_most="14d")
