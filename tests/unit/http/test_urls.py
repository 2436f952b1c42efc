"""What of a URL is encoded before it goes over the wire, and that nothing else of it changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunehook.errors import InvalidInput
from tunehook.http.urls import as_https, resolved, split_wire_url, wire_url, without_secrets

BASE = "https://cdn.example:8443/a/b/c.mp3?x=1"

UNTOUCHED = [
    "/a%2Fb",
    "/a%2fb",
    "/a%zz%",
    "/[a]'b'(c)",
    "/a+b|c;d=e,f",
    "/a//b/./c/../d",
    '/{a}^`"<b>',
    "/?",
    "/a?",
    "/a?b=c?d&amp;e",
    "/a?X-Amz-Signature=%2B%2f==&x=[1]",
    "/a:b@c!$&*~_-.",
]


@pytest.mark.parametrize("target", UNTOUCHED)
def test_what_a_url_may_hold_stays_as_it_was_given(target: str) -> None:
    assert wire_url(f"https://h.example{target}") == f"https://h.example{target}"


@pytest.mark.parametrize(
    ("given_target", "target"),
    [
        ("/Summer Rain.mp3", "/Summer%20Rain.mp3"),
        ("/歌.mp3?q=ä", "/%E6%AD%8C.mp3?q=%C3%A4"),
        ("/a\tb\nc\x00d\x7f", "/a%09b%0Ac%00d%7F"),
        ("/a\\b", "/a%5Cb"),
        ("/\udce9", "/%E9"),
        ("/a b%20c", "/a%20b%20c"),
        ("", "/"),
        ("?a=b", "/?a=b"),
    ],
)
def test_what_no_url_may_hold_is_encoded(given_target: str, target: str) -> None:
    assert wire_url(f"https://h.example{given_target}") == f"https://h.example{target}"


def test_white_space_around_a_url_and_its_fragment_are_left_out() -> None:
    assert wire_url(" \n https://h.example/a#b c \r\n") == "https://h.example/a"


def test_what_is_left_out_around_a_url_ends_with_the_blank() -> None:
    around = "".join(map(chr, range(33)))
    assert wire_url(f"{around}https://h.example/a!{around}") == "https://h.example/a!"


def test_a_name_that_is_not_ascii_goes_in_idna() -> None:
    assert wire_url("HTTPS://Bücher.example:8443/x") == "https://xn--bcher-kva.example:8443/x"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a",
        "/a",
        "ftp://h/a",
        "https:///a",
        "https://",
        "https://a b/",
        "//h/a",
        "https://ä ö/",
        "/\ud800",
    ],
)
def test_what_is_no_url_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        wire_url(url)


def test_a_character_that_no_text_can_hold_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no character"):
        wire_url("https://h.example/\ud800")


@given(st.text())
def test_whatever_stands_behind_a_host_becomes_one_line_of_printable_ascii(text: str) -> None:
    url = wire_url(f"https://h.example/{text}")
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url
    assert split_wire_url(url)[0] == "https://h.example"


@given(st.from_regex(r"[!-~]*", fullmatch=True))
def test_printable_ascii_never_changes_but_for_backslashes_and_fragments(text: str) -> None:
    target = "/" + text.replace("\\", "").replace("#", "")
    assert split_wire_url(wire_url(f"https://h.example{target}")) == ("https://h.example", target)


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ("https://other.example/x%2fy?z=[']", "https://other.example/x%2fy?z=[']"),
        ("//other.example/x", "https://other.example/x"),
        ("/x/../y", "https://cdn.example:8443/x/../y"),
        ("x.mp3", "https://cdn.example:8443/a/b/x.mp3"),
        ("x%2Fy?q=../z", "https://cdn.example:8443/a/b/x%2Fy?q=../z"),
        ("../x", "https://cdn.example:8443/a/x"),
        ("../../../x", "https://cdn.example:8443/x"),
        ("./x/./y", "https://cdn.example:8443/a/b/x/y"),
        ("..", "https://cdn.example:8443/a/"),
        ("?y=2", "https://cdn.example:8443/a/b/c.mp3?y=2"),
        (" /Summer Rain ", "https://cdn.example:8443/Summer%20Rain"),
        ("/歌#there", "https://cdn.example:8443/%E6%AD%8C"),
        ("/\udce9", "https://cdn.example:8443/%E9"),
        ("//bücher.example/x", "https://xn--bcher-kva.example/x"),
        ("HTTP://other.example", "http://other.example/"),
    ],
)
def test_a_reference_is_resolved_without_any_other_change(reference: str, url: str) -> None:
    assert resolved(BASE, reference) == url


@pytest.mark.parametrize("reference", ["", "  ", "#there", "ftp://h/x", "javascript:x", "https:x", "//"])
def test_a_reference_that_leads_nowhere_is_refused(reference: str) -> None:
    with pytest.raises(InvalidInput):
        resolved(BASE, reference)


@pytest.mark.parametrize(
    ("url", "secure"),
    [
        ("http://h.example/a%2Fb?c", "https://h.example/a%2Fb?c"),
        ("http://h.example:80/", "https://h.example/"),
        ("http://h.example:8080/", "https://h.example:8080/"),
        ("https://h.example/", "https://h.example/"),
    ],
)
def test_http_becomes_https_on_the_same_host(url: str, secure: str) -> None:
    assert as_https(url) == secure


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h.example/a/b", "https://h.example/a/b"),
        (" /login?next=%2F&token=s3cret#s3cret ", "/login?..."),
        ("?token=s3cret", "?..."),
        ("//user:s3cret@h.example/a@b", "//h.example/a@b"),
        ("HTTPS://s3cret:p@ss@h.example:8443?", "HTTPS://h.example:8443?..."),
        ("/a@b:c@d", "/a@b:c@d"),
        ("https://h.example/a b\r\n\x1b[2J\udcff", "https://h.example/a%20b%0D%0A%1B[2J%FF"),
        ("", ""),
    ],
)
def test_what_is_shown_of_a_url_has_none_of_its_secrets(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_shown_of_anything_is_printable_ascii(text: str) -> None:
    shown = without_secrets(text)
    assert shown.isascii()
    assert shown.isprintable()
