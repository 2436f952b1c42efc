from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tunehook.providers import fields

MOMENT = datetime(2024, 12, 9, 4, 13, 19, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        *(1733717599, 1733717599.0, "1733717599", " 1733717599 ", 1733717599000, "1733717599000"),
        *(
            "2024-12-09T04:13:19Z",
            "2024-12-09T04:13:19",
            "2024-12-09 12:13:19+08:00",
            "2024-12-09T04:13:19.000Z",
        ),
    ],
)
def test_one_moment_in_every_spelling(value: Any) -> None:
    assert fields.moment(value) == MOMENT


@pytest.mark.parametrize(
    "value",
    [
        *(0, "0", "", None, True, [], {}, -1, 1, 10**18, 1e300, -1e300, "nan", float("inf"), 10**400),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "yesterday", "2024-13-01", "9" * 5000),
    ],
    ids=lambda value: str(value)[:20] if not isinstance(value, int) or value < 10**30 else "huge",
)
def test_what_is_no_plausible_moment_is_none(value: Any) -> None:
    assert fields.moment(value) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(219, 219.0), (87.4, 87.4), ("180.36", 180.36), ("1e2", 100.0), (1_000_000, 1_000_000.0)],
)
def test_a_duration_is_a_number_or_its_text(value: Any, seconds: float) -> None:
    assert fields.duration_s(value) == seconds


@pytest.mark.parametrize(
    "value", [None, "", 0, -3, True, "3:39", "nan", "inf", float("nan"), 1e300, [], {}, 10**400]
)
def test_what_is_no_length_is_none(value: Any) -> None:
    assert fields.duration_s(value) is None


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        ("pop, j-pop,  ,rock", ("pop", "j-pop", "rock")),
        ("流行，欢快、慢", ("流行", "欢快", "慢")),
        ("emotional punk", ("emotional punk",)),
        (["pop", " rock ", "", None, 7, {}], ("pop", "rock", "7")),
        ("", ()),
        (None, ()),
        ({"a": 1}, ()),
        (7, ()),
    ],
)
def test_tags_come_as_a_text_or_a_list(value: Any, tags: tuple[str, ...]) -> None:
    assert fields.tags(value) == tags


@pytest.mark.parametrize(
    ("value", "tags"), [("流行 欢快", ("流行", "欢快")), ("slow pop, punk", ("slow pop", "punk"))]
)
def test_spaces_part_tags_only_where_no_comma_does(value: str, tags: tuple[str, ...]) -> None:
    assert fields.tags(value, split_at_spaces=True) == tags


def test_tags_are_bounded() -> None:
    tags = fields.tags(["x" * 1000] * 1000)
    assert (len(tags), len(tags[0])) == (50, 200)


@pytest.mark.parametrize(
    "value",
    [
        *(None, 7, "", "h/a.mp3", "//h/a.mp3", "ftp://h/a", "file:///etc/passwd", "https://", "https:///a"),
        *("https://a b/", "https://h/\n", "http://[::1", "https://h:99999/", "https://h/" + "a" * 5000),
    ],
    ids=str,
)
def test_what_is_no_http_url_is_no_link(value: Any) -> None:
    assert fields.link(value if value != "https://h/\n" else "https://h/\nx") is None


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn1.suno.ai/forbidden.mp3",
        "https://h/Forbidden/x.mp3",
        "https://h/x.mp3?error=forbidden",
        "https://h/None.mp3",
        "https://h/x/none.mp3?a=b",
        "https://audiopipe.suno.ai/?item_id=a",
        "https://AUDIOPIPE.suno.ai/x.mp3",
    ],
)
def test_a_link_that_only_looks_like_a_file_is_none(url: str) -> None:
    assert fields.file_link(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://h/a.mp3",
        "http://h:8080/x?y=z",
        "https://h/Nonesuch.mp3",
        "https://h/歌.mp3",
        "https://h/forbidden-love.mp3",
    ],
)
def test_a_link_to_a_file_is_kept_as_it_is(url: str) -> None:
    assert fields.file_link(url) == url


@pytest.mark.parametrize(
    ("value", "text"), [(" a ", "a"), (7, "7"), ("", None), ("  ", None), (True, None), ([], None)]
)
def test_a_text_is_stripped_and_never_blank(value: Any, text: str | None) -> None:
    assert fields.text(value, 10) == text


def test_a_text_is_cut() -> None:
    assert fields.text("x" * 100, 10) == "x" * 10
