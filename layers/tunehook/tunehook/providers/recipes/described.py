"""A kind that a recipe describes: its requests, and what its answers mean. No I/O happens here."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

from tunehook.errors import InvalidInput
from tunehook.providers import coerce
from tunehook.providers.adapter import (
    Adapter,
    Answer,
    Follow,
    Request,
    Screening,
    encoded_id,
    in_front,
    parsed,
    trouble,
)
from tunehook.providers.outcomes import (
    Failed,
    NotFound,
    Outcome,
    TaskResult,
    Throttled,
    Transient,
    Unauthorised,
)
from tunehook.providers.recipes.expressions import Expression, NoValue, Steps
from tunehook.providers.recipes.recipe import (
    PLACEHOLDER,
    TASK_ID,
    TASK_IDS,
    ClipExpression,
    OutputType,
    Recipe,
    Result,
    Said,
    TimeUnit,
    scalar_text,
)
from tunehook.providers.refusals import described, own_status, refusal, says_not_found
from tunehook.providers.results import (
    ReadClip,
    completed,
    has_file,
    read_clip,
    read_output,
    read_result,
    read_text,
)
from tunehook.providers.statuses import ENDED, StatusVocabulary, normal, pending
from tunehook.providers.submission_answers import MAX_ID, SubmissionAnswer, Submitted, Unclear

MAX_CLIPS: Final = 500
"""Of a task: more than can be kept of one."""

_MAX_TASK_ID: Final = 512
_MAX_REASON: Final = 1_000
_MAX_PROBLEMS: Final = 10
_MAX_CALLBACK_IDS: Final = 20
_NO_REASON: Final = "the provider gave no reason"
_SCALARS: Final = (str, int, float, bool)
_IN_A_SECOND: Final[Mapping[TimeUnit, float]] = {"s": 1, "ms": 1_000, "us": 1_000_000}
# A clip's fields, and where `read_clip` finds them.
_CLIP_FIELDS: Final = MappingProxyType(
    {
        "id": "id",
        "title": "title",
        "tags": "tags",
        "prompt": "prompt",
        "duration_s": "duration_s",
        "duration_ms": "duration_ms",
        "model": "model",
        "created_at": "created_at",
        "expires_at": "expires_at",
        "audio_url": "audio_url",
        "audio_source_url": "source_audio_url",
        "cover_url": "cover_url",
        "cover_source_url": "source_image_url",
        "large_cover_url": "image_large_url",
        "video_url": "video_url",
        "stream_url": "stream_audio_url",
        "stream_source_url": "source_stream_audio_url",
        "text": "text",
    }
)
_TIMES: Final = ("created_at", "expires_at")
_TOLD_OF_AN_OUTPUT: Final = ("title", "tags", "prompt", "duration_s", "model", "created_at", "expires_at")


@dataclass(frozen=True, slots=True)
class Gave:
    """What one expression gave: a JSON value, or the problem for which it gave none."""

    name: str
    expression: str
    value: Any = field(repr=False)
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What each expression gave for an answer, in the order of evaluation, and what the answer means."""

    gave: tuple[Gave, ...]
    outcome: Outcome | Follow


class DescribedAdapter(Adapter):
    """Reads what a recipe says, and any other answer as every kind does.

    Only a word of the recipe ends a task. An expression that gives no value is as one that finds nothing, and the
    outcome tells it where it has a place for it.
    """

    kind = "described"
    payloads = (dict, list)

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.ids_per_call = None if recipe.ask_many is None else recipe.ask_many.ids_per_call
        self.actions = {} if recipe.submit is None else dict(recipe.submit.actions)
        words = recipe.words
        self._vocabulary = StatusVocabulary(
            {
                "queued": _spelled(words.queued),
                "processing": _spelled(words.processing),
                "succeeded": _spelled(words.succeeded),
                "failed": _spelled(words.failed),
            }
        )
        answers = recipe.answers
        self._said = _Saids(
            {"not_found": answers.not_found, "throttled": answers.throttled, "refused": answers.refused}
        )
        self._failed = _Saids({} if recipe.result is None else {"failed": recipe.result.failed})
        clips = recipe.clips
        self._clip_fields: list[tuple[str, str, Sequence[ClipExpression]]] = [
            (name, place, expressions)
            for name, place in _CLIP_FIELDS.items()
            if clips is not None and (expressions := getattr(clips, name)) is not None
        ]
        self._trace: list[Gave] | None = None

    # Requests

    def request(self, task_id: str) -> Request:
        ask = self.recipe.ask
        return self._request(ask, {TASK_ID: task_id})

    def many_request(self, task_ids: Sequence[str], _page: int, /) -> Request:
        """Return the request for these tasks, which has one page."""
        ask = self.recipe.ask_many
        if ask is None:
            return super().many_request(task_ids, _page)
        return self._request(ask, {TASK_IDS: list(task_ids)})

    def _request(self, ask: Any, values: Mapping[str, Any]) -> Request:
        encoded = {name: ",".join(map(encoded_id, _listed(value))) for name, value in values.items()}
        path = PLACEHOLDER.sub(lambda match: encoded[match[0]], ask.path)
        body = None if ask.body is None else _filled(ask.body, values)
        return Request(ask.method, path, body, {**self.recipe.headers, **ask.headers})

    def key_headers(self, api_key: str) -> Mapping[str, str]:
        key = self.recipe.key
        if key.where == "bearer":
            return super().key_headers(api_key)
        return {str(key.name).lower(): f"{key.prefix}{api_key}"} if key.where == "header" else {}

    def key_query(self, api_key: str, /) -> str:
        key = self.recipe.key
        return f"{quote(str(key.name), safe='')}={quote(api_key, safe='')}" if key.where == "query" else ""

    # Submissions and callbacks

    def wants_callback(self, body: Mapping[str, Any]) -> bool:
        submit = self.recipe.submit
        if submit is None or submit.callback is None:
            return submit is not None and submit.callback_query is not None
        place: Any = body
        for name in submit.callback.split("."):
            if place in (None, ""):
                return True
            if not isinstance(place, dict):
                return False
            place = place.get(name)
        return place in (None, "")

    def with_callback(self, body: Mapping[str, Any], url: str, _secret: str | None, /) -> Mapping[str, Any]:
        submit = self.recipe.submit
        if submit is None or submit.callback is None:
            return body
        return _with(body, submit.callback.split("."), url)

    def submission(
        self,
        action: str,
        body: Mapping[str, Any],
        callback_url: str | None = None,
        callback_secret: str | None = None,
    ) -> Request:
        """Return the request that submits a task, as for every kind; the URL may go into the body or the query."""
        submit = self.recipe.submit
        if submit is None:
            raise InvalidInput("provider", "has a recipe through which nothing can be submitted")
        request = super().submission(action, body, callback_url, callback_secret)
        path = request.path
        if callback_url is not None and submit.callback_query is not None:
            between = "&" if "?" in path else "?"
            path += f"{between}{quote(submit.callback_query)}={quote(callback_url, safe='')}"
        return Request("POST", path, request.body, {**self.recipe.headers, **submit.headers})

    def submitted_id(self, payload: Any) -> str | None:
        """Return the id of the new task in the JSON of an answer to a submission; None where the recipe finds none."""
        submit = self.recipe.submit
        if submit is None or submit.id is None:
            return None
        found = _Reading(self._trace).first("submit.id", submit.id, payload)
        return coerce.text(found, MAX_ID + 1)

    def accepts(self, answer: Answer, payload: Mapping[str, Any], /) -> bool | None:
        if self._said.of(answer, self._code(payload)) is not None:
            return False
        return True if 200 <= answer.status < 300 and self.submitted_id(payload) is not None else None

    def read_submission(self, answer: Answer) -> SubmissionAnswer:
        """Turn any answer to a submission into what it says of the new task; where ids are, the recipe says alone."""
        read = super().read_submission(answer)
        submit = self.recipe.submit
        if not isinstance(read, Submitted) or submit is None or submit.id is None:
            return read
        task_id = self.submitted_id(parsed(answer))
        if task_id is None:
            return Unclear(f"HTTP {answer.status}: the recipe finds no task id in it")
        return Submitted(task_id)

    def callback_ids(self, payload: Any, /) -> tuple[str, ...]:
        if self.recipe.callback is None:
            return ()
        found = _Reading(self._trace).first("callback.id", self.recipe.callback.id, payload)
        ids = (coerce.text(each, MAX_ID) for each in _listed(found)[:_MAX_CALLBACK_IDS])
        return tuple(dict.fromkeys(each for each in ids if each is not None))

    # Answers

    def has_envelope(self, payload: Mapping[str, Any]) -> bool:
        return self._code(payload) is not None

    def _code(self, payload: Any, reading: _Reading | None = None) -> Any:
        code = self.recipe.answers.code
        return None if code is None else (reading or _Reading(None)).first("answers.code", code, payload)

    def _error(self, payload: Any, reading: _Reading) -> Mapping[str, Any]:
        """Return the error of an answer: the recipe's message where it finds one, otherwise the answer itself."""
        said = _reason_text(reading.first("answers.message", self.recipe.answers.message, payload))
        if said:
            return {"message": said}
        return payload if isinstance(payload, dict) else {}

    def explain(self, answer: Answer, after: Follow | None = None) -> Explanation:
        """Return what each expression gives for an answer; that to the request of `after`, if given. Raises nothing."""
        trace: list[Gave] = []
        tracing = copy.copy(self)
        tracing._trace = trace
        outcome: Outcome | Follow
        if after is not None and isinstance(after.read, _SecondAnswer):
            outcome = dataclasses.replace(after.read, adapter=tracing)(answer)
        else:
            outcome = tracing.read(answer)
        return Explanation(tuple(trace), outcome)

    def read_payload(self, answer: Answer, payload: Any) -> Outcome | Follow | None:
        """Read the answer about one task."""
        reading = _Reading(self._trace)
        code = self._code(payload, reading)
        if (said := self._read_said(answer, payload, code, reading)) is not None:
            return said
        if not 200 <= answer.status < 300:
            return None
        place = self.recipe.task.object
        task = payload if place is None else reading.first("task.object", place, payload)
        outcome = self._read_task(task, answer, reading)
        if outcome is not None:
            return outcome
        if isinstance(payload, dict) and says_not_found(payload):
            return None  # as every kind reads it
        return trouble(answer, payload, self._unread("the recipe finds no status in it", payload, reading))

    def read_many_payload(self, answer: Answer, payload: Any) -> Screening | Outcome | None:
        """Read the tasks of an answer; those whose end takes another request, or has no status, are asked singly."""
        ask = self.recipe.ask_many
        reading = _Reading(self._trace)
        code = self._code(payload, reading)
        if (said := self._read_said(answer, payload, code, reading)) is not None or ask is None:
            return said
        if not 200 <= answer.status < 300:
            return None
        tasks = reading.first("ask_many.tasks", ask.tasks, payload)
        if not isinstance(tasks, list):
            return trouble(answer, payload, self._unread("the recipe finds no tasks in it", payload, reading))
        found: dict[str, Outcome | None] = {}
        for task in tasks:
            of_task = _Reading(self._trace, reading.steps)
            task_id = coerce.text(of_task.first("ask_many.id", ask.id, task), _MAX_TASK_ID)
            if task_id is not None:
                outcome = self._read_task(task, answer, of_task)
                found[task_id] = None if isinstance(outcome, Follow) else outcome
        return Screening(found)

    def _unread(self, what: str, payload: Any, reading: _Reading) -> str:
        said = _reason_text(reading.first("answers.message", self.recipe.answers.message, payload))
        return reading.told(f"{what}; it says: {said}" if said else what)

    def _read_said(self, answer: Answer, payload: Any, code: Any, reading: _Reading) -> Outcome | None:
        """Return what a status or a code of the recipe says, if the provider itself has answered."""
        name = self._said.of(answer, code)
        if name is None or in_front(answer, payload) is not None:
            return None
        error = self._error(payload, reading)
        detail = described(answer.status, error)
        if name == "throttled":
            return Throttled(answer.retry_after_s, detail=detail)
        if name == "refused":
            return refusal(answer.status, error, detail) or Unauthorised(detail)
        return NotFound(detail)

    def _read_task(self, task: Any, answer: Answer, reading: _Reading) -> Outcome | Follow | None:
        """Read what is said to be a task; None if it has no status."""
        recipe = self.recipe.task
        word = reading.first("task.status", recipe.status, task)
        if not isinstance(word, _SCALARS):
            return None
        word = scalar_text(word)
        status = self._vocabulary.classify(word)
        if status == "seems_failed":
            status = "unknown"
        if status not in ENDED:
            submitted_at = self._time(reading.first("task.submitted_at", recipe.submitted_at, task))
            read = partial(self._read_unended, task, answer, submitted_at)
            outcome = pending(
                status, word, submitted_at, read=read, may_have_clips=self.recipe.clips is not None
            )
            return dataclasses.replace(outcome, problem=reading.problem) if reading.problems else outcome
        ended = _Ended(
            task if isinstance(task, dict) else {"task": task},
            self._time(reading.first("task.submitted_at", recipe.submitted_at, task)),
            self._time(reading.first("task.started_at", recipe.started_at, task)),
            self._time(reading.first("task.finished_at", recipe.finished_at, task)),
        )
        if status == "succeeded" and self.recipe.result is not None:
            return self._follow(self.recipe.result, task, ended, reading)
        clips = self._clips(task, answer, reading)
        if status == "succeeded":
            return self._completed(ended, clips, reading)
        said = _reason_text(reading.first("task.reason", recipe.reason, task))
        return Failed(said or _NO_REASON, ended.result(clips, reading))

    def _read_unended(self, task: Any, answer: Answer, submitted_at: Any) -> TaskResult:
        """Return what an answer says already of a task whose result stands in the same place once it has ended."""
        reading = _Reading(None)
        clips = self._clips(task, answer, reading) if self.recipe.result is None else []
        ended = _Ended(task if isinstance(task, dict) else {"task": task}, submitted_at, None, None)
        return ended.result(clips, reading)

    def _follow(self, result: Result, task: Any, ended: _Ended, reading: _Reading) -> Follow | Outcome:
        values: dict[str, str] = {}
        for name, expressions in result.values.items():
            value = coerce.text(reading.first(f"result.values.{name}", expressions, task), _MAX_TASK_ID)
            if value is None or value in (".", ".."):
                reading.problems.append(f"result.values.{name}: gives nothing")
                return self._completed(ended, [], reading)
            values[f"{{{name}}}"] = value
        return Follow(partial(self._second_request, result, values), _SecondAnswer(self, ended))

    def _second_request(self, result: Result, values: Mapping[str, str], task_id: str) -> Request:
        return self._request(result, {TASK_ID: task_id, **values})

    def _read_second(self, ended: _Ended, answer: Answer) -> Outcome:
        payload = parsed(answer)
        result = self.recipe.result
        if type(payload) not in self.payloads or result is None:
            return trouble(answer, payload)
        reading = _Reading(self._trace)
        code = self._code(payload, reading)
        if self._failed.of(answer, code) is not None and in_front(answer, payload) is None:
            said = _reason_text(reading.first("result.reason", result.reason, payload))
            ended = dataclasses.replace(ended, task={**ended.task, "result": payload})
            return Failed(
                said or described(answer.status, self._error(payload, reading)),
                ended.result([], reading),
            )
        said_of = self._read_said(answer, payload, code, reading)
        if isinstance(said_of, NotFound):
            return Transient(f"{said_of.detail}: the task has succeeded, and its result is not found")
        if said_of is not None:
            return said_of
        is_error = isinstance(payload, dict) and own_status(payload) is not None
        if is_error or not 200 <= answer.status < 300:
            return trouble(answer, payload)
        found = payload if result.object is None else reading.first("result.object", result.object, payload)
        if found is None:
            return trouble(answer, payload, reading.told("the recipe finds no result in it"))
        ended = dataclasses.replace(ended, task={**ended.task, "result": found})
        return self._completed(ended, self._clips(found, answer, reading), reading)

    def _completed(self, ended: _Ended, clips: Sequence[ReadClip], reading: _Reading) -> Outcome:
        is_streaming = any(not each.is_settled for each in clips)
        return completed(ended.result(clips, reading), is_streaming=is_streaming, reason=reading.problem)

    def _time(self, value: Any) -> Any:
        """Return a time as `coerce.moment` reads it; None if it is not in the recipe's unit."""
        unit = self.recipe.task.time_unit
        if unit is None or value is None:
            return value
        count = coerce.number(value)
        if unit == "iso":
            return value if count is None else None
        return None if count is None else count / _IN_A_SECOND[unit]

    # Clips

    def _clips(self, place: Any, answer: Answer, reading: _Reading) -> list[ReadClip]:
        clips = self.recipe.clips
        if clips is None:
            return []
        found = (
            place if clips.each is None else reading.first("clips.each", clips.each, place, nothing=_NOTHING)
        )
        given = [each for each in _listed(found) if each is not None][:MAX_CLIPS]
        read: list[ReadClip] = []
        for position, each in enumerate(given):
            label = f"clips[{position}]"
            source: dict[str, Any] = {}
            for name, key, expressions in self._clip_fields:
                value = reading.of_clip(label, name, expressions, each, place)
                if value is not None:
                    source[key] = self._time(value) if name in _TIMES else value
            if clips.output_url is None:
                read.append(_music(source, answer))
            else:
                value = reading.of_clip(label, "output_url", clips.output_url, each, place)
                kind: Any = clips.output_type
                if isinstance(kind, OutputType):
                    kind = reading.of_clip(label, "output_type", kind.expression, each, place)
                read += _outputs(source, _listed(value), kind, answer)
        return read[:MAX_CLIPS]


_NOTHING: Final[tuple[Any, ...]] = (None, "", [], {})


@dataclass(frozen=True, slots=True)
class _Ended:
    """What is known of a task that has ended, beside its clips; the times are as the provider wrote them."""

    task: Mapping[str, Any]
    submitted_at: Any
    started_at: Any
    finished_at: Any

    def result(self, clips: Iterable[ReadClip], reading: _Reading) -> TaskResult:
        return read_result(
            self.task,
            clips,
            submitted_at=self.submitted_at,
            started_at=self.started_at,
            finished_at=self.finished_at,
            unusable=reading.problems,
        )


@dataclass(frozen=True, slots=True)
class _SecondAnswer:
    """Reads the answer to the second request of a task that has ended."""

    adapter: DescribedAdapter
    ended: _Ended

    def __call__(self, answer: Answer) -> Outcome:
        return self.adapter._read_second(self.ended, answer)


class _Reading:
    """The evaluation of a recipe's expressions for one answer: the steps that are left, and what gave no value."""

    __slots__ = ("_outer", "_trace", "problems", "steps")

    def __init__(self, trace: list[Gave] | None, steps: Steps | None = None) -> None:
        self.steps = Steps() if steps is None else steps
        self.problems: list[str] = []
        self._trace = trace
        self._outer: dict[Expression, Any] = {}

    @property
    def problem(self) -> str:
        return "; ".join(self.problems)

    def told(self, what: str) -> str:
        return f"{what}: {self.problem}" if self.problems else what

    def first(
        self,
        name: str,
        expressions: Sequence[Expression] | None,
        value: Any,
        *,
        nothing: Sequence[Any] = (None, ""),
    ) -> Any:
        """Return the first value that is none of `nothing`; None where there is none."""
        for expression in expressions or ():
            found = expression.evaluate(value, self.steps)
            if self._trace is not None or type(found) is NoValue:
                found = self._noted(name, name, expression.text, found)
            if found not in nothing:
                return found
        return None

    def of_clip(
        self, label: str, name: str, expressions: Sequence[ClipExpression], clip: Any, outer: Any
    ) -> Any:
        """Return the first value for a clip; what stands outside of it is evaluated once for all clips."""
        for each in expressions:
            if not each.is_outer:
                found = each.expression.evaluate(clip, self.steps)
            elif each.expression in self._outer:
                found = self._outer[each.expression]
            else:
                found = self._outer[each.expression] = each.expression.evaluate(outer, self.steps)
            if self._trace is not None or type(found) is NoValue:
                found = self._noted(f"{label}.{name}", f"clips.{name}", each.written, found)
            if found is not None and found != "":
                return found
        return None

    def _noted(self, name: str, field_name: str, expression: str, found: Any) -> Any:
        """Note what an expression gave, and return its value; None where it has none."""
        problem = str(found) if type(found) is NoValue else None
        value = found if problem is None else None
        if self._trace is not None:
            self._trace.append(Gave(name, expression, value, problem))
        if problem is not None:
            said = f"{field_name}: {problem}"
            if said not in self.problems and len(self.problems) < _MAX_PROBLEMS:
                self.problems.append(said)
        return value


class _Saids:
    """Finds which of several things an answer says, by its code or its HTTP status; the code goes first."""

    def __init__(self, saids: Mapping[str, Said]) -> None:
        self._by_status = {status: name for name, said in saids.items() for status in said.statuses}
        self._by_code = {normal(code): name for name, said in saids.items() for code in said.codes}

    def of(self, answer: Answer, code: Any) -> str | None:
        if self._by_code and isinstance(code, _SCALARS):
            name = self._by_code.get(normal(scalar_text(code)))
            if name is not None:
                return name
        return self._by_status.get(answer.status)


def _spelled(words: Iterable[str]) -> str:
    return " ".join(map(normal, words))


def _listed(value: Any) -> list[Any]:
    """Return a list as it is, nothing as an empty one, and anything else as the only member of one."""
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    """Return a JSON value with its placeholders replaced: one that is a whole text, by the value itself."""
    if isinstance(value, str):
        if value in values:
            return values[value]
        return PLACEHOLDER.sub(
            lambda match: ",".join(_listed(values[match[0]])) if match[0] in values else match[0], value
        )
    if isinstance(value, dict):
        return {name: _filled(each, values) for name, each in value.items()}
    return [_filled(each, values) for each in value] if isinstance(value, list) else value


def _with(body: Mapping[str, Any], names: Sequence[str], value: Any) -> dict[str, Any]:
    """Return an object with a value put in at a place within it."""
    inner = body.get(names[0])
    if len(names) > 1:
        value = _with(inner if isinstance(inner, dict) else {}, names[1:], value)
    return {**body, names[0]: value}


def _reason_text(value: Any) -> str:
    """Return a failure's reason as a text, from a text, an object that holds one, or a list of either."""
    if isinstance(value, list):
        value = next((each for each in value if each not in _NOTHING), None)
    if isinstance(value, dict):
        value = coerce.first(value, "message", "msg", "detail", "reason", "error", "code")
    return coerce.text(value, _MAX_REASON) or ""


def _music(source: Mapping[str, Any], answer: Answer) -> ReadClip:
    text = source.get("text")
    clip = read_clip({name: each for name, each in source.items() if name != "text"}, answer.origin)
    if text is None or has_file(clip.clip):
        return clip
    read = read_text({"text": text}, "")
    return clip if read is None else ReadClip(dataclasses.replace(clip.clip, text=read.clip.text))


def _outputs(source: Mapping[str, Any], values: Sequence[Any], kind: Any, answer: Answer) -> list[ReadClip]:
    told = read_clip(source, answer.origin).clip
    fields = {name: getattr(told, name) for name in _TOLD_OF_AN_OUTPUT}
    outputs = (read_output(each, told.clip_id, kind, answer.origin) for each in values)
    return [dataclasses.replace(each, clip=dataclasses.replace(each.clip, **fields)) for each in outputs]
