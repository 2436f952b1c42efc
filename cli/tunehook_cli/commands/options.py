"""The options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tunehook.errors import InvalidInput
from tunehook.event_patterns import EventPattern

StackName = Annotated[
    str | None,
    typer.Option(
        "--stack",
        envvar="TUNEHOOK_STACK",
        show_default="tunehook",
        help="The CloudFormation stack to work with.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
BodyFormat = Annotated[
    str | None,
    typer.Option(help="The format of the body: standard, provider or cloudevents.", show_default="standard"),
]
Again = Annotated[
    bool, typer.Option("--again", help="Allow a second subscription of the same URL to the same events.")
]
Verify = Annotated[
    bool,
    typer.Option("--verify", help="Check the endpoint with one test first, and say what is wrong with it."),
]
Signature = Annotated[
    str | None,
    typer.Option(help="What signs the webhooks: v1 (HMAC-SHA256), v1a (Ed25519) or both.", show_default="v1"),
]
RetrySchedule = Annotated[
    str | None,
    typer.Option(
        metavar="WAITS",
        help="The waits between attempts, such as 5s,5m,1h; 1 to 20, each 1s to 24h.",
        show_default="ten attempts in 76 hours",
    ),
]
Timeout = Annotated[
    str | None, typer.Option("--timeout", help="How long an attempt may take, 1s to 15s.", show_default="15s")
]
RateLimit = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBER",
        help="How many attempts may begin in a second, 0.1 to 1000.",
        show_default="no limit",
    ),
]
Filter = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="JSON|@FILE",
        help="Only what matches this pattern, in EventBridge's language, over the webhook's data.",
        show_default="all",
    ),
]
ProviderName = Annotated[str | None, typer.Option("--provider", help="The provider's name.")]
TaskId = Annotated[str, typer.Argument(metavar="TASK_ID", help="The task's id at the provider.")]


def pattern_in(text: str) -> dict[str, Any]:
    """Return the pattern of `--filter`: JSON, or ``@`` and the name of a file with it."""
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
            raise InvalidInput("filter", f"{text[1:]} cannot be read: {reason}") from None
    try:
        return EventPattern.read(text).to_json()
    except InvalidInput as error:
        # The name of the option takes the place of the field: the path of the mistake goes before the reason.
        reason = error.reason if error.field == "filter" else f"{error.field} {error.reason}"
        raise InvalidInput("filter", reason) from None


def key_values(texts: Sequence[str] | None) -> dict[str, str]:
    """Return the values of `--metadata`, each ``KEY=VALUE``."""
    pairs = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise InvalidInput("metadata", "must be KEY=VALUE")
        pairs[key] = value
    return pairs
