"""What happens, as it happens: a line a change, on a terminal and in a log alike."""

from __future__ import annotations

import time

from rich.console import Console
from rich.markup import escape

from tunehook_local.demo.observer import Observer, ReceivedWebhook
from tunehook_local.demo.plan import TASKS, DemoTask

_STYLES = {"completed": "green", "failed": "red", "webhook": "cyan"}


class Progress:
    """Prints what has changed since the last look.

    Parameters
    ----------
    console : Console
        Where to print.
    observer : Observer
        Where to look.
    """

    def __init__(self, console: Console, observer: Observer) -> None:
        self._console = console
        self._world = observer
        self._started = time.monotonic()
        self._states: dict[str, str] = {}
        self._file_counts: dict[str, int] = {}
        self._webhooks = 0

    def look(self) -> bool:
        """Print what is new; return whether every task has ended and every webhook that is due has come."""
        received = self._world.received()
        for task in TASKS:
            self._look_at(task)
        for webhook in received[self._webhooks :]:
            self._tell_webhook(webhook)
        self._webhooks = len(received)
        ended = all(state in ("completed", "failed", "rejected") for state in self._states.values())
        return ended and len(received) >= len(TASKS) + sum(task.has_hook for task in TASKS)

    def say(self, what: str, text: str, style: str = "") -> None:
        """Print one line with the seconds since the tasks were put."""
        styled = f"[{style}]{escape(text)}[/]" if style else escape(text)
        self._console.print(
            f"  {time.monotonic() - self._started:5.1f} s  {what:<18} {styled}", highlight=False
        )

    def _look_at(self, task: DemoTask) -> None:
        item = self._world.task(task.provider, task.task_id)
        status = item.get("status", "put into the table")
        state = item.get("phase", "accepted") if status == "pending" else status
        if state != self._states.get(task.task_id):
            self._states[task.task_id] = state
            reason = f": {item['failure']['reason']}" if "failure" in item else ""
            self.say(task.task_id, f"{state}{reason}", _STYLES.get(state, ""))
        count = self._world.count_files(task.provider, task.task_id)
        if count != self._file_counts.get(task.task_id, 0):
            self._file_counts[task.task_id] = count
            self.say(task.task_id, f"{count} object{'s' * (count > 1)} in S3")

    def _tell_webhook(self, webhook: ReceivedWebhook) -> None:
        content = webhook.content
        self.say(
            content["data"]["task_id"], f"webhook {content['type']} at {webhook.receiver}", _STYLES["webhook"]
        )
