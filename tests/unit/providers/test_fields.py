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
    "value",
    [None, "", 0, -3, True, "3:9", "1:2:3:4", "3 min", "nan", "inf", float("nan"), 1e300, [], {}, 10**400],
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


BASE = "https://gw.example/v2"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *(("3:39", 219.0), ("1:02:05", 3725.0), ("2:05.5", 125.5), ("125.4s", 125.4), ("125 sec", 125.0)),
        *(("PT2M5S", 125.0), ("pt1h", 3600.0), (" 2:05 ", 125.0), ("125.4", 125.4)),
    ],
)
def test_a_length_is_read_in_any_of_the_usual_ways(value: str, seconds: float) -> None:
    assert fields.duration_s(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        *(
            None,
            7,
            "",
            "h/a.mp3",
            "//",
            "ftp://h/a",
            "file:///etc/passwd",
            "https://",
            "none",
            "pending",
        ),
        *("https://a b/", "https://a%20b/", "http://[::1", "https://h:99999/", "https://h/" + "a" * 17_000),
        *("data:audio/mpeg;base64,AAAA", "javascript:alert(1)", ["https://h/a.mp3"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_http_url_is_no_link(value: Any) -> None:
    assert fields.link(value) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://h/a.mp3",
        "http://h:8080/x?y=z",
        "https://h/a%2Fb%2f%41%zz'()[]|;,+@:!$&=~.mp3?x=a+b%20c&amp;y=/?z",
        "https://h/a/../b/./c//d",
        "https://user@h/a.mp3",
        "https://h/" + "a" * 6000,
        "https://cdn1.suno.ai/forbidden.mp3",
        "https://h/Forbidden%20Love.mp3?error=forbidden",
    ],
    ids=lambda url: str(url)[:40],
)
def test_a_url_stays_as_it_is(url: str) -> None:
    assert fields.file_link(url, BASE) == url


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("https://h/Summer Rain.mp3", "https://h/Summer%20Rain.mp3"),
        ("https://h/歌.mp3", "https://h/%E6%AD%8C.mp3"),
        ("https://h/a\x01\x7f<b>.mp3", "https://h/a%01%7F%3Cb%3E.mp3"),
        ("https://h/a\nb\t.mp3", "https://h/ab.mp3"),
        (' "https://h/a.mp3"\n', "https://h/a.mp3"),
        ("HTTPS://h/a.mp3", "https://h/a.mp3"),
        ("https:///h/a.mp3", "https://h/a.mp3"),
        ("https:\\/\\/h\\/a.mp3", "https://h/a.mp3"),
        ("https://h/a.mp3#t=10", "https://h/a.mp3"),
        ("https://müsik.example/ä", "https://xn--msik-0ra.example/%C3%A4"),
        ("//cdn.example/a.mp3", "https://cdn.example/a.mp3"),
        ("cdn.example.com/a.mp3", "https://cdn.example.com/a.mp3"),
        ("/files/a b.mp3", "https://gw.example/files/a%20b.mp3"),
        ("files/a.mp3", "https://gw.example/v2/files/a.mp3"),
        ("a.mp3", "https://gw.example/v2/a.mp3"),
    ],
)
def test_what_can_be_made_a_url_is_one(value: str, url: str) -> None:
    assert fields.link(value, BASE) == url


@pytest.mark.parametrize("url", ["https://audiopipe.suno.ai/?item_id=a", "https://AUDIOPIPE.suno.ai/x.mp3"])
def test_a_stream_is_no_file(url: str) -> None:
    assert fields.file_link(url) is None


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        *(
            ("https://h/None.mp3", True),
            ("https://h/x/null.mp3?a=b", True),
            ("https://h/api/forbidden", True),
        ),
        *(("https://h/forbidden.mp3", False), ("https://h/forbidden/a.mp3", False)),
        *(("https://h/Nonesuch.mp3", False), ("https://h/a.mp3?x=None.mp3", False)),
    ],
)
def test_a_placeholder_is_told_by_its_whole_last_part(url: str, is_one: bool) -> None:
    assert fields.is_placeholder(url) is is_one


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("data:audio/mpeg;base64,SUQz", b"ID3"),
        ("data:audio/mpeg;base64,SUQ", b"ID"),
        (" DATA:audio/mpeg;name=a;BASE64,SU\nQz ", b"ID3"),
        ("data:image/png;base64,-_8=", b"\xfb\xff"),
        ("data:;base64,SUQz", b"ID3"),
        ("data:video/mp4,a%20b", b"a b"),
        *(
            (value, None)
            for value in ("data:text/html;base64,SUQz", "data:audio/mpeg;base64,%%%", "https://h/", 7)
        ),
    ],
)
def test_a_file_inside_the_answer_is_decoded(value: Any, content: bytes | None) -> None:
    assert fields.data_file(value) == content


@pytest.mark.parametrize(
    ("value", "is_known"),
    [
        *(("2026-11-20 15:59:59", False), ("2026-11-20T16:00:01", True)),
        *(("2026-11-20T15:59:59Z", True), ("2026-11-20T23:59:59+08:00", True), (1700000000, True)),
    ],
)
def test_a_time_without_a_zone_is_utc_unless_that_makes_it_past(value: Any, is_known: bool) -> None:
    received_at = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)
    assert (fields.moment(value, zoneless_after=received_at) is not None) is is_known


@pytest.mark.parametrize(
    ("value", "text"), [(" a ", "a"), (7, "7"), ("", None), ("  ", None), (True, None), ([], None)]
)
def test_a_text_is_stripped_and_never_blank(value: Any, text: str | None) -> None:
    assert fields.text(value, 10) == text


def test_a_text_is_cut() -> None:
    assert fields.text("x" * 100, 10) == "x" * 10
