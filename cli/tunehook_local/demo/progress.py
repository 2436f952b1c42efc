"""Prints a line for each change, on a terminal and into a file alike."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape

from tunehook_local.demo.check import TASKS, DemoTask
from tunehook_local.demo.observer import Observer

_STYLES = {"completed": "green", "failed": "red"}
_WEBHOOKS = len(TASKS) + sum(task.has_hook for task in TASKS)


@dataclass(slots=True)
class Progress:
    """Prints what has changed since the last call of `update`."""

    console: Console
    observer: Observer
    _started: float = field(default_factory=time.monotonic)
    _states: dict[str, str] = field(default_factory=dict)
    _file_counts: dict[str, int] = field(default_factory=dict)
    _called_back: set[str] = field(default_factory=set)
    _webhooks: int = 0

    def update(self) -> bool:
        """Print what is new; return whether every task has ended and every webhook that is due has come."""
        received = self.observer.received()
        for task in TASKS:
            self._update_task(task)
        for webhook in received[self._webhooks :]:
            content = webhook.content
            text = f"webhook {content['type']} at {webhook.receiver}"
            self._print_line(content["data"]["task_id"], text, "cyan")
        self._webhooks = len(received)
        return self._ended == len(TASKS) and self._webhooks >= _WEBHOOKS

    @property
    def summary(self) -> str:
        """How far it all is, in a few words."""
        files = sum(self._file_counts.values())
        return (
            f"{self._ended} of {len(TASKS)} tasks ended, {files} objects in S3, "
            f"{self._webhooks} of {_WEBHOOKS} webhooks"
        )

    @property
    def _ended(self) -> int:
        return sum(state in ("completed", "failed", "rejected") for state in self._states.values())

    def _update_task(self, task: DemoTask) -> None:
        if self._has_called_back(task):
            self._called_back.add(task.task_id)
            self._print_line(task.task_id, f"{task.provider} calls back")
        item = self.observer.task(task.provider, task.task_id)
        status = item.get("status", "new")
        state = item.get("phase", "accepted") if status == "pending" else status
        if state != self._states.get(task.task_id):
            self._states[task.task_id] = state
            reason = f": {item['failure']['reason']}" if "failure" in item else ""
            self._print_line(task.task_id, f"{state}{reason}", _STYLES.get(state, ""))
        count = len(self.observer.keys(task.provider, task.task_id))
        if count != self._file_counts.get(task.task_id, 0):
            self._file_counts[task.task_id] = count
            self._print_line(task.task_id, f"{count} object{'s' * (count > 1)} in S3")

    def _has_called_back(self, task: DemoTask) -> bool:
        """Return whether the provider has called back since the last look, and the stack has taken it."""
        if not task.calls_back or task.task_id in self._called_back:
            return False
        return 200 in self.observer.callbacks(task.task_id)

    def _print_line(self, task_id: str, text: str, style: str = "") -> None:
        styled = f"[{style}]{escape(text)}[/]" if style else escape(text)
        seconds = time.monotonic() - self._started
        self.console.print(f"  {seconds:5.1f} s  {task_id:<18} {styled}", highlight=False)
