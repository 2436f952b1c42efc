"""How an answer of a provider was read: what each expression of a recipe gave, or what a kind recognised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tunehook.operations.text import counted
from tunehook.providers.adapter import Adapter, Answer, Follow, parsed
from tunehook.providers.adapters import DESCRIBED
from tunehook.providers.outcomes import (
    Completed,
    CompletedWithoutResults,
    Failed,
    NotFound,
    Outcome,
    Pending,
    SeemsFailed,
    TaskResult,
    Throttled,
    Transient,
    Unauthorised,
)
from tunehook.providers.payload import UnreadablePayloadError, redact
from tunehook.times import iso

if TYPE_CHECKING:
    from tunehook.clips import Clip
    from tunehook.providers.recipes.described import DescribedAdapter

_STATUS_NAMES = ("status", "state")
_BODY_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found under a name: by an `expression`, or without one by a kind; `problem` says why nothing was."""

    name: str
    expression: str | None
    value: Any
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer, without any secret, and how it was read; `outcome` in words."""

    status: int
    content_type: str | None
    body: Any
    findings: tuple[Finding, ...]
    outcome: str


def explain(adapter: Adapter, answers: Sequence[Answer]) -> list[Explanation]:
    """Explain the answers to the questions about one task: the first, and that of the question it leads to.

    >>> from tunehook.providers.kinds import ADAPTERS
    >>> explain(ADAPTERS["suno"], [Answer(200, {}, b'{"code": "success", "data": {"status": "NEW"}}')])[0].outcome
    'pending (processing): status NEW, which tunehook does not know and treats as pending'
    """
    explained: list[Explanation] = []
    follow: Follow | None = None
    for answer in answers:
        if explained and follow is None:
            break
        findings, outcome = _read(adapter, answer, follow)
        explained.append(
            Explanation(
                answer.status,
                answer.headers.get("content-type"),
                _body(answer),
                tuple(findings),
                describe_outcome(outcome),
            )
        )
        follow = outcome if isinstance(outcome, Follow) else None
    return explained


def _read(adapter: Adapter, answer: Answer, follow: Follow | None) -> tuple[list[Finding], Outcome | Follow]:
    if adapter.kind == DESCRIBED:
        described: DescribedAdapter = adapter  # type: ignore[assignment]
        explanation = described.explain(answer, follow)
        found = [Finding(each.name, each.expression, each.value, each.problem) for each in explanation.gave]
        return [*found, *recognised(explanation.outcome, with_status=False)], explanation.outcome
    outcome = adapter.read(answer)
    return list(recognised(outcome)), outcome


def _body(answer: Answer) -> Any:
    """Return the JSON of an answer, or its beginning as text where it has none."""
    payload = parsed(answer)
    if not isinstance(payload, UnreadablePayloadError):
        return payload
    return redact(answer.body[:_BODY_MAX].decode("utf-8", "replace"), answer.secret)


def recognised(outcome: Outcome | Follow, *, with_status: bool = True) -> Iterator[Finding]:
    """Yield what a kind has recognised in an answer, as far as its outcome has it: status, times, clips.

    >>> [each.value for each in recognised(Pending("queued", "NEW"))]
    ['NEW', 'queued', None]
    """
    if isinstance(outcome, Follow):
        return
    if isinstance(outcome, Pending):
        known = None if outcome.known else "is unknown, and so the task counts as pending"
        if with_status:
            yield Finding("status", None, outcome.word or None, known)
            yield Finding("class of the status", None, outcome.phase)
            yield Finding("submitted_at", None, outcome.submitted_at and iso(outcome.submitted_at))
        return
    result = getattr(outcome, "result", None)
    if not isinstance(result, TaskResult):
        return
    if with_status:
        words = (result.provider_object.get(name) for name in _STATUS_NAMES)
        yield Finding("status", None, next((word for word in words if word is not None), None))
        yield Finding("class of the status", None, _class(outcome))
        if isinstance(outcome, Failed | SeemsFailed):
            yield Finding("reason", None, outcome.reason)
        for name in ("submitted_at", "started_at", "finished_at"):
            at = getattr(result, name)
            yield Finding(name, None, at and iso(at))
    for position, clip in enumerate(result.clips):
        yield Finding(f"clip {position + 1}", None, _clip_fields(clip))
    for link in result.unusable_links:
        yield Finding("unusable link", None, link)


def _class(outcome: Outcome) -> str:
    if isinstance(outcome, SeemsFailed):
        return "seems_failed"
    return "failed" if isinstance(outcome, Failed) else "succeeded"


def _clip_fields(clip: Clip) -> dict[str, Any]:
    """Return the fields of a clip that are given, as JSON."""
    given = {name: value for name, value in asdict(clip).items() if value not in (None, "", (), False)}
    return {name: iso(value) if isinstance(value, datetime) else value for name, value in given.items()}


def describe_outcome(outcome: Outcome | Follow, *, was_asked: bool = True, was_accepted: bool = False) -> str:
    """Say what an outcome means; `was_accepted`: whether the provider's key was accepted before.

    >>> describe_outcome(NotFound(), was_asked=False)
    'no request: this task id cannot be part of one'
    """
    match outcome:
        case Follow():
            return "succeeded, by its status: what it made is in the answer to a second question"
        case Completed(result):
            return f"completed, with {counted(len(result.clips), 'clip')}"
        case CompletedWithoutResults(reason=reason):
            said = f": {reason}" if reason else ""
            return f"completed, but there is no audio, video or text (yet){said}"
        case Failed(reason):
            return f"failed at the provider: {reason}"
        case SeemsFailed(reason):
            return f"pending, but it seems to have failed: {reason}"
        case Pending(phase, word, known=known, problem=problem):
            written = f"status {word}" if word else "no status"
            unknown = "" if known else ", which tunehook does not know and treats as pending"
            return f"pending ({phase}): {written}{unknown}{f'; {problem}' if problem else ''}"
        case NotFound() if not was_asked:
            return "no request: this task id cannot be part of one"
        case NotFound(detail):
            return f"not found: the provider accepts the key and has no such task{f': {detail}' if detail else ''}"
        case Throttled(retry_after_s, detail=detail):
            wait = "" if retry_after_s is None else f", for {retry_after_s:.0f} s"
            said = f": {detail}" if detail else ""
            return f"throttled: the provider is throttling requests{wait}{said}"
        case Unauthorised(detail, reason="key") if was_accepted:
            return f"unauthorised: the provider no longer accepts the key (used up, expired or revoked): {detail}"
        case Unauthorised(detail):
            return f"unauthorised: the provider refuses the key: {detail}"
        case Transient(cause):
            return f"no usable response: {cause}"
