"""Templates, and what they need of every value: times, sizes, links that may be followed, and no foreign markup."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from tunehook import __version__
from tunehook.operations.stack import Stack
from tunehook.operations.text import counted, duration, visible
from tunehook.rate_limits import rate_text
from tunehook.times import from_ms, iso
from tunehook_cli.output import size
from tunehook_cli.rendering.deliveries import answer_of

HERE: Final = Path(__file__).parent

_DONE: Final = {
    "archive": "The missing files are asked for again.",
    "rerun": "The task is watched again.",
    "cancel": "The task is no longer watched.",
    "resent": "It is sent again.",
    "changed": "The subscription is changed.",
    "disabled": "The subscription is disabled: nothing is sent to it.",
    "enabled": "The subscription is enabled.",
    "deleted": "The subscription is deleted.",
    "provider": "The provider is set. That takes effect within a minute.",
    "dropped": "The message is dropped.",
}
"""What a change says on the page that follows it; the address has the word alone: none can say anything else."""


_JOINERS: Final = "\u200c\u200d"


def link(path: str, **query: Any) -> str:
    """Return the address of a page; what is None is left out."""
    given = {name: str(value) for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


def outside(url: object) -> str | None:
    """Return a URL if a browser may follow it: one of http or https, with a host; else None."""
    if not isinstance(url, str) or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.netloc else None


def moment(value: object) -> Markup | str:
    """Return a moment (ISO-8601, or milliseconds since 1970), which the page then writes in the reader's zone."""
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            value = iso(from_ms(value))
        except OverflowError:
            return "–"
    if not isinstance(value, str) or not value:
        return "–"
    shown = value[:19].replace("T", " ")
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(value, shown)


def pretty(value: object) -> str:
    """Return JSON as text of several lines."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def shown(text: str) -> str:
    r"""Write control characters as escapes, but for the joiners that emoji and Persian are written with.

    >>> shown("a\x1b") == r"a\x1b", shown("\U0001f469\u200d\U0001f467") == "\U0001f469\u200d\U0001f467"
    (True, True)
    """
    return "".join(each if each in _JOINERS else visible(each) for each in text)


def length(seconds: object) -> str:
    """Return a length of time as players show it: 3:05."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < 360_000:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


class Views:
    """Renders the pages of a stack."""

    def __init__(self, stack: Stack, *, read_only: bool) -> None:
        self.read_only = read_only
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "moment": moment,
            "size": lambda value: size(value) or "–",
            "pretty": pretty,
            "duration": duration,
            "rate": rate_text,
            "length": length,
            "seconds": lambda value: "–" if value is None else f"{value / 1000:.1f} s",
            "counted": counted,
            "visible": shown,
            "outside": outside,
            "answer": lambda attempt: answer_of(attempt["status_code"], attempt["error"]),
        }
        self._environment.globals |= {
            "link": link,
            "stack": {"name": stack.name, "region": stack.region},
            "read_only": read_only,
            "version": __version__,
        }

    def page(self, request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
        """Return a whole page; `?done=` says what was just done."""
        told = _DONE.get(request.query_params.get("done", ""))
        return HTMLResponse(self.text(template, path=request.url.path, told=told, **values), status)

    def part(self, template: str, **values: Any) -> Response:
        """Return a part of a page, for a page that is there already."""
        return HTMLResponse(self.text(template, **values))

    def text(self, template: str, **values: Any) -> str:
        return self._environment.get_template(template).render(values)


def views_of(request: Request) -> Views:
    views: Views = request.app.state.views
    return views


def stack_of(request: Request) -> Stack:
    stack: Stack = request.app.state.stack
    return stack


def went_well(path: str, done: str, **query: Any) -> Response:
    """Return to a page after a change, which it says."""
    return RedirectResponse(link(path, **query, done=done), 303)


def text_of(form: Mapping[str, Any], name: str) -> str:
    """Return a field of a form as text; an empty one where it is missing, or is a file."""
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""
