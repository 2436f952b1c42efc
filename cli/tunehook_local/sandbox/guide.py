"""What a sandbox says of itself: at its start, and at its root."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final, Protocol

from aiohttp import web

from tunehook_local.sandbox.model import Kind, Phase
from tunehook_local.sandbox.scenario import Scenario, TaskRule

_ENDS: Final = {
    Phase.QUEUED: "stays queued",
    Phase.PROCESSING: "stays in progress",
    Phase.COMPLETED: "completes",
    Phase.FAILED: "fails",
    Phase.NOT_FOUND: "is not known",
    Phase.UNAUTHORISED: "is refused: wrong key",
}
_MOST_RULES: Final = 12


class Places(Protocol):
    """The URLs of a sandbox that runs."""

    @property
    def url(self) -> str: ...
    def base_url(self, kind: Kind | str) -> str: ...
    def receiver_url(self, name: str) -> str: ...


def api_key(kind: Kind | str) -> str:
    """Return the key of the configuration that the sandbox prints; it accepts any other, too."""
    return f"sandbox-key-{Kind(kind)}"


def set_command(places: Places, kind: Kind) -> str:
    return (
        f"tunehook providers set {kind} --kind {kind} "
        f"--base-url {places.base_url(kind)} --api-key {api_key(kind)}"
    )


def task_lines(scenario: Scenario) -> list[str]:
    """Return what becomes of tasks, a line for each rule of the scenario: the ids that match it, and how they end."""
    rules = [(_subject(rule), _end(rule)) for rule in scenario.tasks[:_MOST_RULES]]
    width = max((len(subject) for subject, _ in rules), default=0)
    lines = [f"{subject:<{width}}  {end}" for subject, end in rules]
    if (left := len(scenario.tasks) - len(rules)) > 0:
        lines.append(f"and {left} more")
    return lines or ["none: every task is unknown"]


def _subject(rule: TaskRule) -> str:
    pattern = "any other id" if rule.task_id == "*" else rule.task_id
    return pattern if rule.kind is None else f"{pattern} ({rule.kind})"


def _end(rule: TaskRule) -> str:
    *before, last = rule.answers
    words = f"answers HTTP {last.status}" if last.phase is None else _ENDS[last.phase]
    if not before:
        return words
    if (until_s := before[-1].until_s) is None:
        return f"{words} after {before[-1].times} polls"
    low, high = until_s
    return f"{words} after {low:g} s" if low == high else f"{words} after {low:g} to {high:g} s"


def guide(places: Places, scenario: Scenario) -> str:
    """Return what there is, with commands that can be pasted."""
    return "\n".join(_guide(places, scenario))


def _guide(places: Places, scenario: Scenario) -> Iterator[str]:
    yield f"The sandbox listens at {places.url}. Configure its providers with"
    yield ""
    for kind in Kind:
        yield f"  {set_command(places, kind)}"
    yield ""
    yield "(any key is accepted that does not contain `wrong`). Submit a task, such as"
    yield ""
    yield f"  tunehook submit {Kind.SUNO} my-task"
    yield f"  tunehook submit {Kind.SUNO} demo-failure"
    yield f'  echo \'{{"prompt": "rain"}}\' | tunehook submit {Kind.SUNO} --body -'
    yield ""
    yield "Its id decides what becomes of it:"
    yield ""
    for line in task_lines(scenario):
        yield f"  {line}"
    yield ""
    yield "A task that is submitted there with a callback URL (`notify_hook`, `callBackUrl` ...) calls it back:"
    yield ""
    yield f"  tunehook providers callback-url {Kind.SUNO}"
    yield f"  curl {places.url}/control/callbacks"
    yield ""
    yield f"Send webhooks to {places.receiver_url('<any name>')}, and look at them:"
    yield ""
    yield f"  tunehook subscribe {places.receiver_url('inbox')}"
    yield f"  curl {places.url}/control/received"
    yield ""
    yield f"How often it was polled: {places.url}/control/requests"


def add_guide_route(app: web.Application, places: Places, scenario: Scenario) -> None:
    """Put ``/`` into `app`: the guide as text, or as a page for what asks for HTML."""

    async def handle(request: web.Request) -> web.Response:
        text = guide(places, scenario)
        if "text/html" not in request.headers.get("accept", ""):
            return web.Response(text=f"{text}\n")
        page = escape(text)
        for path in ("/control/received", "/control/requests"):
            page = page.replace(f"{places.url}{path}", f'<a href="{path}">{places.url}{path}</a>')
        return web.Response(
            text=f"<!doctype html><title>tunehook sandbox</title><pre>{page}</pre>\n",
            content_type="text/html",
        )

    app.router.add_get("/", handle)
