"""What the sandbox has seen: its tasks, every query, every webhook."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from tunehook.times import iso
from tunehook_local.sandbox.answer_sequence import AnswerSequence, stable_fraction
from tunehook_local.sandbox.callback_forms import CallbackForm, Wanted
from tunehook_local.sandbox.model import Kind, Phase
from tunehook_local.sandbox.scenario import FirstRules, Scenario, TaskRule
from tunehook_local.sandbox.scripted_answers import ScriptedAnswer, TaskAnswer

Clock = Callable[[], datetime]
Query = Literal["one", "many"]

_UNKNOWN_TASK = TaskRule(answers=(TaskAnswer(phase=Phase.NOT_FOUND),))


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """What the sandbox knows of one task at one moment; all times in UTC.

    A task begins when it is first polled, or made; until it ends, `ended_at` and `outcome` (completed or failed) are
    None. `polled_at` holds the queries of it alone and among many.
    """

    kind: Kind
    task_id: str
    first_seen_at: datetime
    ended_at: datetime | None
    outcome: Phase | None
    polled_at: tuple[datetime, ...]

    @property
    def poll_count(self) -> int:
        return len(self.polled_at)

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "task_id": self.task_id,
            "first_seen_at": iso(self.first_seen_at),
            "ended_at": None if self.ended_at is None else iso(self.ended_at),
            "outcome": self.outcome,
            "asked": self.poll_count,
            "asked_at": [iso(moment) for moment in self.polled_at],
        }


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request that reached a receiver, as it was sent.

    `name` is the first part of the path below ``/receiver/``; `path` holds the query string. Names of headers are in
    lower case; one that came twice is joined by a comma.
    """

    received_at: datetime
    name: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def as_json(self) -> dict[str, Any]:
        """Return all of it; `body` is the text, or None with the bytes in `body_base64` where they are no UTF-8."""
        text, encoded = None, None
        try:
            text = self.body.decode()
        except UnicodeDecodeError:
            encoded = base64.b64encode(self.body).decode()
        return asdict(self) | {"received_at": iso(self.received_at), "body": text, "body_base64": encoded}


@dataclass(frozen=True, slots=True)
class ReceivedSubmission:
    """A submission that a provider has taken, and the fields of its body."""

    kind: Kind
    task_id: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SentCallback:
    """One attempt to call a callback URL; `status` is None where no answer came. The URL, a secret, is not kept."""

    at: datetime
    kind: Kind
    task_id: str
    form: CallbackForm
    moment: str
    attempt: int
    status: int | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"at": iso(self.at)}


@dataclass(slots=True, eq=False)
class Task:
    """One task of a provider, from the moment the sandbox first heard of it."""

    kind: Kind
    task_id: str
    rule: TaskRule
    submitted_at: datetime
    callback: Wanted | None = field(default=None, repr=False)
    updated_at: datetime = field(init=False)
    """When the answer that was given last began to hold; when it was given, where that depends on the queries."""
    polled_at: list[datetime] = field(init=False, default_factory=list)
    _answers: AnswerSequence[TaskAnswer] = field(init=False)
    _end_seen_at: datetime | None = field(init=False, default=None)
    _last_answer: TaskAnswer | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.updated_at = self.submitted_at
        fraction = stable_fraction(self.kind, self.task_id)
        self._answers = AnswerSequence(self.rule.answers, self.submitted_at, fraction)

    def peek(self, now: datetime) -> TaskAnswer:
        return self._note(self._answers.peek(now), now)

    def take(self, now: datetime) -> TaskAnswer:
        return self._note(self._answers.take(now), now)

    def ended_at(self, now: datetime) -> datetime | None:
        begins_at = self._answers.begins_at(lambda answer: answer.final) or self._end_seen_at
        return begins_at if begins_at is not None and begins_at <= now else None

    def record(self, now: datetime) -> TaskRecord:
        ended_at = self.ended_at(now)
        outcome = next(answer.phase for answer in self.rule.answers if answer.final) if ended_at else None
        polled_at = tuple(self.polled_at)
        return TaskRecord(self.kind, self.task_id, self.submitted_at, ended_at, outcome, polled_at)

    def _note(self, answer: TaskAnswer | None, now: datetime) -> TaskAnswer:
        assert answer is not None, "the last answer of a task holds for ever"
        if answer is not self._last_answer:
            self._last_answer = answer
            self.updated_at = self._answers.begins_at(lambda each: each is answer) or now
        if answer.final and self._end_seen_at is None:
            self._end_seen_at = now
        return answer


class Ledger:
    """All that happened in a sandbox since it was started or reset. The scenario decides the answers."""

    def __init__(self, scenario: Scenario, clock: Clock = utc_now) -> None:
        self.scenario = scenario
        self.clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget everything: tasks are seen for the first time again, sequences of answers begin anew."""
        self._tasks: dict[tuple[Kind, str], Task] = {}
        self._queries: Counter[tuple[Kind, Query]] = Counter()
        self._sequences: dict[tuple[str, str], AnswerSequence[ScriptedAnswer]] = {}
        self._received: list[ReceivedRequest] = []
        self._submitted: list[ReceivedSubmission] = []
        self._times: Counter[tuple[str, str]] = Counter()
        self._sent: list[SentCallback] = []

    def create_task(
        self,
        kind: Kind,
        task_id: str,
        *,
        rule: TaskRule | None = None,
        age_s: float = 0,
        callback: Wanted | None = None,
    ) -> Task:
        """Let a task begin now or `age_s` seconds ago, by the scenario or its own `rule`, in place of its namesake."""
        rule = rule or self.scenario.task_rule(kind, task_id) or _UNKNOWN_TASK
        task = Task(kind, task_id, rule, self.clock() - timedelta(seconds=age_s), callback)
        self._tasks[kind, task_id] = task
        return task

    def submit(
        self,
        kind: Kind,
        task_id: str,
        fields: dict[str, Any],
        *,
        callback: Wanted | None = None,
        is_lyrics: bool = False,
    ) -> Task:
        """Let a task begin that was submitted; the rule is that of the title in its `fields`, where it has one."""
        title = fields.get("title")
        rule = self.scenario.task_rule(kind, title if isinstance(title, str) and title else task_id)
        if rule is not None and is_lyrics:
            rule = rule.model_copy(update={"lyrics": True})
        task = self.create_task(kind, task_id, rule=rule, callback=callback)
        self._submitted.append(ReceivedSubmission(kind, task_id, fields))
        return task

    def submitted(self, kind: Kind | None = None) -> list[ReceivedSubmission]:
        return [each for each in list(self._submitted) if kind in (None, each.kind)]

    def poll(self, kind: Kind, task_id: str) -> Task:
        """Return a task and note that it was polled; one that was never heard of begins now."""
        task = self._tasks.get((kind, task_id)) or self.create_task(kind, task_id)
        task.polled_at.append(self.clock())
        return task

    def is_forgotten(self, task: Task) -> bool:
        """Return whether another has taken the place of a task, or all was forgotten."""
        return self._tasks.get((task.kind, task.task_id)) is not task

    def add_sent(self, callback: SentCallback) -> None:
        self._sent.append(callback)

    def sent(self, task_id: str | None = None) -> list[SentCallback]:
        return [each for each in list(self._sent) if task_id in (None, each.task_id)]

    def tasks(self, kind: Kind) -> list[Task]:
        own = [task for task in list(self._tasks.values()) if task.kind is kind]
        return sorted(own, key=lambda task: task.submitted_at, reverse=True)

    def task_records(self) -> list[TaskRecord]:
        now = self.clock()
        return [task.record(now) for task in list(self._tasks.values())]

    def count_query(self, kind: Kind, query: Query) -> None:
        self._queries[kind, query] += 1

    def queries(self, kind: Kind) -> dict[str, int]:
        """Return how many queries of ``one`` task and of ``many`` a provider got; refused ones count."""
        return {"one": self._queries[kind, "one"], "many": self._queries[kind, "many"]}

    def is_signed(self, kind: Kind, task_id: str) -> bool:
        task = self._tasks.get((kind, task_id))
        rule = self.scenario.task_rule(kind, task_id) if task is None else task.rule
        return rule is not None and rule.signed

    def take(self, rules: FirstRules, subject: str) -> ScriptedAnswer | None:
        """Return what the scenario has for a kind, an asset or a receiver, and count it as given."""
        rule = self.scenario.first_rule(rules, subject)
        if rule is None:
            return None
        key = (rules, subject)
        if key not in self._sequences:
            self._sequences[key] = AnswerSequence(rule.answers, self.clock(), stable_fraction(*key))
        return self._sequences[key].take(self.clock())

    def add_received(self, request: ReceivedRequest) -> int:
        """Keep a request; return how many with its ``webhook-id`` have reached its receiver, this one included."""
        self._received.append(request)
        key = (request.name, request.headers.get("webhook-id", ""))
        self._times[key] += 1
        return self._times[key] if key[1] else 1

    def received(self, name: str | None = None) -> list[ReceivedRequest]:
        return [request for request in list(self._received) if name in (None, request.name)]
