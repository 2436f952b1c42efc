"""Sniff the type of an output, which may be any file: media as `fulfillment.media` knows them, and common others.

What is recognised, and as what: `docs/media.md`. HTML is told by its markup, as browsers do it (WHATWG MIME Sniffing,
section 7.1), and more widely: behind comments of any length, in UTF-16 and UTF-32, and by more of its tags.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

from fulfillment.media import MediaType, is_text, recognise

HTML: Final = MediaType("text/html", "html")
SVG: Final = MediaType("image/svg+xml", "svg")
XML: Final = MediaType("application/xml", "xml")
JSON: Final = MediaType("application/json", "json")
GLTF: Final = MediaType("model/gltf+json", "gltf")
VTT: Final = MediaType("text/vtt", "vtt")
SRT: Final = MediaType("application/x-subrip", "srt")
RTF: Final = MediaType("application/rtf", "rtf")
TEXT: Final = MediaType("text/plain", "txt")
UTF_8_TEXT: Final = MediaType("text/plain; charset=utf-8", "txt")
ZIP: Final = MediaType("application/zip", "zip")
EPUB: Final = MediaType("application/epub+zip", "epub")
USDZ: Final = MediaType("model/vnd.usdz+zip", "usdz")
TAR: Final = MediaType("application/x-tar", "tar")
TTF: Final = MediaType("font/ttf", "ttf")

_OFFICE: Final = {
    b"word/": MediaType("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    b"xl/": MediaType("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    b"ppt/": MediaType("application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx"),
}
_SIGNATURES: Final = (
    (b"%PDF-", MediaType("application/pdf", "pdf")),
    (b"glTF", MediaType("model/gltf-binary", "glb")),
    (b"Kaydara FBX Binary  \x00", MediaType("application/vnd.autodesk.fbx", "fbx")),
    (b"\x1f\x8b\x08", MediaType("application/gzip", "gz")),
    (b"7z\xbc\xaf\x27\x1c", MediaType("application/x-7z-compressed", "7z")),
    (b"Rar!\x1a\x07", MediaType("application/vnd.rar", "rar")),
    (b"\xfd7zXZ\x00", MediaType("application/x-xz", "xz")),
    (b"\x28\xb5\x2f\xfd", MediaType("application/zstd", "zst")),
    (b"wOFF", MediaType("font/woff", "woff")),
    (b"wOF2", MediaType("font/woff2", "woff2")),
    (b"OTTO\x00", MediaType("font/otf", "otf")),
    (b"8BPS\x00\x01", MediaType("image/vnd.adobe.photoshop", "psd")),
    (b"\x76\x2f\x31\x01", MediaType("image/x-exr", "exr")),
    (b"#?RADIANCE", MediaType("image/vnd.radiance", "hdr")),
)
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_OFFICE_PARTS: Final = (b"[Content_Types].xml", b"_rels/", b"docProps/")
_TAR_MARK: Final = slice(257, 262)

_NAMED_TEXTS: Final = {
    "text/csv": MediaType("text/csv", "csv"),
    "text/markdown": MediaType("text/markdown", "md"),
    "model/obj": MediaType("model/obj", "obj"),
}
"""Plain texts that only their hosts can tell from others."""

_HTML_TYPES: Final = ("text/html", "application/xhtml+xml")
_PASSIVE: Final = re.compile(
    r"(?!.*(?:html|xml|script|svg|flash|octet-stream))"
    r"(?:application|audio|font|image|model|video)/[a-z0-9][a-z0-9!#$&^_.+-]{0,79}"
)
"""RFC 6838, section 4.2, without what a browser might run."""

_LOOKED_AT: Final = 64 * 1024
_MARKS: Final = (
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_BY_ZEROS: Final = {
    (True, False, False, False): "utf-32-le",
    (False, False, False, True): "utf-32-be",
    (True, False, True, False): "utf-16-le",
    (False, True, False, True): "utf-16-be",
}
"""Which of the first four bytes are other than zero, where the text begins with ASCII (XML 1.0, appendix F.1)."""

_BLANK: Final = re.compile(r"[\x00-\x20\x7f-\xa0\u200b\ufeff]*")
_DOCTYPE: Final = re.compile(r"(?is)<!doctype\s+([^\s>\[]+)")
_TAG: Final = re.compile(r"</?(?:[a-z_][\w.-]*:)?([a-z_][\w.-]*)(?=[\s/>])([^<>]*)", re.IGNORECASE)
_XHTML: Final = "http://www.w3.org/1999/xhtml"
_HTML_TAG: Final = re.compile(
    r"a|abbr|article|aside|b|base|basefont|bdi|bdo|big|blink|blockquote|body|br|button|canvas|center|code|dd|details|div"
    r"|dl|dt|em|embed|fieldset|figure|font|footer|form|frame|frameset|h[1-6]|head|header|hr|html|i|iframe|img|input"
    r"|label|li|link|main|marquee|meta|nav|noframes|noscript|object|ol|p|picture|pre|script|section|select|small|span"
    r"|strong|style|sub|summary|sup|table|tbody|td|template|textarea|th|title|tr|tt|u|ul|video"
)
_JSON: Final = re.compile(
    r"""\s*(?:\{\s*["}]|\[\s*(?:[]\["{]|-?\d[^\s,]*\s*[],]|(?:true|false|null)\s*[],]))"""
)
_GLTF_ASSET: Final = re.compile(r'"asset"\s*:\s*\{[^{}]*"version"\s*:\s*"')
_SUBTITLE: Final = re.compile(r"\d+\s*\n\d\d:\d\d:\d\d[,.]\d{3} --> ")


def file_type_of(head: bytes, *, wanted: str, host_says: str = "") -> MediaType | None:
    """Return what a file is by its beginning, or `HTML`; None for an unknown kind that is no text.

    A container whose tracks lie beyond `head` is taken for what is `wanted`: ``audio`` or ``video``. The media type
    that its host names counts for texts that look like no other.
    """
    text = _beginning(head)
    if (markup := _markup(text)) is not None:
        return markup
    for mark, media in _SIGNATURES:
        if head.startswith(mark):
            return media
    if head.startswith(_ZIP):
        return _of_zip(head)
    if head[_TAR_MARK] == b"ustar":
        return TAR
    tables = int.from_bytes(head[5:6])
    if head.startswith(b"\x00\x01\x00\x00\x00") and 0 < tables < 64:
        return TTF
    if (found := recognise(head, wanted=wanted)) is not None:
        return found
    return _of_text(head, text, host_says) if is_text(head) else None


def named_type(host_says: str) -> str:
    """Return the media type of a file of an unknown kind: its host's word if that is a sane one, and runs nowhere."""
    said = _media_type(host_says)
    return said if _PASSIVE.fullmatch(said) else "application/octet-stream"


def _media_type(host_says: str) -> str:
    return host_says.partition(";")[0].strip().lower()


def _of_zip(head: bytes) -> MediaType:
    """Read the name of the first file (APPNOTE.TXT, 4.3.7): what some kinds of ZIP are told by."""
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    if name.startswith(_OFFICE_PARTS):
        return next((media for folder, media in _OFFICE.items() if folder in head), ZIP)
    if name == b"mimetype" and head[38:].startswith(b"application/epub+zip"):
        return EPUB
    return USDZ if re.search(rb"\.usd[ac]?$", name) else ZIP


def _beginning(head: bytes) -> str:
    """Decode the first 64 KiB of what may be text; bytes of unknown charsets each become some character."""
    head = head[:_LOOKED_AT]
    for mark, charset in _MARKS:
        if head.startswith(mark):
            return head[len(mark) :].decode(charset, "replace")
    charset = _BY_ZEROS.get(tuple(byte != 0 for byte in head[:4]), "latin-1")  # type: ignore[arg-type]
    return head.decode(charset, "replace")


def _markup(text: str) -> MediaType | None:
    """Return which markup a text is by its first tag, behind blanks, comments and processing instructions."""
    is_declared = False
    at = _end_of_blank(text, 0)
    while text.startswith(("<!--", "<?"), at):
        if text.startswith("<!--", at):
            end, closing = text.find("-->", at + 2), "-->"
            if end < 0:
                return HTML  # as browsers have it
        elif text.startswith("<?xml", at):
            end, closing, is_declared = text.find("?>", at), "?>", True
        else:
            return None
        if end < 0:
            return XML
        at = _end_of_blank(text, end + len(closing))
    if (doctype := _DOCTYPE.match(text, at)) is not None:
        name, attributes = doctype[1], ""
    elif (tag := _TAG.match(text, at)) is not None:
        name, attributes = tag[1], tag[2]
    else:
        return XML if is_declared else None
    name = name.lower()
    if name == "svg":
        return SVG
    is_xml = is_declared or "xmlns" in attributes
    if name == "html" or _XHTML in attributes or (not is_xml and _HTML_TAG.fullmatch(name)):
        return HTML
    is_closed = attributes.endswith("/") or f"</{name}" in text.lower()
    return XML if is_xml or doctype is not None or is_closed else None


def _end_of_blank(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return at if match is None else match.end()


def _of_text(head: bytes, text: str, host_says: str) -> MediaType:
    if _JSON.match(text):
        return GLTF if _GLTF_ASSET.search(text) else JSON
    if text.startswith("WEBVTT"):
        return VTT
    if text.startswith("{\\rtf"):
        return RTF
    if _SUBTITLE.match(text):
        return SRT
    said = _media_type(host_says)
    if said in _HTML_TYPES:
        return HTML
    return _NAMED_TEXTS.get(said) or (UTF_8_TEXT if _is_utf_8(head) else TEXT)


def _is_utf_8(head: bytes) -> bool:
    try:
        # The last character may be cut.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return b"\x00" not in head
