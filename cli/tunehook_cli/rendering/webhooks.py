"""Received webhooks as text and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from rich.highlighter import JSONHighlighter
from rich.text import Text

from tunehook.times import from_ms, iso
from tunehook_cli import output

if TYPE_CHECKING:
    from rich.console import Console

    from tunehook_cli.listener import ReceivedWebhook

_TITLES_CHARS: Final = 60
"""How much of the titles stands in a line."""

_SHOWN_CHARS: Final = 1000
"""How much is shown of a body that is no JSON."""


def print_webhook(webhook: ReceivedWebhook) -> None:
    """Print a webhook as one line: when it came, whether it is genuine, what it is about, and the answer."""
    _print_line(webhook, _content(webhook))


def print_whole_webhook(webhook: ReceivedWebhook) -> None:
    """Print the line of a webhook, and its body below."""
    content = _content(webhook)
    page = _print_line(webhook, content)
    page.print(JSONHighlighter()(Text(_body(webhook, content))), soft_wrap=True)


def _print_line(webhook: ReceivedWebhook, content: Any) -> Console:
    line = Text(output.clock_time(webhook.at_ms), style="dim")
    if webhook.problem is None:
        parts = [
            ("verified", "bold green"),
            (_kind(content), "bold"),
            (_task(content), ""),
            (_titles(content), ""),
        ]
    else:
        parts = [("INVALID", "bold red"), (webhook.problem, "red")]
    for text, style in (*parts, (_remarks(webhook, content), "dim")):
        if text:
            line.append(f"  {output.printable(text)}", style=style)
    page = output.console()
    page.print(line, soft_wrap=True)
    return page


def print_json_webhook(webhook: ReceivedWebhook) -> None:
    """Print a webhook as one line of JSON, with the body as the text that was signed."""
    document = {
        "received_at": iso(from_ms(webhook.at_ms)),
        "verified": webhook.problem is None,
        "problem": webhook.problem,
        "times": webhook.times,
        "path": webhook.path,
        "headers": {name.lower(): value for name, value in webhook.headers},
        "body": webhook.body.decode("utf-8", "replace"),
        "forwarded": webhook.forwarded,
        "answer": webhook.answer,
    }
    output.print_json_line(document)


def _content(webhook: ReceivedWebhook) -> Any:
    try:
        return json.loads(webhook.body)
    except ValueError:
        return None


def _kind(content: Any) -> str:
    """Return the event's type; a body in the format ``provider`` has none, but a status."""
    if not isinstance(content, dict):
        return "no object"
    return str(content.get("type") or f"task {content.get('status')}")


def _task(content: Any) -> str:
    """Return provider and task id, or what an operational event is about, as far as the body has them."""
    parts = [content, content.get("data")] if isinstance(content, dict) else []
    objects = [part for part in parts if isinstance(part, dict)]
    values = (
        next((str(part[name]) for part in objects if part.get(name)), "")
        for name in ("provider", "task_id", "subscription_id", "queue")
    )
    return " ".join(filter(None, values))


def _titles(content: Any) -> str:
    """Return the titles of the clips, each once."""
    data = content.get("data") if isinstance(content, dict) else None
    clips = data.get("clips") if isinstance(data, dict) else data
    if not isinstance(clips, list):
        return ""
    found = (str(clip["title"]) for clip in clips if isinstance(clip, dict) and clip.get("title"))
    titles = ", ".join(dict.fromkeys(found))
    return titles if len(titles) <= _TITLES_CHARS else f"{titles[: _TITLES_CHARS - 1].rstrip()}…"


def _remarks(webhook: ReceivedWebhook, content: Any) -> str:
    remarks = []
    data = content.get("data") if isinstance(content, dict) else None
    if isinstance(data, dict):
        remarks += ["sample"] if data.get("sample") is True else []
        remarks += [f"archive {data['archive']}"] if data.get("archive") not in (None, "complete") else []
    if webhook.times > 1:
        remarks.append(f"duplicate (received {webhook.times} times)")
    remarks.append(f"forwarded: {webhook.forwarded}" if webhook.forwarded else f"answered {webhook.answer}")
    return ", ".join(remarks)


def _body(webhook: ReceivedWebhook, content: Any) -> str:
    if content is None:
        return output.printable(webhook.body.decode("utf-8", "replace")[:_SHOWN_CHARS])
    pretty = json.dumps(content, indent=2, ensure_ascii=False)
    return "\n".join(map(output.printable, pretty.splitlines()))
