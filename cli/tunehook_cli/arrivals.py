"""Webhooks that have arrived, for people and for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tunehook.times import from_ms, iso
from tunehook_cli import output

if TYPE_CHECKING:
    from tunehook_cli.listener import Arrival

_SHOWN_CHARS: Final = 1000
"""How much is shown of a body that is no JSON."""


def print_arrival(arrival: Arrival) -> None:
    """Print what has arrived: a line about it, and its body."""
    from rich.highlighter import JSONHighlighter
    from rich.text import Text

    content = _content(arrival)
    line = Text(output.clock_time(arrival.at_ms), style="dim")
    if arrival.problem is None:
        line.append("  verified", style="bold green")
        line.append(f"  {output.printable(_kind(content))}", style="bold")
    else:
        line.append("  INVALID", style="bold red")
        line.append(f"  {output.printable(arrival.problem)}", style="red")
    line.append(f"  {output.printable(_remarks(arrival, content))}", style="dim")
    page = output.console()
    page.print(line, soft_wrap=True)
    page.print(JSONHighlighter()(Text(_body(arrival, content))), soft_wrap=True)


def print_json_arrival(arrival: Arrival) -> None:
    """Print what has arrived as one line of JSON, with the body as the text that was signed."""
    document = {
        "received_at": iso(from_ms(arrival.at_ms)),
        "verified": arrival.problem is None,
        "problem": arrival.problem,
        "times": arrival.times,
        "path": arrival.path,
        "headers": {name.lower(): value for name, value in arrival.headers},
        "body": arrival.body.decode("utf-8", "replace"),
        "forwarded": arrival.forwarded,
        "answer": arrival.answer,
    }
    output.print_json_line(document)


def _content(arrival: Arrival) -> Any:
    try:
        return json.loads(arrival.body)
    except ValueError:
        return None


def _kind(content: Any) -> str:
    """Return the event's type; a body in the format ``provider`` has none, but a status."""
    if not isinstance(content, dict):
        return "no object"
    return str(content.get("type") or f"task {content.get('status')}")


def _remarks(arrival: Arrival, content: Any) -> str:
    remarks = [arrival.header("webhook-id"), output.size(len(arrival.body))]
    data = content.get("data") if isinstance(content, dict) else None
    if isinstance(data, dict) and "archive" in data:
        remarks.append(f"archive {data['archive']}")
    if arrival.times > 1:
        remarks.append(f"for the {arrival.times}. time")
    remarks.append(f"forwarded: {arrival.forwarded}" if arrival.forwarded else f"answered {arrival.answer}")
    return ", ".join(filter(None, remarks))


def _body(arrival: Arrival, content: Any) -> str:
    if content is None:
        return output.printable(arrival.body.decode("utf-8", "replace")[:_SHOWN_CHARS])
    pretty = json.dumps(content, indent=2, ensure_ascii=False)
    return "\n".join(map(output.printable, pretty.splitlines()))
