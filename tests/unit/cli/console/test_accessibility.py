"""Each page by keyboard and screen reader: names, landmarks, headings, tables; and contrast, light and dark."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.unit.cli.console.conftest import client_of, fill
from tests.unit.cli.console.html import Element, name_of, parse
from tests.unit.cli.console.test_safety import PAGES as EMPTY

import tunehook_cli.console
from tunehook.operations.stack import Stack

CSS = (Path(tunehook_cli.console.__file__).parent / "static" / "console.css").read_text()


@pytest.fixture
def page(found: Stack) -> Iterator[TestClient]:
    """The console of a stack where each page has something to show."""
    fill(found, "早晨 \N{MUSICAL NOTE}")
    with client_of(found) as client:
        yield client


PAGES = [*EMPTY, "/task?task_id=full", "/task?task_id=waits", "/delivery?id=msg_full_1"]
PARTS = [path for path in PAGES if path.split("?")[0].count("/") > 1 and path != "/subscriptions/new"]
WHOLE = [path for path in PAGES if path not in PARTS]


def test_a_page_has_a_language_a_title_landmarks_and_one_heading(page: TestClient) -> None:
    for path in WHOLE:
        root = parse(page.get(path).text)
        (html,) = root.all("html")
        assert html.attributes["lang"] == "en", path
        (title,) = root.all("title")
        assert len(title.text) > len("· tunehook"), path
        landmarks = [len(list(root.all(name))) for name in ("header", "main", "footer", "h1")]
        assert landmarks == [1, 1, 1, 1], path
        navigations = list(root.all("nav"))
        assert navigations, path
        assert all(each.attributes.get("aria-label") for each in navigations), path
        assert next(root.all("a")).attributes["href"] == "#main", path


def test_every_field_button_and_link_has_a_name(page: TestClient) -> None:
    seen = set()
    for path in PAGES:
        root = parse(page.get(path).text)
        named = root.all("input", "select", "textarea", "button", "a", "img", "audio", "video", "svg")
        for each in named:
            seen.add(each.name)
            is_hidden = each.attributes.get("type") == "hidden"
            assert is_hidden or name_of(each, root), (path, each.name, each.attributes)
        for each in root.all("section", "article"):
            assert _is_labelled(each), (path, each.attributes)
    assert seen >= {"input", "select", "button", "a", "audio", "img", "svg"}


def _is_labelled(element: Element) -> bool:
    return bool(element.attributes.get("aria-label") or next(element.all("h2"), None))


def test_every_table_has_a_caption_and_headers(page: TestClient) -> None:
    tables = [(path, table) for path in PAGES for table in parse(page.get(path).text).all("table")]
    assert len(tables) >= 7
    for path, table in tables:
        assert next(table.all("caption")).text, path
        heads = list(table.all("th"))
        assert heads, path
        assert all(each.attributes.get("scope") in ("col", "row") and each.text for each in heads), path


def test_no_id_is_there_twice_and_what_scrolls_is_reached_by_the_keyboard(page: TestClient) -> None:
    for path in PAGES:
        root = parse(page.get(path).text)
        ids = [each.attributes["id"] for each in root.all() if "id" in each.attributes]
        assert len(ids) == len(set(ids)), path
        assert all(each.attributes.get("tabindex") == "0" for each in root.all("pre")), path


def variables(css: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-fA-F]{6})", css))


DARK = re.search(r"@media \(prefers-color-scheme: dark\)\s*\{\s*:root\s*\{(.*?)\}", CSS, re.DOTALL)
assert DARK is not None
LIGHT = re.match(r".*?:root\s*\{(.*?)\}", CSS, re.DOTALL)
assert LIGHT is not None
SCHEMES = {"light": variables(LIGHT[1]), "dark": variables(LIGHT[1]) | variables(DARK[1])}
PAIRS = [
    *((text, ground) for text in ("text", "faint", "link", "bad") for ground in ("ground", "panel")),
    ("good", "good-ground"),
    ("bad", "bad-ground"),
    ("wait", "wait-ground"),
    ("text", "other-ground"),
]


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2: 1 to 21."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_measure_of_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_texts_have_the_contrast_of_aa(scheme: str) -> None:
    colours = SCHEMES[scheme]
    for text, ground in PAIRS:
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("mark", ["link", "faint", "good", "bad"])
def test_frames_focus_and_bars_stand_out(scheme: str, mark: str) -> None:
    colours = SCHEMES[scheme]
    assert min(contrast(colours[mark], colours[ground]) for ground in ("ground", "panel")) >= 3
