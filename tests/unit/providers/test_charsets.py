from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunehook.providers.charsets import declared_codec, decodings
from tunehook.providers.payload import UnreadablePayloadError, parse

KEY = "sk-0123456789abcdef"
CHINESE = "運命 你好，夏天的雨"
JSON = "application/json"


def body(value: Any, codec: str) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(codec)


@pytest.mark.parametrize(
    ("label", "codec", "title"),
    [
        ("GBK", "gbk", CHINESE),
        ("gb2312", "gb2312", "你好"),
        ("gb2312", "gbk", "運命"),
        ("gb18030", "gb18030", "𠮷野家"),
        ("x-gbk", "gbk", CHINESE),
        ("big5", "big5", "許功蓋 愛"),
        ("Big5-HKSCS", "big5hkscs", "嘅歌"),
        ("Shift_JIS", "shift_jis", "ソラ 表現"),
        ("windows-31j", "cp932", "①ソ"),
        ("EUC-JP", "euc_jp", "夏の雨"),
        ("ISO-2022-JP", "iso2022_jp", "夏の雨"),
        ("euc-kr", "euc_kr", "여름비"),
        ("ks_c_5601-1987", "cp949", "뷁"),
        ("iso-8859-1", "latin-1", "Café naïve"),
        ("latin1", "cp1252", "“Café” – €5"),
        ("ISO-8859-15", "iso8859-15", "Café €"),
        ("windows-1251", "cp1251", "Летний дождь"),
        ("koi8-r", "koi8-r", "Летний дождь"),
        ("utf-16", "utf-16", CHINESE),
        ("utf-16", "utf-16-le", CHINESE),
        ("utf-16", "utf-16-be", CHINESE),
        ("utf-16be", "utf-16-be", CHINESE),
        ("utf-32", "utf-32", CHINESE),
        ("utf8mb4", "utf-8", "雨😀"),
        ("UTF8", "utf-8", CHINESE),
    ],
)
def test_a_declared_charset_is_read(label: str, codec: str, title: str) -> None:
    value = {"code": "success", "data": {"title": title}}
    assert parse(body(value, codec), "", f"{JSON}; charset={label}") == value


@pytest.mark.parametrize(
    "content_type",
    [
        f"{JSON};charset=GBK",
        f'{JSON}; charset="gbk"',
        f"{JSON}; charset='gbk'",
        f"{JSON}; Charset = GBK ; boundary=x",
        f"{JSON}; CHARSET=gbk,{JSON}",
        "charset=gbk",
        f"{JSON}; charset=gbk;charset=utf-8",
    ],
)
def test_a_charset_is_read_however_it_is_declared(content_type: str) -> None:
    assert parse(body(CHINESE, "gbk"), "", content_type) == CHINESE


@pytest.mark.parametrize(
    "codec", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("content_type", ["", JSON, f"{JSON}; charset=utf-8", f"{JSON}; charset=gbk"])
def test_a_byte_order_mark_or_zero_bytes_tell_the_charset_whatever_is_declared(
    codec: str, content_type: str
) -> None:
    assert parse(body({"title": CHINESE}, codec), "", content_type) == {"title": CHINESE}


@pytest.mark.parametrize("title", ["你好", "運命", "運", "一", "亐亐", "夏天的雨落在我心里" * 20])
@pytest.mark.parametrize("content_type", ["", JSON, f"{JSON}; charset=utf-8", f"{JSON}; charset=nonsense"])
def test_gbk_that_does_not_say_so_is_read(title: str, content_type: str) -> None:
    encoded = body({"title": title}, "gbk")
    if title == "一":  # its two bytes are a sound Cyrillic letter of UTF-8: nothing can tell
        assert parse(encoded, "", content_type) == {"title": "һ"}
    else:
        assert parse(encoded, "", content_type) == {"title": title}


def test_gbk_that_is_called_utf_16_is_read() -> None:
    encoded = body({"title": "你好"}, "gbk") + b" "  # of whole characters of UTF-16
    assert parse(encoded, "", f"{JSON}; charset=utf-16le") == {"title": "你好"}


@pytest.mark.parametrize("label", ["gbk", "big5", "shift_jis", "iso-8859-1", "us-ascii", "windows-1252"])
def test_utf_8_that_is_called_something_else_is_read(label: str) -> None:
    assert parse(body({"title": CHINESE}, "utf-8"), "", f"{JSON}; charset={label}") == {"title": CHINESE}


def test_western_letters_in_utf_8_that_is_called_latin_1_are_read() -> None:
    assert parse(body("Café", "utf-8"), "", f"{JSON}; charset=iso-8859-1") == "Café"


def test_a_title_that_was_cut_in_the_middle_of_a_character_stays_utf_8() -> None:
    cut = b'{"title": "' + CHINESE.encode()[:-1] + b'"}'
    assert parse(cut) == {"title": CHINESE[:-1] + "\ufffd"}


def test_a_few_western_letters_in_latin_1_become_no_chinese() -> None:
    assert parse(b'{"title": "na\xefve"}') == {"title": "na\ufffdve"}


def test_a_character_that_a_declared_charset_does_not_have_is_replaced() -> None:
    encoded = body({"title": "你好"}, "gbk").replace("好".encode("gbk"), b"\xff")
    assert parse(encoded, "", f"{JSON}; charset=gbk") == {"title": "你\ufffd"}


@pytest.mark.parametrize(
    "label",
    ["idna", "punycode", "unicode_escape", "utf-7", "rot13", "base64", "zlib", "undefined", "mbcs", "é"],
)
def test_what_is_no_charset_counts_as_none(label: str) -> None:
    assert declared_codec(f"{JSON}; charset={label}") is None


@pytest.mark.parametrize(
    ("codec", "content_type"),
    [
        ("utf-8", ""),
        ("utf-16", ""),
        ("utf-32-be", ""),
        ("gbk", ""),
        ("gbk", f"{JSON}; charset=gbk"),
        ("iso2022_jp", f"{JSON}; charset=iso-2022-jp"),
        ("latin-1", f"{JSON}; charset=latin-1"),
    ],
)
def test_the_key_is_blotted_out_in_every_charset(codec: str, content_type: str) -> None:
    value = {
        "a": f"the key {KEY} is bad",
        KEY: "é" if codec == "latin-1" else "雨" if codec != "utf-8" else "",
    }
    assert KEY not in str(parse(body(value, codec), KEY, content_type))


@pytest.mark.parametrize("content_type", ["", f"{JSON}; charset=gbk", f"{JSON}; charset=big5"])
def test_no_stray_byte_before_the_key_swallows_its_first_letter(content_type: str) -> None:
    said = parse(b'{"a": "\xc4' + KEY.encode() + b'"}', KEY, content_type)
    assert KEY[1:] not in str(said)


LABELS = st.sampled_from(
    [
        "",
        "gbk",
        "big5",
        "shift_jis",
        "utf-16",
        "utf-32",
        "iso-2022-jp",
        "hz",
        "euc-kr",
        "latin-1",
        "cp1251",
        "x",
    ]
)


@given(st.binary(max_size=200) | st.binary(max_size=40).map(lambda part: b'{"a": "' + part + b'"}'), LABELS)
def test_any_bytes_are_read_or_refused_and_what_is_read_can_be_written(content: bytes, label: str) -> None:
    try:
        value = parse(content, KEY, f"{JSON}; charset={label}")
    except UnreadablePayloadError as error:
        value = str(error)
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=50))
def test_any_text_comes_back_from_gb18030_that_is_declared_unless_it_is_sound_utf_8(title: str) -> None:
    encoded = body({"title": title}, "gb18030")
    try:
        as_utf8 = encoded.decode()
    except UnicodeDecodeError:
        as_utf8 = None
    read = parse(encoded, "", f"{JSON}; charset=gb18030")
    assert read == {"title": title} or (as_utf8 is not None and read == json.loads(as_utf8))


@given(st.text(max_size=60))
def test_any_content_type_is_taken(content_type: str) -> None:
    assert parse(b'{"a": 1}', "", f"{content_type}; charset={content_type}") == {"a": 1}


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        *[("ansi", "cp1252"), ("cn-big5", "big5hkscs"), ("csgb2312", "gb18030"), ("gb_2312-80", "gb18030")],
        *[
            ("unicode", "utf-16-le"),
            ("unicode-1-1-utf-8", "utf-8"),
            ("utf8mb3", "utf-8"),
            ("utf8mb4", "utf-8"),
        ],
        *[("windows-31j", "cp932"), ("windows-874", "cp874"), ("us-ascii", "cp1252"), ("big5", "big5hkscs")],
        *[("euc-kr", "cp949"), ("gb2312", "gb18030"), ("gbk", "gb18030"), ("latin1", "cp1252")],
        *[("latin5", "cp1254"), ("iso-8859-11", "cp874"), ("shift_jis", "cp932"), ("tis-620", "cp874")],
        *[("utf-16", "utf-16-le"), ("utf-32", "utf-32-le"), ("utf-8-sig", "utf-8"), ("x-sjis", "cp932")],
        *[("utf-16be", "utf-16-be"), ("utf-32be", "utf-32-be"), ("euc-jp", "euc_jp"), ("johab", "johab")],
        *[("koi8-u", "koi8-u"), ("ibm866", "cp866"), ("cp437", "cp437"), ("mac-roman", "mac-roman")],
        *[("iso-8859-2", "iso8859-2"), ("windows-1257", "cp1257"), ("shift_jisx0213", "shift_jisx0213")],
        *[("hz-gb-2312", "hz"), ("iso-2022-jp", "iso2022_jp"), ("iso-2022-jp-1", "iso2022_jp_1")],
        *[("iso-2022-jp-2", "iso2022_jp_2"), ("iso-2022-jp-ext", "iso2022_jp_ext")],
        *[("iso-2022-kr", "iso2022_kr"), ("utf-7", None), ("", None)],
    ],
)
def test_a_label_means_what_browsers_take_it_for(label: str, codec: str | None) -> None:
    assert declared_codec(f"{JSON}; charset={label}") == codec


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["歌", "a歌", "ab歌"])
def test_a_text_in_utf_16_is_read_from_its_first_letter_on(codec: str, text: str) -> None:
    assert parse(body(text, codec)) == text


@pytest.mark.parametrize("codec", ["hz", "iso2022_jp", "iso2022_jp_1", "iso2022_jp_2", "iso2022_jp_ext"])
def test_a_charset_of_seven_bits_is_read_where_it_is_declared(codec: str) -> None:
    text = "夏" if codec != "hz" else "你好"
    assert parse(body(text, codec), "", f"{JSON}; charset={codec}") == text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        # Letters as second bytes are Western text; as many bytes beyond ASCII as letters are Chinese.
        (b"\xe9a" * 3 + b"\xe9\xe9" * 2, "\ufffda" * 3 + "\ufffd" * 4),
        (b"\xe9a" * 2 + b"\xe9\xe9" * 2, (b"\xe9a" * 2 + b"\xe9\xe9" * 2).decode("gb18030")),
        (b"\xe9a", "\ufffda"),
        # As many sound characters of UTF-8 as broken ones are UTF-8.
        (b"\xe5\xa5\xbd\xe5", "好\ufffd"),
        (b"\xe5\xa5\xbd\xe5 \xe5", (b"\xe5\xa5\xbd\xe5 \xe5").decode("utf-8", "replace")),
        (b"\xff", "\ufffd"),
        ("あｱ".encode("cp932"), "あｱ"),
    ],
)
def test_what_declares_nothing_is_guessed_by_its_bytes(content: bytes, text: str) -> None:
    assert parse(b'"' + content + b'"') == text


@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "utf-32"])
@pytest.mark.parametrize("content_type", ["", f"{JSON}; charset=utf-8"])
def test_a_byte_order_mark_is_no_part_of_the_text(codec: str, content_type: str) -> None:
    marked = body("歌", "utf-8-sig" if codec == "utf-8" else codec)
    assert list(decodings(marked, content_type)) == ['"歌"']
