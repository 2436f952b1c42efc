"""What an output is by its first bytes; that HTML is told in every dress, and nothing else is taken for it."""

import codecs
import io
import json
import re
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.media import JPEG, MP3, MP4, PNG

from fulfillment import file_types as module
from fulfillment.file_types import HTML, file_type_of, named_type
from fulfillment.media import MediaType, recognise

MEDIA = Path(__file__).parent / "media"
OFFICE = "application/vnd.openxmlformats-officedocument"
PAGE = "<html><head><title>Überlastet 過負荷</title></head><body>later</body></html>"


def kind_of(head: bytes, host_says: str = "", wanted: str = "video") -> tuple[str, str] | None:
    found = file_type_of(head, wanted=wanted, host_says=host_says)
    return None if found is None else (found.content_type, found.extension)


def zipped(*names: str, content: bytes = b"x") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return made.getvalue()


def tarred() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
    return made.getvalue()


@pytest.mark.parametrize(
    "page",
    [
        PAGE,
        f"<!DOCTYPE html>{PAGE}",
        f"<!doctype HTML PUBLIC '-//W3C//DTD HTML 4.01//EN'>\n{PAGE}",
        f" \r\n\t\x0c{PAGE}",
        f"<!-- {'long ' * 20_000} -->{PAGE}",
        f"<!-- 1 --> <!-- 2 -->\n<!DOCTYPE html>{PAGE}",
        "<!-- never closed",
        f"<!-->{PAGE}",
        f'<?xml version="1.0"?>\n<!DOCTYPE html>{PAGE}',
        '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>',
        '<?xml version="1.0"?><h:html xmlns:h="http://www.w3.org/1999/xhtml"/>',
        '<x xmlns="http://www.w3.org/1999/xhtml"><script>1</script></x>',
        "<HTML>",
        "<head><title>403 Forbidden</title></head>",
        "<center><h1>502 Bad Gateway</h1></center>",
        "<h2>Not found</h2>",
        "<br />\n<b>Warning</b>: foo",
        "<script>location.reload()</script>",
        "<meta charset=utf-8>",
        "<p>Gone",
        "</body></html>",
    ],
)
def test_html_is_told_by_its_markup(page: str) -> None:
    assert file_type_of(page.encode(), wanted="video", host_says="image/png") is HTML


@pytest.mark.parametrize(
    "charset", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-be", "utf-32-le"]
)
@pytest.mark.parametrize("before", ["", "  ", "<!-- c -->\n<!DOCTYPE html>"])
def test_html_is_told_in_every_charset(charset: str, before: str) -> None:
    assert file_type_of((before + PAGE).encode(charset), wanted="video") is HTML


def test_html_is_told_in_an_eastern_charset() -> None:
    assert file_type_of("<!-- 過負荷 --><html>".encode("gb18030"), wanted="video") is HTML


@pytest.mark.parametrize(
    ("mark", "charset"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_html_is_told_behind_every_mark(mark: bytes, charset: str) -> None:
    assert file_type_of(mark + "<p>歌</p>".encode(charset), wanted="video") is HTML


@pytest.mark.parametrize(
    "comment", ["<!-- c -->", "<!-->", "<!--->", "<!-- c --><!-- d -->", "<!-- c -->\n<!-->"]
)
def test_behind_comments_as_browsers_end_them_markup_is_what_it_is(comment: str) -> None:
    assert kind_of(f"{comment}<svg></svg>".encode()) == ("image/svg+xml", "svg")
    assert file_type_of(f"{comment}<html>".encode(), wanted="video") is HTML


@pytest.mark.parametrize(
    "beginning",
    ['<?xml version="1.0"?><feed>', '<feed xmlns="http://www.w3.org/2005/Atom">', "<!DOCTYPE feed><feed>"],
)
def test_xml_whose_end_lies_further_on_is_xml(beginning: str) -> None:
    assert kind_of(beginning.encode() + b"<entry>") == ("application/xml", "xml")


def test_markup_is_looked_for_in_the_first_64_kib() -> None:
    blank = b" " * (64 * 1024 - len(b"<html>"))
    assert file_type_of(blank + b"<html>", wanted="video") is HTML
    assert file_type_of(blank + b" <html>", wanted="video") is not HTML


@pytest.mark.parametrize("host_says", ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"])
def test_a_text_that_its_host_calls_html_is_html(host_says: str) -> None:
    assert file_type_of(b"no such file", wanted="video", host_says=host_says) is HTML
    assert kind_of(b'{"a": 1}', host_says) == ("application/json", "json")
    assert kind_of(PNG, host_says) == ("image/png", "png")


@pytest.mark.parametrize(
    ("head", "content_type", "extension"),
    [
        (JPEG, "image/jpeg", "jpg"),
        (MP3, "audio/mpeg", "mp3"),
        (MP4, "video/mp4", "mp4"),
        (b"MThd\x00\x00\x00\x06\x00\x01", "audio/midi", "mid"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "application/pdf", "pdf"),
        (zipped("a.png", "word/readme.txt"), "application/zip", "zip"),
        (zipped(), "application/zip", "zip"),
        (zipped("[Content_Types].xml", "word/document.xml"), f"{OFFICE}.wordprocessingml.document", "docx"),
        (zipped("_rels/.rels", "xl/workbook.xml"), f"{OFFICE}.spreadsheetml.sheet", "xlsx"),
        (zipped("docProps/app.xml", "ppt/presentation.xml"), f"{OFFICE}.presentationml.presentation", "pptx"),
        (zipped("docProps/app.xml"), "application/zip", "zip"),
        (zipped("mimetype", content=b"application/epub+zip"), "application/epub+zip", "epub"),
        (zipped("mimetype", content=b"application/x-other"), "application/zip", "zip"),
        (zipped("model.usdc"), "model/vnd.usdz+zip", "usdz"),
        (tarred(), "application/x-tar", "tar"),
        (b"\x1f\x8b\x08\x00rest\x00", "application/gzip", "gz"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "application/x-7z-compressed", "7z"),
        (b"Rar!\x1a\x07\x01\x00", "application/vnd.rar", "rar"),
        (b"\xfd7zXZ\x00\x00", "application/x-xz", "xz"),
        (b"\x28\xb5\x2f\xfd\x00", "application/zstd", "zst"),
        (b"glTF\x02\x00\x00\x00\x10\x00\x00\x00", "model/gltf-binary", "glb"),
        (b"Kaydara FBX Binary  \x00\x1a\x00", "application/vnd.autodesk.fbx", "fbx"),
        (b"wOFF\x00\x01\x00\x00", "font/woff", "woff"),
        (b"wOF2\x00\x01\x00\x00", "font/woff2", "woff2"),
        (b"OTTO\x00\x0a\x00\x80", "font/otf", "otf"),
        (b"\x00\x01\x00\x00\x00\x11\x01\x00\x00\x04", "font/ttf", "ttf"),
        (b"8BPS\x00\x01\x00\x00", "image/vnd.adobe.photoshop", "psd"),
        (b"\x76\x2f\x31\x01\x02\x00", "image/x-exr", "exr"),
        (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n", "image/vnd.radiance", "hdr"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", "svg"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><!-- made by x --><svg:svg/>", "image/svg+xml", "svg"),
        (b"<?xml version='1.0'?><!DOCTYPE svg PUBLIC 'a' 'b'><svg/>", "image/svg+xml", "svg"),
        (b"<?xml version='1.0'?><?xml-stylesheet href='a.xsl'?><html-like/>", "application/xml", "xml"),
        (b"<?xml version='1.0'?><title>a book</title>", "application/xml", "xml"),
        (b"<?xml version='1.0'", "application/xml", "xml"),
        (b"<?xml version='1.0'?> and no tag", "application/xml", "xml"),
        (b"<link xmlns='urn:x'/>", "application/xml", "xml"),
        (b"<!DOCTYPE speak><speak>hi</speak>", "application/xml", "xml"),
        (b"<speak>hi</speak>", "application/xml", "xml"),
        (b"<gpx/>", "application/xml", "xml"),
        (b'{"error": "forbidden"}', "application/json", "json"),
        (b" [1, 2]", "application/json", "json"),
        (b"[true]", "application/json", "json"),
        (b"{}", "application/json", "json"),
        (b"[]", "application/json", "json"),
        ('{"a": "ü"}'.encode("utf-16"), "application/json", "json"),
        (json.dumps({"asset": {"generator": "x", "version": "2.0"}}).encode(), "model/gltf+json", "gltf"),
        (b"WEBVTT\n\n00:01.000 --> 00:02.000\nhi", "text/vtt", "vtt"),
        (b"1\r\n00:00:01,000 --> 00:00:02,000\r\nhi", "application/x-subrip", "srt"),
        (b"{\\rtf1\\ansi}", "application/rtf", "rtf"),
        (b"la la\n", "text/plain; charset=utf-8", "txt"),
        (b"<hi there> he said", "text/plain; charset=utf-8", "txt"),
        (b"<?php echo 1;", "text/plain; charset=utf-8", "txt"),
        (b"[Verse]\nla", "text/plain; charset=utf-8", "txt"),
        (("夏" * 3000).encode()[:-1], "text/plain; charset=utf-8", "txt"),
        ("夏の雨".encode("shift-jis"), "text/plain", "txt"),
        ("la".encode("utf-16"), "text/plain", "txt"),
    ],
)
def test_a_file_is_what_its_bytes_say(head: bytes, content_type: str, extension: str) -> None:
    assert kind_of(head, "application/octet-stream") == (content_type, extension)
    for length in range(min(len(head), 256)):  # a file may end anywhere
        kind_of(head[:length])


def test_a_file_that_ends_behind_the_first_bytes_of_a_font_is_none() -> None:
    for tables, is_font in (
        (b"", False),
        (b"\x00", False),
        (b"\x01", True),
        (b"\x3f", True),
        (b"\x40", False),
    ):
        found = kind_of(b"\x00\x01\x00\x00\x00" + tables)
        assert (found == ("font/ttf", "ttf")) is is_font


@pytest.mark.parametrize(
    ("host_says", "kind"),
    [
        ("text/csv; header=present", ("text/csv", "csv")),
        ("Text/Markdown", ("text/markdown", "md")),
        ("model/obj", ("model/obj", "obj")),
        ("text/javascript", ("text/plain; charset=utf-8", "txt")),
        ("image/svg+xml", ("text/plain; charset=utf-8", "txt")),
    ],
)
def test_a_plain_text_is_what_its_host_calls_it_where_that_is_harmless(
    host_says: str, kind: tuple[str, str]
) -> None:
    assert kind_of(b"v 1 2 3\n", host_says) == kind


@pytest.mark.parametrize(
    "path", sorted(set(MEDIA.iterdir()) - {MEDIA / "README.md"}), ids=lambda path: path.name
)
def test_a_recorded_file_of_media_is_the_same_as_for_a_song(path: Path) -> None:
    head = path.read_bytes()
    assert file_type_of(head, wanted="audio") == recognise(head, wanted="audio")


def test_of_unknown_bytes_nothing_is_known() -> None:
    assert kind_of(b"\x07\x00\x9a\x11" * 100, "text/html") is None


@pytest.mark.parametrize(
    ("host_says", "named"),
    [
        ("application/x-blender", "application/x-blender"),
        ("Model/STL; a=b", "model/stl"),
        ("image/x-new", "image/x-new"),
        ("", "application/octet-stream"),
        ("binary/octet-stream", "application/octet-stream"),
        ("text/html", "application/octet-stream"),
        ("text/plain", "application/octet-stream"),
        ("image/svg+xml", "application/octet-stream"),
        ("application/xhtml+xml", "application/octet-stream"),
        ("application/javascript", "application/octet-stream"),
        ("application/x-shockwave-flash", "application/octet-stream"),
        ("multipart/mixed", "application/octet-stream"),
        ("application/a b", "application/octet-stream"),
        ("application/" + "x" * 100, "application/octet-stream"),
        ("application/x\r\nset-cookie: a", "application/octet-stream"),
        ("model", "application/octet-stream"),
    ],
)
def test_the_word_of_a_host_counts_where_it_is_sane(host_says: str, named: str) -> None:
    assert named_type(host_says) == named


@given(
    st.binary(max_size=80)
    | st.builds(
        bytes.__add__, st.sampled_from([b"<!--", b"<?xml", b"<!DOCTYPE ", b"PK\x03\x04", b"<"]), st.binary()
    )
)
def test_no_beginning_makes_it_stumble(head: bytes) -> None:
    found = file_type_of(head, wanted="audio", host_says="text/html")
    assert found is None or "/" in found.content_type


def test_the_document_lists_what_an_output_may_be() -> None:
    document = Path(__file__).parents[3] / "docs" / "media.md"
    _, _, of_outputs = document.read_text().partition("\n## Outputs\n")
    named = [value for value in vars(module).values() if isinstance(value, MediaType) and value != HTML]
    named += [*module._OFFICE.values(), *module._NAMED_TEXTS.values()]
    named += [media for _, media in module._SIGNATURES]
    listed = {
        extension
        for row in of_outputs.partition("\n- ")[0].splitlines()
        if row.startswith("| ")
        for extension in re.findall(r"`(\w+)`", row.rpartition(" | ")[2])
    }
    assert {media.extension for media in named} == listed - {"bin"}
