"""What the sandbox remembers: the tasks it was asked about, every question, every webhook."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from tunehook.times import iso
from tunehook_local.sandbox.answers import Answer, TaskAnswer
from tunehook_local.sandbox.model import Kind, Phase
from tunehook_local.sandbox.playback import Playback, spread_of
from tunehook_local.sandbox.scenario import Scenario, TaskRule

Clock = Callable[[], datetime]
Query = Literal["one", "many"]

_UNKNOWN_TASK = TaskRule(answers=(TaskAnswer(phase=Phase.NOT_FOUND),))


def utc_now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class TaskBook:
    """What the sandbox knows of one task at one moment.

    Parameters
    ----------
    kind, task_id : str
        Which task.
    first_seen_at : datetime
        When it was first asked about, or made.
    ended_at : datetime or None
        When its provider knew that it had ended; None while it runs.
    outcome : str or None
        ``completed`` or ``failed``; None while it runs.
    asked_at : tuple of datetime
        The moment of every question about it, single or among many.
    """

    kind: Kind
    task_id: str
    first_seen_at: datetime
    ended_at: datetime | None
    outcome: Phase | None
    asked_at: tuple[datetime, ...]

    @property
    def asked(self) -> int:
        """How often the task was asked about."""
        return len(self.asked_at)

    def as_json(self) -> dict[str, Any]:
        """Return the book as JSON values, times in ISO-8601."""
        return {
            "kind": self.kind,
            "task_id": self.task_id,
            "first_seen_at": iso(self.first_seen_at),
            "ended_at": None if self.ended_at is None else iso(self.ended_at),
            "outcome": self.outcome,
            "asked": self.asked,
            "asked_at": [iso(moment) for moment in self.asked_at],
        }


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request that reached a receiver, as it came over the wire.

    Parameters
    ----------
    received_at : datetime
        When its body had been read.
    name : str
        The receiver: the first part of the path below ``/receiver/``.
    method : str
        The HTTP method.
    path : str
        The path with the query string.
    headers : dict of str to str
        By lower-case name; a header that came twice is joined by a comma.
    body : bytes
        The raw body.
    """

    received_at: datetime
    name: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def as_json(self) -> dict[str, Any]:
        """Return the request as JSON values: the time in ISO-8601, the body in base64."""
        return {
            "received_at": iso(self.received_at),
            "name": self.name,
            "method": self.method,
            "path": self.path,
            "headers": self.headers,
            "body": base64.b64encode(self.body).decode(),
        }


class Task:
    """One task of a provider, from the moment the sandbox first heard of it."""

    def __init__(self, kind: Kind, task_id: str, rule: TaskRule, submitted_at: datetime) -> None:
        self.kind = kind
        self.task_id = task_id
        self.rule = rule
        self.submitted_at = submitted_at
        self.asked_at: list[datetime] = []
        self._playback = Playback(rule.answers, submitted_at, spread_of(kind, task_id))
        self._seen_ended_at: datetime | None = None
        self._last_answer: TaskAnswer | None = None
        self.updated_at = submitted_at
        """When the answer that was given last began to hold: as far as that can be told, else when it was given."""

    def look(self, now: datetime) -> TaskAnswer:
        """Return the answer that holds at `now` without giving it."""
        return self._noted(self._playback.current(now), now)

    def answer(self, now: datetime) -> TaskAnswer:
        """Return the answer that holds at `now` and count it as given."""
        return self._noted(self._playback.play(now), now)

    def ended_at(self, now: datetime) -> datetime | None:
        """Return when the task ended, or None if it had not by `now`."""
        begins_at = self._playback.begins_at(lambda answer: answer.final) or self._seen_ended_at
        return begins_at if begins_at is not None and begins_at <= now else None

    def book(self, now: datetime) -> TaskBook:
        """Return what is known of the task at `now`."""
        ended_at = self.ended_at(now)
        outcome = next(answer.phase for answer in self.rule.answers if answer.final) if ended_at else None
        return TaskBook(self.kind, self.task_id, self.submitted_at, ended_at, outcome, tuple(self.asked_at))

    def _noted(self, answer: TaskAnswer | None, now: datetime) -> TaskAnswer:
        assert answer is not None, "the last answer of a task holds for ever"
        if answer is not self._last_answer:
            self._last_answer = answer
            self.updated_at = self._playback.begins_at(lambda each: each is answer) or now
        if answer.final and self._seen_ended_at is None:
            self._seen_ended_at = now
        return answer


class Books:
    """All that happened in a sandbox since it was started or reset.

    Parameters
    ----------
    scenario : Scenario
        Decides the answers.
    clock : callable
        Gives the present moment in UTC.
    """

    def __init__(self, scenario: Scenario, clock: Clock = utc_now) -> None:
        self.scenario = scenario
        self.clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget everything: tasks are seen for the first time again, sequences of answers begin anew."""
        self._tasks: dict[tuple[Kind, str], Task] = {}
        self._queries: Counter[tuple[Kind, Query]] = Counter()
        self._playbacks: dict[tuple[str, str], Playback[Answer]] = {}
        self._received: list[ReceivedRequest] = []

    def create_task(
        self, kind: Kind, task_id: str, *, rule: TaskRule | None = None, age_s: float = 0
    ) -> Task:
        """Let a task begin now, or `age_s` seconds ago; one of the same name is forgotten.

        Parameters
        ----------
        rule : TaskRule, optional
            How the task behaves; the scenario decides by default.
        """
        rule = rule or self.scenario.task_rule(kind, task_id) or _UNKNOWN_TASK
        task = Task(kind, task_id, rule, self.clock() - timedelta(seconds=age_s))
        self._tasks[kind, task_id] = task
        return task

    def asked_about(self, kind: Kind, task_id: str) -> Task:
        """Return a task and note that it was asked about; one that was never heard of begins now."""
        task = self._tasks.get((kind, task_id)) or self.create_task(kind, task_id)
        task.asked_at.append(self.clock())
        return task

    def tasks(self, kind: Kind) -> list[Task]:
        """Return a provider's tasks, newest first."""
        own = [task for task in list(self._tasks.values()) if task.kind is kind]
        return sorted(own, key=lambda task: task.submitted_at, reverse=True)

    def count_query(self, kind: Kind, query: Query) -> None:
        """Note that a provider was asked, whatever it will answer."""
        self._queries[kind, query] += 1

    def queries(self, kind: Kind, query: Query) -> int:
        """Return how many queries of one task, or of many, a provider got; refused ones count."""
        return self._queries[kind, query]

    def play_query_many(self, kind: Kind) -> Answer | None:
        """Return what the scenario has for a query of many tasks, and count it as given."""
        rule = self.scenario.query_many_rule(kind)
        return None if rule is None else self._play("query_many", kind, rule.answers)

    def play_asset(self, path: str) -> Answer | None:
        """Return what the scenario has for an asset, and count it as given."""
        rule = self.scenario.asset_rule(path)
        return None if rule is None else self._play("assets", path, rule.answers)

    def is_signed(self, kind: Kind, task_id: str) -> bool:
        """Return whether the links of a task's clips hold a signature."""
        task = self._tasks.get((kind, task_id))
        rule = self.scenario.task_rule(kind, task_id) if task is None else task.rule
        return rule is not None and rule.signed

    def play_receiver(self, name: str) -> Answer | None:
        """Return what the scenario has for a receiver, and count it as given."""
        rule = self.scenario.receiver_rule(name)
        return None if rule is None else self._play("receivers", name, rule.answers)

    def task_books(self) -> list[TaskBook]:
        """Return the book of every task, in the order in which they were first seen."""
        now = self.clock()
        return [task.book(now) for task in list(self._tasks.values())]

    def note_received(self, request: ReceivedRequest) -> None:
        """Keep a request that reached a receiver."""
        self._received.append(request)

    def received(self, name: str | None = None) -> list[ReceivedRequest]:
        """Return the requests that reached the receiver `name`, or any, oldest first."""
        return [request for request in list(self._received) if name in (None, request.name)]

    def _play(self, group: str, subject: str, answers: tuple[Answer, ...]) -> Answer | None:
        if (group, subject) not in self._playbacks:
            self._playbacks[group, subject] = Playback(answers, self.clock(), spread_of(group, subject))
        return self._playbacks[group, subject].play(self.clock())
