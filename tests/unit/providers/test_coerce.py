from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from tunehook.providers import coerce

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
    assert coerce.moment(value) == MOMENT


@pytest.mark.parametrize(
    "value",
    [
        *(0, "0", "", None, True, [], {}, -1, 1, 10**18, 1e300, -1e300, "nan", float("inf"), 10**400),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "yesterday", "2024-13-01", "9" * 5000),
    ],
    ids=lambda value: str(value)[:20] if not isinstance(value, int) or value < 10**30 else "huge",
)
def test_what_is_no_plausible_moment_is_none(value: Any) -> None:
    assert coerce.moment(value) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(219, 219.0), (87.4, 87.4), ("180.36", 180.36), ("1e2", 100.0), (1_000_000, 1_000_000.0)],
)
def test_a_duration_is_a_number_or_its_text(value: Any, seconds: float) -> None:
    assert coerce.duration_s(value) == seconds


@pytest.mark.parametrize(
    "value",
    [None, "", 0, -3, True, "3:9", "1:2:3:4", "3 min", "nan", "inf", float("nan"), 1e300, [], {}, 10**400],
)
def test_what_is_no_length_is_none(value: Any) -> None:
    assert coerce.duration_s(value) is None


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
    assert coerce.tags(value) == tags


@pytest.mark.parametrize(
    ("value", "tags"), [("流行 欢快", ("流行", "欢快")), ("slow pop, punk", ("slow pop", "punk"))]
)
def test_spaces_part_tags_only_where_no_comma_does(value: str, tags: tuple[str, ...]) -> None:
    assert coerce.tags(value, split_at_spaces=True) == tags


def test_tags_are_bounded() -> None:
    tags = coerce.tags(["x" * 1000] * 1000)
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
    assert coerce.duration_s(value) == seconds


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
        *("data:audio/mpeg;base64,AAAA", "javascript:alert(1)", ["h/a.mp3"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_http_url_is_no_link(value: Any) -> None:
    assert coerce.link(value) is None


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
    assert coerce.file_link(url, BASE) == url


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
    assert coerce.link(value, BASE) == url


@pytest.mark.parametrize("url", ["https://audiopipe.suno.ai/?item_id=a", "https://AUDIOPIPE.suno.ai/x.mp3"])
def test_a_stream_is_no_file(url: str) -> None:
    assert coerce.file_link(url) is None


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
    assert coerce.is_placeholder(url) is is_one


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
    assert coerce.data_file(value) == content


@pytest.mark.parametrize(
    ("value", "is_known"),
    [
        *(("2026-11-20 15:59:59", False), ("2026-11-20T16:00:01", True)),
        *(("2026-11-20T15:59:59Z", True), ("2026-11-20T23:59:59+08:00", True), (1700000000, True)),
    ],
)
def test_a_time_without_a_zone_is_utc_unless_that_makes_it_past(value: Any, is_known: bool) -> None:
    received_at = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)
    assert (coerce.moment(value, zoneless_after=received_at) is not None) is is_known


@pytest.mark.parametrize(
    ("value", "text"), [(" a ", "a"), (7, "7"), ("", None), ("  ", None), (True, None), ([], None)]
)
def test_a_text_is_stripped_and_never_blank(value: Any, text: str | None) -> None:
    assert coerce.text(value, 10) == text


def test_a_text_is_cut() -> None:
    assert coerce.text("x" * 100, 10) == "x" * 10


EDGES = {
    "the first moment": (946_684_800, True),
    "one before it": (946_684_799, False),
    "the last moment": (7_258_118_399, True),
    "one after it": (7_258_118_400, False),
    "the same in milliseconds": (946_684_800_000, True),
    "one before it in milliseconds": (946_684_799_999, False),
    "the same in microseconds": (946_684_800_000_000, True),
    "one millisecond before it in microseconds": (946_684_799_999_000, False),
}


@pytest.mark.parametrize(("value", "is_known"), EDGES.values(), ids=EDGES)
def test_a_moment_lies_from_2000_to_2199(value: int, is_known: bool) -> None:
    assert (coerce.moment(value) is not None) is is_known


@pytest.mark.parametrize(
    "written",
    [
        *("2024/12/9 04:13:19", "2024/12/09 04:13:19", "2024-12-09 04:13:19 UTC"),
        *(
            "2024-12-09 04:13:19 GMT",
            "2024-12-09 12:13:19+0800 CST",
            "2024-12-09 04:13:19 Z",
        ),
        *("Mon, 09 Dec 2024 04:13:19 GMT", "Mon, 09 Dec 2024 12:13:19 +0800", "1733717599000000"),
        *(1_733_717_599_000_000, 1733717599.0004),
    ],
)
def test_one_moment_in_the_spellings_of_languages_and_headers(written: Any) -> None:
    assert coerce.moment(written) == MOMENT


def test_a_time_without_a_zone_of_just_the_moment_is_known() -> None:
    assert coerce.moment("2024-12-09T04:13:19", zoneless_after=MOMENT) == MOMENT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *[
            (1_000_000, 1_000_000.0),
            (1_000_001, None),
            (0.001, 0.001),
            ("125400ms", 125.4),
            ("1.5 msec", 0.0015),
        ],
        *[("2000毫秒", 2.0), ("3：39", 219.0), ("~3:39 ", 219.0), ("≈125s", 125.0), ("2m 5,5s", 125.5)],
        *[("1小时2分钟5秒", 3725.0), ("1.5m 3s", 93.0), ("P0DT2M5S", 125.0), ("pt2m", 120.0), ("2m", None)],
        *[("1:2", None), ("125:00", 7500.0), ("1:1:05", 3665.0)],
    ],
)
def test_a_length_in_all_its_units(value: Any, seconds: float | None) -> None:
    assert coerce.duration_s(value) == seconds


@pytest.mark.parametrize("url", ["https://h/" + "a" * (16_384 - len("https://h/"))])
def test_a_link_has_16384_characters_at_most_encoded_or_not(url: str) -> None:
    assert coerce.link(url) == url
    assert coerce.link(f"{url}a") is None
    assert coerce.link(f"{url[:-1]} ") == url[:-1]
    assert coerce.link(f"{url[:-3]}歌") is None


@pytest.mark.parametrize(
    ("value", "url"),
    [
        *[(f"{left}https://h/a.mp3{right}", "https://h/a.mp3") for left, right in ("<>", "()", "[]", "{}")],
        *[("([{https://h/a.mp3}])", "https://h/a.mp3"), ("'https://h/a.mp3'", "https://h/a.mp3")],
        *[
            (f"{left}https://h/X", "https://h/X")
            for left in ("listen (", "a[", "a <", "a=", 'a="', "a='", "a ")
        ],
        *[("[listen](https://h/a.mp3)", "https://h/a.mp3"), ("https://h/a https://h/b", "https://h/a")],
        *[
            ("https://h/Song #1.mp3", "https://h/Song%20%231.mp3"),
            ("https://h/a#1.MP3", "https://h/a%231.MP3"),
        ],
        *[("https://h/a#1.mp3/x", "https://h/a"), ("https://h/\ud800", "https://h/%3F")],
        *[("https://müsik.example:8080/ä", "https://xn--msik-0ra.example:8080/%C3%A4")],
        *[("https:\\\\h\\a.mp3", "https://h/a.mp3"), ("https：//h/a.mp3", "https://h/a.mp3")],
        *[
            ("https://h/a.mp3>", "https://h/a.mp3"),
            ("https://h:1/a", "https://h:1/a"),
            ("https://h:0/a", None),
        ],
        *[
            ("https://a%41b/", None),
            ("https://a|b/", None),
            ("https://ä..ö/", None),
            ("n/a", None),
            ("N/A", None),
        ],
        *[
            ("./a.mp3", "https://gw.example/v2/a.mp3"),
            ("?id=1", "https://gw.example/v2/?id=1"),
            ("word", None),
        ],
        *[("mailto:a/b", None), ("a.b/c", "https://gw.example/v2/a.b/c"), ("a.bc/d", "https://a.bc/d")],
        *[("h.example:8080/a", "https://h.example:8080/a"), ("https://h?a=/b c", "https://h?a=/b%20c")],
    ],
)
def test_a_link_is_found_in_what_stands_around_it(value: str, url: str | None) -> None:
    assert coerce.link(value, BASE) == url


def test_a_link_without_a_scheme_has_that_of_its_provider_and_a_path_needs_one() -> None:
    assert coerce.link("//h/a", "http://gw.example") == "http://h/a"
    assert coerce.link("/a.mp3") is None


@pytest.mark.parametrize("name", ["url", "src", "href", "uri", "link", "path", "audio_url", "audioUrl"])
def test_a_link_may_stand_in_an_object_or_a_list(name: str) -> None:
    assert coerce.address({name: "https://h/a"}) == "https://h/a"
    assert coerce.address([None, "", {name: "https://h/a"}, "https://h/b"]) == "https://h/a"
    assert coerce.link([{name: "https://h/a"}]) == "https://h/a"


def test_what_holds_no_link_is_none_or_stays_as_it_is() -> None:
    assert (coerce.address([]), coerce.address({"size": 1}), coerce.address(7)) == (None, None, 7)


@pytest.mark.parametrize(
    ("kind", "is_media"),
    [
        *[(kind, True) for kind in ("audio/x", "IMAGE/x", "video/x", "application/octet-stream", "")],
        *[(kind, True) for kind in ("binary/octet-stream", "application/ogg", "application/mp4")],
        *[(kind, False) for kind in ("text/plain", "application/json")],
    ],
)
def test_a_file_inside_the_answer_is_one_of_media(kind: str, is_media: bool) -> None:
    assert coerce.data_file(f"data:{kind};base64,SUQz") == (b"ID3" if is_media else None)
    assert coerce.is_data(f"data:{kind};base64,SUQz")
    assert coerce.data_type(f" data:{kind} ;base64,") == kind.lower()


@pytest.mark.parametrize(
    "value", ["data:audio/mpeg;base64,", "data:audio/mpeg,", "data:audio/mpeg;base64,#SUQz"]
)
def test_a_file_without_bytes_is_none(value: str) -> None:
    assert coerce.data_file(value) is None


def test_what_follows_a_hash_is_no_part_of_a_file() -> None:
    assert coerce.data_file("data:audio/mpeg;base64,SUQz#AAAA") == b"ID3"


@pytest.mark.parametrize(("more", "is_data"), [(0, True), (1, False)])
def test_a_data_uri_is_known_by_its_first_300_characters(more: int, is_data: bool) -> None:
    head = f"data:audio/mpeg;{'p' * 90};{'p' * 90};"
    head += "p" * (300 - len(head) - len(";base64,") + more) + ";base64,"
    assert coerce.is_data(f"{head}SUQz") is is_data


@pytest.mark.parametrize(
    "name", ["none.mp3", "null.mp3", "undefined.mp3", "forbidden", "none", "null", "undefined"]
)
def test_every_known_placeholder_is_one(name: str) -> None:
    assert coerce.is_placeholder(f"https://h/x/{name.upper()}")


@pytest.mark.parametrize(
    ("value", "is_one"),
    [("http://audiopipe.x/", True), ("http://xaudiopipe.x/", False), ("/audiopipe", False)],
)
def test_a_stream_is_known_by_its_host(value: str, is_one: bool) -> None:
    assert coerce.is_stream(value) is is_one


def test_a_text_keeps_no_file() -> None:
    assert coerce.text("see DATA:audio/mpeg;base64,SUQz here", 40) == "see data: here"
    assert coerce.without_data("no data:, here") == "no data:, here"


@pytest.mark.parametrize("separator", [",", "，", "、", ";", "；", "\n"])
def test_tags_are_parted_by_any_comma(separator: str) -> None:
    assert coerce.tags(f"slow pop{separator}rock", split_at_spaces=True) == ("slow pop", "rock")


@pytest.mark.parametrize("scheme", ["da\0ta:audio/mpeg", "data:au\ufffddio/mpeg", "audio/mpeg", ""])
def test_what_follows_the_word_base64_is_left_out_whatever_is_before_it(scheme: str) -> None:
    assert coerce.without_data(f"see {scheme};Base64,SUQz+/=! there") == f"see {scheme};base64! there"


def test_a_time_without_a_zone_is_in_utc_wherever_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        assert coerce.moment("2026-11-20 16:00:00") == datetime(2026, 11, 20, 16, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()
