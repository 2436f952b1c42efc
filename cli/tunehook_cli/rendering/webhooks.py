"""Received webhooks as text and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from rich.highlighter import JSONHighlighter
from rich.text import Text

from tunehook.times import from_ms, iso
from tunehook_cli import output

if TYPE_CHECKING:
    from tunehook_cli.listener import ReceivedWebhook

_SHOWN_CHARS: Final = 1000
"""How much is shown of a body that is no JSON."""


def print_webhook(webhook: ReceivedWebhook) -> None:
    content = _content(webhook)
    line = Text(output.clock_time(webhook.at_ms), style="dim")
    if webhook.problem is None:
        parts = (("verified", "bold green"), (_kind(content), "bold"))
    else:
        parts = (("INVALID", "bold red"), (webhook.problem, "red"))
    for text, style in (*parts, (_remarks(webhook, content), "dim")):
        line.append(f"  {output.printable(text)}", style=style)
    page = output.console()
    page.print(line, soft_wrap=True)
    page.print(JSONHighlighter()(Text(_body(webhook, content))), soft_wrap=True)


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


def _remarks(webhook: ReceivedWebhook, content: Any) -> str:
    remarks = [webhook.header("webhook-id"), output.size(len(webhook.body))]
    data = content.get("data") if isinstance(content, dict) else None
    if isinstance(data, dict) and "archive" in data:
        remarks.append(f"archive {data['archive']}")
    if webhook.times > 1:
        remarks.append(f"for the {webhook.times}. time")
    remarks.append(f"forwarded: {webhook.forwarded}" if webhook.forwarded else f"answered {webhook.answer}")
    return ", ".join(filter(None, remarks))


def _body(webhook: ReceivedWebhook, content: Any) -> str:
    if content is None:
        return output.printable(webhook.body.decode("utf-8", "replace")[:_SHOWN_CHARS])
    pretty = json.dumps(content, indent=2, ensure_ascii=False)
    return "\n".join(map(output.printable, pretty.splitlines()))
