import pytest

from tunehook.operations.text import counted, duration, visible


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (-1, "0 s"),
        (42.4, "42 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (7_500, "2 h 5 min"),
        (7_205, "2 h"),
        (90_000, "1 d 1 h"),
        (90_061, "1 d 1 h"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_control_characters_are_escaped() -> None:
    assert visible("a\x1b[31m\n春\u202e") == "a\\x1b[31m\\n春\\u202e"


@pytest.mark.parametrize(("number", "words"), [(0, "0 deliveries"), (1, "1 delivery"), (2, "2 deliveries")])
def test_what_is_counted_stands_in_its_plural(number: int, words: str) -> None:
    assert counted(number, "delivery", "deliveries") == words
