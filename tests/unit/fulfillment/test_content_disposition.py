import string
from email.message import Message
from email.utils import decode_rfc2231, unquote
from urllib.parse import unquote as percent_decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulfillment.assets import Asset, AssetType
from fulfillment.content_disposition import content_disposition


def disposition(title: str | None, kind: AssetType = "audio", clip_id: str = "clip-1") -> str:
    return content_disposition(Asset(clip_id, kind, ("https://x/",), title), "mp3")


def name_in(value: str) -> str:
    """The name under which a client of RFC 6266 saves the file."""
    charset, _, encoded = value.partition("filename*=")[2].split("'", 2)
    assert charset == "UTF-8"
    return percent_decode(encoded)


def test_the_title_is_the_files_name() -> None:
    assert disposition("City Lights") == (
        "attachment; filename=\"City Lights.mp3\"; filename*=UTF-8''City%20Lights.mp3"
    )


def test_letters_and_digits_stay_as_they_are() -> None:
    title = string.ascii_letters + string.digits
    assert disposition(title) == f"attachment; filename=\"{title}.mp3\"; filename*=UTF-8''{title}.mp3"


def test_a_title_beyond_ascii_has_both_forms() -> None:
    value = disposition("我的 Lied")
    assert 'filename="__ Lied.mp3"' in value
    assert name_in(value) == "我的 Lied.mp3"


@pytest.mark.parametrize(
    ("kind", "name"),
    [("audio", "Song.mp3"), ("cover", "Song cover.mp3"), ("large_cover", "Song large cover.mp3")],
)
def test_the_pictures_of_a_clip_are_told_apart(kind: AssetType, name: str) -> None:
    assert name_in(disposition("Song", kind)) == name


@pytest.mark.parametrize("title", [None, "", " \n", "...", "\ud800"])
def test_a_clip_without_a_title_goes_by_its_id(title: str | None) -> None:
    assert name_in(disposition(title)) == "clip-1.mp3"


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ('a"; filename="evil.exe', "a_; filename=_evil.exe.mp3"),
        ("a\r\nset-cookie: x", "a set-cookie_ x.mp3"),
        ("../../etc/passwd", "_.._etc_passwd.mp3"),
        ("C:\\con", "C__con.mp3"),
        ("a%22b", "a%22b.mp3"),
    ],
)
def test_a_title_can_be_no_other_header_and_no_path(title: str, name: str) -> None:
    value = disposition(title)
    assert name_in(value) == name
    assert value.count('"') == 2


@given(st.text(), st.text())
def test_any_title_gives_a_header_that_is_printable_and_short(title: str, clip_id: str) -> None:
    value = disposition(title, "large_cover", clip_id)
    assert value.isascii()
    assert value.isprintable()
    assert "  " not in value
    assert len(value) < 1700
    parsed = Message()
    parsed["content-disposition"] = value
    assert parsed.get_content_disposition() == "attachment"
    assert isinstance(parsed.get_param("filename", header="content-disposition"), tuple | str)
    assert name_in(value).endswith(" large cover.mp3")
    assert not set(name_in(value)) & set('/\\"')


def test_what_python_reads_of_it_is_the_title() -> None:
    _, _, encoded = decode_rfc2231(disposition("Ö").partition("filename*=")[2])
    assert percent_decode(unquote(encoded or "")) == "Ö.mp3"


@pytest.mark.parametrize("length", [100, 101])
def test_a_title_has_100_characters_in_a_name(length: int) -> None:
    assert name_in(disposition("歌" * length)) == "歌" * 100 + ".mp3"


@pytest.mark.parametrize("char", '<>:"/\\|?*')
def test_what_a_file_system_does_not_take_is_replaced(char: str) -> None:
    assert name_in(disposition(f"a{char}b")) == "a_b.mp3"


@pytest.mark.parametrize("char", "!#$&+-.^_`~")
def test_what_a_header_may_hold_stays_as_it_is(char: str) -> None:
    assert disposition(f"a{char}b").endswith(f"''a{char}b.mp3")


@pytest.mark.parametrize(("kind", "name"), [("video", "Song.mp3"), ("lyrics", "Song lyrics.mp3")])
def test_so_are_its_film_and_its_text(kind: AssetType, name: str) -> None:
    assert name_in(disposition("Song", kind)) == name


def test_a_clip_without_title_and_id_is_a_file() -> None:
    assert name_in(disposition(" . ", clip_id="..")) == "file.mp3"


@pytest.mark.parametrize("kind", ["image", "file"])
def test_an_output_has_the_name_of_its_clip_alone(kind: AssetType) -> None:
    assert name_in(disposition("Cat", kind)) == "Cat.mp3"
    assert name_in(disposition(None, kind)) == "clip-1.mp3"
