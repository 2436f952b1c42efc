"""The Chinese pages have the headings, code blocks, links and code words of the English ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from tests.support.template import ROOT

PAGES: Final = {"README.zh-CN.md": "README.md", "docs/zh-CN/webhooks.md": "docs/webhooks.md"}
"""Each translation, and what it translates."""

_BLOCK: Final = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_CHINESE: Final = re.compile(r"[\u4e00-\u9fff]")


class Section(NamedTuple):
    """What the same section of two pages has in common, whatever its language."""

    level: int
    blocks: list[tuple[str, str]]
    """The language and the text of each block; what a diagram says is left out, but for its arrows and nodes."""
    code: list[str]
    """The code words of the text, sorted: a sentence of another language has another order."""
    targets: list[str]
    """Where links and pictures lead, sorted: folder of the page and anchors apart, which follow the language."""
    rows: int


def text_of(path: str) -> str:
    text: str = (ROOT / path).read_text(encoding="utf-8")
    return text


def sections(path: str) -> list[Section]:
    """Return the sections of a page, in their order."""
    text = text_of(path)
    blocks: list[tuple[str, str]] = []

    def taken(match: re.Match[str]) -> str:
        blocks.append((match[1], as_compared(match[1], match[2])))
        return f"\n\x00{len(blocks) - 1}\n"

    outside = _BLOCK.sub(taken, text)
    parts = re.split(r"^(#+) .*$", outside, flags=re.MULTILINE)
    return [
        Section(
            level=len(marks),
            blocks=[blocks[int(number)] for number in re.findall(r"\x00(\d+)", body)],
            code=sorted(re.findall(r"`([^`\n]+)`", body)),
            targets=sorted(targets(path, body)),
            rows=len(re.findall(r"^\|", body, re.MULTILINE)),
        )
        for marks, body in zip(parts[1::2], parts[2::2], strict=True)
    ]


def as_compared(language: str, block: str) -> str:
    """Return what two languages have in common of a block: all of it, but for what a diagram says in words."""
    if language == "mermaid":
        return re.sub(r'"[^"]*"|\[[^\]]*\]|-- [^->]+ -', "…", block)
    return block


def targets(path: str, body: str) -> list[str]:
    """Return where the links of a page lead, those to a translation or its original as to one page."""
    found = []
    for target in re.findall(r"\]\(([^)]+)\)", body):
        if "://" in target:
            found.append(target)
            continue
        file, _, _ = target.partition("#")
        place = (ROOT / path).parent / file if file else ROOT / path
        name = place.resolve().relative_to(ROOT.resolve()).as_posix()
        found.append(PAGES.get(name, name))
    return found


@pytest.mark.parametrize("translation", PAGES)
class TestTranslation:
    def test_it_has_the_headings_of_the_original_in_their_order(self, translation: str) -> None:
        levels, originals = (
            [each.level for each in sections(path)] for path in (translation, PAGES[translation])
        )
        assert levels == originals

    def test_it_has_the_blocks_of_the_original_byte_for_byte(self, translation: str) -> None:
        assert [each.blocks for each in sections(translation)] == [
            each.blocks for each in sections(PAGES[translation])
        ]

    def test_each_section_names_the_commands_and_code_of_the_original(self, translation: str) -> None:
        pairs = zip(sections(translation), sections(PAGES[translation]), strict=True)
        assert [
            set(one.code) ^ set(other.code) for one, other in pairs if set(one.code) != set(other.code)
        ] == []

    def test_each_section_has_the_links_and_the_table_rows_of_the_original(self, translation: str) -> None:
        pairs = list(zip(sections(translation), sections(PAGES[translation]), strict=True))
        assert [(one.targets, other.targets) for one, other in pairs if one.targets != other.targets] == []
        assert [(one.rows, other.rows) for one, other in pairs if one.rows != other.rows] == []

    def test_its_prose_and_its_headings_are_chinese(self, translation: str) -> None:
        outside = _BLOCK.sub("", text_of(translation))
        headings = re.findall(r"^#+ (.*)$", outside, re.MULTILINE)[1:]
        assert [each for each in headings if not _CHINESE.search(each) and not each.startswith("`")] == []
        prose = [line for line in outside.split("\n\n") if len(re.sub(r"`[^`]*`|\]\([^)]*\)", "", line)) > 80]
        assert [each for each in prose if not _CHINESE.search(each)] == []

    def test_its_links_lead_somewhere(self, translation: str) -> None:
        outside = _BLOCK.sub("", text_of(translation))
        for target in re.findall(r"\]\(([^)]+)\)", outside):
            file, _, anchor = target.partition("#")
            if "://" in target:
                continue
            page = (ROOT / translation).parent / file if file else ROOT / translation
            assert page.exists(), target
            assert not anchor or anchor in anchors(page), target


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", _BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize(("translation", "original"), PAGES.items())
def test_each_page_leads_to_its_other_language(translation: str, original: str) -> None:
    for page, other in ((translation, original), (original, translation)):
        linked = [
            ((ROOT / page).parent / target).resolve()
            for target in re.findall(r"\]\(([^)#]+)\)", text_of(page))
            if "://" not in target
        ]
        assert (ROOT / other).resolve() in linked, page


def test_what_is_compared_of_a_diagram_is_what_no_language_changes() -> None:
    one = as_compared("mermaid", 'a["your application"] -- "1. generate" --> b\n')
    assert one == as_compared("mermaid", 'a["你的应用"] -- "1. 生成" --> b\n')
    assert one != as_compared("mermaid", 'a["your application"] -- "1. generate" --> c\n')
    assert as_compared("sh", "x  # y\n") == "x  # y\n"
