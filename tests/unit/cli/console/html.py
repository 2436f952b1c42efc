"""A page as a browser has it: elements with their attributes and texts, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_EMPTY = {"meta", "link", "input", "img", "br", "rect"}


@dataclass(eq=False)
class Element:
    """An element, what it is in, and what is in it."""

    name: str
    attributes: dict[str, str]
    parent: Element | None = None
    children: list[Element] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def all(self, *names: str) -> Iterator[Element]:
        """Yield the elements of these names within, in the order of the page."""
        for each in self.children:
            if not names or each.name in names:
                yield each
            yield from each.all(*names)

    @property
    def text(self) -> str:
        """What it says, with all within."""
        return " ".join([*self.texts, *(each.text for each in self.children)]).strip()

    def within(self, name: str) -> Element | None:
        """Return the nearest element of this name that it is in."""
        above = self.parent
        while above is not None and above.name != name:
            above = above.parent
        return above


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self.at = Element("", {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, self.at)
        self.at.children.append(element)
        if tag not in _EMPTY:
            self.at = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.at.children.append(Element(tag, {name: value or "" for name, value in attrs}, self.at))

    def handle_endtag(self, tag: str) -> None:
        assert self.at.name == tag, f"</{tag}> ends <{self.at.name}>"
        assert self.at.parent is not None
        self.at = self.at.parent

    def handle_data(self, data: str) -> None:
        self.at.texts.append(data)


def parse(text: str) -> Element:
    """Return the root of a page; one whose elements do not close is none."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader.at is reader.root, f"<{reader.at.name}> is not closed"
    return reader.root


def name_of(element: Element, page: Element) -> str:
    """Return the name by which a screen reader calls a button, a link or a field; empty if it has none."""
    given = element.attributes.get("aria-label") or element.text or element.attributes.get("alt", "")
    if given.strip():
        return given.strip()
    if (label := element.within("label")) is not None:
        return label.text
    ids = [each for each in page.all("label") if each.attributes.get("for") == element.attributes.get("id")]
    return ids[0].text if ids and "id" in element.attributes else ""
